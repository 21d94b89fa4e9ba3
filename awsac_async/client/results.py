"""The verb ``getresults``: everything a session saved, in one folder.

Owns what counts as already there, and the record of it in the folder. A file is complete if its size is the object's
and either the record or the MD5 of its content names the object's ETag. No name in the bucket leads out of the folder.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from awsac_async.cloud.aws import connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.objects import Download, ObjectInfo, Progress
from awsac_async.cloud.parts import writing
from awsac_async.session.atomic import replacing
from awsac_async.session.errors import FormatError, InputError
from awsac_async.session.names import results_directory, session_prefix
from awsac_async.session.record import read_record

ETAGS_FILE = ".awsac-etags.json"


class Overwrite(Enum):
    """What to do with a file that is there and differs from the object."""

    YES = "y"
    NO = "n"
    ALL = "a"


OnExisting = Callable[[Path], Awaitable[Overwrite]]


@dataclass(frozen=True, kw_only=True)
class Results:
    """What came of it: ``complete`` files were there already, ``kept`` ones differ and were not to be overwritten.

    ``refused`` are keys that cannot be files of their own in the folder.
    """

    directory: Path
    downloaded: tuple[Path, ...]
    complete: tuple[Path, ...]
    kept: tuple[Path, ...]
    refused: tuple[str, ...]
    size: int


async def get_results(
    session: Path,
    output: Path,
    *,
    on_existing: OnExisting,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Results:
    """Download what is below ``<session_id>/`` into ``<output>/session-<session_id>``; a second run fetches the rest.

    Args:
        session: the session file.
        output: folder of the results' folder; made if missing.
        on_existing: asked before a file that differs from its object is overwritten.
        on_progress: told how far the download is.

    Raises:
        InputError: the session file is not one, or the folder cannot be written.
        CloudError: the cloud refused or failed; what was downloaded stays.
    """
    record = await asyncio.to_thread(read_record, session)
    folder = output / results_directory(record.session_id)
    await asyncio.to_thread(_make, folder)
    async with connect(region=record.region) as aws:
        bucket = Bucket(aws, record.bucket)
        files, refused = _name(await bucket.list(session_prefix(record.session_id)), folder)
        choice = await _choose(files, await asyncio.to_thread(_compare, files, folder), on_existing)
        # Before the download, so that after an interruption what is there counts as complete. What is still to be
        # overwritten is not in it: the old content must never pass for the new.
        await asyncio.to_thread(_write_etags, folder, {**choice.complete, **choice.missing})
        await bucket.download(choice.downloads, on_progress=on_progress)
        await asyncio.to_thread(_write_etags, folder, {**choice.complete, **choice.missing, **choice.differing})
    return Results(
        directory=folder,
        downloaded=tuple(each.target for each in choice.downloads),
        complete=tuple(choice.complete),
        kept=tuple(choice.kept),
        refused=refused,
        size=sum(each.size for each in choice.downloads),
    )


class _State(Enum):
    """How a file stands to its object."""

    MISSING = "missing"
    COMPLETE = "complete"
    DIFFERING = "differing"


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """What is done with each file."""

    complete: Mapping[Path, ObjectInfo]
    missing: Mapping[Path, ObjectInfo]
    differing: Mapping[Path, ObjectInfo]
    kept: Sequence[Path]

    @property
    def downloads(self) -> list[Download]:
        wanted = {**self.missing, **self.differing}
        return [Download(key=each.key, target=path, size=each.size, etag=each.etag) for path, each in wanted.items()]


async def _choose(files: Mapping[Path, ObjectInfo], states: Mapping[Path, _State], on_existing: OnExisting) -> _Choice:
    differing: dict[Path, ObjectInfo] = {}
    kept: list[Path] = []
    overwrite_all = False
    for path in (path for path, state in states.items() if state is _State.DIFFERING):
        if overwrite_all or (answer := await on_existing(path)) is not Overwrite.NO:
            overwrite_all = overwrite_all or answer is Overwrite.ALL
            differing[path] = files[path]
        else:
            kept.append(path)
    complete = {path: files[path] for path, state in states.items() if state is _State.COMPLETE}
    missing = {path: files[path] for path, state in states.items() if state is _State.MISSING}
    return _Choice(complete=complete, missing=missing, differing=differing, kept=kept)


def _name(objects: Sequence[ObjectInfo], folder: Path) -> tuple[dict[Path, ObjectInfo], tuple[str, ...]]:
    """Give each object its file: its base name in the folder. Folder markers, which end in ``/``, have none."""
    files: dict[Path, ObjectInfo] = {}
    refused = []
    for each in objects:
        base = each.key.rpartition("/")[2]
        path = folder / base
        if not base and each.size == 0:
            continue
        if base in {"", ".", "..", ETAGS_FILE} or "\0" in base or path in files:
            refused.append(each.key)
        else:
            files[path] = each
    return files, tuple(refused)


def _compare(files: Mapping[Path, ObjectInfo], folder: Path) -> dict[Path, _State]:
    """Return how each file stands; reads those that the record in the folder does not name, so it may take long."""
    etags = _read_etags(folder)
    return {path: _state(path, info, etags.get(path.name)) for path, info in files.items()}


def _state(path: Path, info: ObjectInfo, recorded: str | None) -> _State:
    if not path.exists():
        return _State.MISSING
    return _State.COMPLETE if _is_complete(path, info, recorded) else _State.DIFFERING


def _is_complete(path: Path, info: ObjectInfo, recorded: str | None) -> bool:
    if not path.is_file() or path.stat().st_size != info.size:
        return False
    return recorded == info.etag or _md5(path) == info.etag.strip('"')


def _md5(path: Path) -> str:
    """Return what S3 uses as ETag of an object that was uploaded in one piece."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from error


def _read_etags(folder: Path) -> dict[str, str]:
    path = folder / ETAGS_FILE
    if not path.exists():
        return {}
    try:
        return {str(name): str(etag) for name, etag in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, AttributeError) as error:
        expected = "the ETags that getresults wrote; without the file it compares contents"
        raise FormatError(file=str(path), found="something else", expected=expected) from error


def _write_etags(folder: Path, files: Mapping[Path, ObjectInfo]) -> None:
    etags = {path.name: info.etag for path, info in files.items()}
    path = folder / ETAGS_FILE
    with writing(path), replacing(path, mode=0o644) as part:
        part.write_text(json.dumps(etags, indent=1, sort_keys=True) + "\n", encoding="utf-8")
