"""What a job left in its directories that is to be saved, and how it is read.

Owns which file counts as its results and which as its output, whatever the job did to them. Everything here blocks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from awsac_async.agent.command import JobFiles
from awsac_async.agent.packing import Remarks, file_blocks, packed_directory, packed_files, size_of_tree
from awsac_async.session.names import RESULTS_DIRECTORY, RESULTS_FILE, output_file


@dataclass(kw_only=True)
class Source:
    """Something to be saved: how its bytes are made, about how many they are, and what was wrong when it was read."""

    read: Callable[[Remarks], Iterator[bytes]]
    about: int
    remarks: Remarks

    def read_anew(self) -> Iterator[bytes]:
        """Yield the bytes from the beginning; the remarks are those of this reading."""
        self.remarks.names.clear()
        return self.read(self.remarks)


def find_results(directory: Path) -> tuple[Source | None, str]:
    """Return a job's results, if it made any, and what could not be results, or "".

    They are ``results.tar.bz2`` as it is, or else the folder ``results``, packed.
    """
    file, folder, remark = directory / RESULTS_FILE, directory / RESULTS_DIRECTORY, ""
    if file.is_file():
        return Source(read=lambda _: file_blocks(file), about=file.stat().st_size, remarks=Remarks(of=RESULTS_FILE)), ""
    if file.is_symlink() or file.exists():  # a link may lead nowhere
        remark = f"{RESULTS_FILE} is not a file"
    if not folder.is_dir() or folder.is_symlink():
        return None, remark
    packed = Source(
        read=lambda remarks: packed_directory(folder, RESULTS_DIRECTORY, remarks),
        about=size_of_tree(folder),
        remarks=Remarks(of=f"{RESULTS_DIRECTORY}/"),
    )
    return packed, remark


def find_output(job: int, attempts: Sequence[JobFiles]) -> Source:
    """Return the output of all attempts, packed: the last by the name of 2008, earlier ones by their number."""
    *earlier, last = attempts
    name = output_file(job)
    members = [(name, _written(last.kept_output, last.output))]
    for files in earlier:
        aside = files.set_aside / files.output.name
        members.append((f"{Path(name).stem}.attempt_{files.attempt}.log", _written(files.kept_output, aside)))
    return Source(
        read=lambda remarks: packed_files(members, remarks),
        about=sum(size_of_tree(path) for _, paths in members for path in paths),
        remarks=Remarks(of="output"),
    )


def _written(kept: Path, visible: Path) -> list[Path]:
    """Return the file that took a job's output, and the one the job may have put in its place."""
    own = visible.is_file() and not visible.is_symlink()
    if not kept.exists():
        return [visible] if own else [kept]
    return [kept, visible] if own and not visible.samefile(kept) else [kept]
