"""What a job left in its directories that is to be saved, and how it is read.

Owns which file counts as its results, whatever the job did to it; which ones are its output is said by ``logfiles``.
Everything here blocks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from awsac_async.agent.command import JobFiles
from awsac_async.agent.logfiles import LogFile, make_readable, written_files
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
    members = [(name, written_files(LogFile(path=last.kept_output, shown=last.output)))]
    for files in earlier:
        aside = files.set_aside / files.output.name
        written = written_files(LogFile(path=files.kept_output, shown=aside))
        members.append((f"{Path(name).stem}.attempt_{files.attempt}.log", written))
    for _, written in members:
        make_readable(written)
    return Source(
        read=lambda remarks: packed_files(members, remarks),
        about=sum(size_of_tree(path) for _, paths in members for path in paths),
        remarks=Remarks(of="output"),
    )
