"""What is transferred: files of one session's results, as its agents would have named them, with their manifests.

Owns the sizes, and the folder in memory. Contents are random, so that nothing can be packed or found twice.
"""

import hashlib
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from awsac_async.session import names
from awsac_async.session.manifest import Manifest, SavedFile, format_copies, format_manifest

SESSION_ID = "261122_2200--bench--0001"
CORES = 16  # of an instance
_CHUNK = 1 << 20
_SMALL, _LARGE = 20_000, 256 << 20  # bytes
_LEAST, _MOST = 1_000, 20_000_000  # of the mix


@dataclass(frozen=True, kw_only=True)
class Workload:
    """So many files of these sizes, in bytes; ``name`` is what the command line calls it."""

    name: str
    title: str
    sizes: tuple[int, ...]


def _mixed() -> tuple[int, ...]:
    """As many files between 1 and 10 KB as between 1 and 10 MB: sizes of files are spread like that."""
    chosen = random.Random(1)  # noqa: S311  the same sizes in each run
    return tuple(round(_LEAST * (_MOST / _LEAST) ** chosen.random()) for _ in range(300))


WORKLOADS = (
    Workload(name="small", title="3,000 x 20 KB", sizes=(_SMALL,) * 3000),
    Workload(name="large", title="8 x 256 MB", sizes=(_LARGE,) * 8),
    Workload(name="mix", title="300 of 1 KB to 20 MB", sizes=_mixed()),
)


@dataclass(frozen=True, kw_only=True)
class Files:
    """A workload in a folder: the results in one, their manifests in another, and what they must be again."""

    results: Path
    manifests: Path
    sums: dict[str, str]  # SHA-256 of each file by its name


def make(workload: Workload, folder: Path) -> Files:
    """Write a workload; two files belong to each job, its results and its output."""
    results, manifests = folder / "results", folder / "manifests"
    results.mkdir(parents=True)
    manifests.mkdir()
    saved: dict[int, list[SavedFile]] = {}
    for number, size in enumerate(workload.sizes):
        job = number // 2 + 1
        key = (names.results_key, names.output_key)[number % 2](SESSION_ID, job)
        name = key.rpartition("/")[2]
        sha256 = _write(results / name, size)
        saved.setdefault(job, []).append(SavedFile(key=key, name=name, size=size, sha256=sha256))
    _write_manifests(manifests, saved)
    return Files(
        results=results, manifests=manifests, sums={file.name: file.sha256 for each in saved.values() for file in each}
    )


def _write_manifests(folder: Path, saved: Mapping[int, Sequence[SavedFile]]) -> None:
    """Write the manifest of each job, and the copies that its instance leaves."""
    instances: dict[int, list[bytes]] = {}
    for job, files in saved.items():
        content = format_manifest(Manifest(session_id=SESSION_ID, job=job, attempt=1, files=tuple(files)))
        (folder / names.manifest_key(SESSION_ID, job).rpartition("/")[2]).write_bytes(content)
        instances.setdefault((job - 1) // CORES, []).append(content)
    for index, manifests in instances.items():
        key = names.manifest_copies_key(SESSION_ID, index)
        (folder / key.rpartition("/")[2]).write_bytes(format_copies(manifests))


def _write(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size, _CHUNK):
            chunk = os.urandom(min(_CHUNK, size - start))
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def verify(folder: Path, sums: dict[str, str]) -> None:
    """Raise AssertionError unless the folder holds these files, at any depth, and nothing else but hidden ones."""
    found = {path.name: path for path in _files(folder)}
    assert found.keys() == sums.keys(), f"{folder}: {len(found)} files, not {len(sums)}"
    for name, path in found.items():
        with path.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == sums[name], path


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("[!.]*") if path.is_file())
