"""What a user's folder holds that goes to the instances, and what in it cannot go there.

Owns the walk over a folder of jobs, of input data, or of a release's files: links to files and folders are followed, as
``aws s3 sync`` does, and nothing is left out without a word. Reads no content, and follows a tree of any depth.
"""

import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from awsac_async.session.errors import AwsacError, FormatError, ProblemsError
from awsac_async.session.wording import clipped_path

_MOST_ENTRIES = 1_000_000  # links to folders that hold links to folders may double at each step
_EXPECTED = "files, folders, and links to them"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file or a folder, and its ``name`` relative to the one that was walked, with ``/``.

    ``size`` in bytes and ``mtime_ns`` are those that a file had then.
    """

    path: Path
    name: str
    is_folder: bool
    size: int
    mtime_ns: int
    executable: bool

    def check_unchanged(self) -> None:
        """Raise FormatError if the file is no longer what it was."""
        try:
            now = self.path.stat()
        except OSError as error:
            found = (error.strerror or "nothing").lower()
        else:
            if (now.st_size, now.st_mtime_ns) == (self.size, self.mtime_ns):
                return
            found = "another content"
        raise FormatError(
            file=clipped_path(self.path),
            found=found,
            expected="what was there when it was checked: start again",
        )


@dataclass(frozen=True, kw_only=True)
class Walked:
    """All files and folders, each folder before what is in it; ``special`` are pipes, sockets and devices."""

    entries: tuple[Entry, ...]
    special: tuple[Path, ...]

    def files(self) -> Iterator[Entry]:
        """Yield the files."""
        return (each for each in self.entries if not each.is_folder)

    def empty_folders(self) -> Iterator[str]:
        """Yield the names of the folders in which there is nothing that goes to the instances."""
        parents = {each.name.rpartition("/")[0] for each in self.entries}
        return (each.name for each in self.entries if each.is_folder and each.name not in parents)


def walk(folder: Path, *, leave_out: Collection[Path] = ()) -> Walked:
    """Return what a folder holds, sorted. ``leave_out`` are absolute paths, for what is no input.

    Raises:
        FormatError, ProblemsError: links that lead nowhere or in a circle, and what cannot be read.
    """
    walking = _Walking(leave_out)
    top = _Place(path=folder, name="", identity=walking.identity(folder), within=None)
    waiting = [top]
    while waiting:
        waiting += walking.folders_of(waiting.pop())
    if walking.problems:
        raise walking.problems[0] if len(walking.problems) == 1 else ProblemsError(walking.problems)
    entries = sorted(walking.entries, key=lambda entry: entry.name.split("/"))
    return Walked(entries=tuple(entries), special=tuple(sorted(walking.special)))


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A folder on the way, and that in which it was found."""

    path: Path
    name: str
    identity: tuple[int, int] | None
    within: "_Place | None"

    def lies_in(self, identity: tuple[int, int]) -> bool:
        place: _Place | None = self
        while place is not None:
            if place.identity == identity:
                return True
            place = place.within
        return False


class _Walking:
    def __init__(self, leave_out: Collection[Path]) -> None:
        self._leave_out = leave_out
        self.entries: list[Entry] = []
        self.special: list[Path] = []
        self.problems: list[AwsacError] = []

    def identity(self, path: Path) -> tuple[int, int] | None:
        """Return by what a folder is known, whichever way leads to it."""
        try:
            status = path.stat()
        except OSError as error:
            self._note(path, (error.strerror or str(error)).lower(), "a folder that can be read")
            return None
        return status.st_dev, status.st_ino

    def folders_of(self, place: _Place) -> list[_Place]:
        """Take what a folder holds; returns the folders in it."""
        try:
            with os.scandir(place.path) as found:
                names = [each.name for each in found]
        except OSError as error:
            self._note(place.path, (error.strerror or str(error)).lower(), "a folder that can be read")
            return []
        folders = []
        for name in names:
            path = place.path / name
            if self._leave_out and path.absolute() in self._leave_out:
                continue
            if (further := self._take(path, f"{place.name}/{name}".removeprefix("/"), place)) is not None:
                folders.append(further)
        return folders

    def _take(self, path: Path, name: str, place: _Place) -> _Place | None:
        """Take a file or a folder; returns the latter."""
        try:
            status = path.stat()
        except OSError as error:
            if not (path.name.startswith(".#") and path.is_symlink()):  # Emacs' lock of a file that it has open
                self._note(path, _link_found(path, error), _EXPECTED)
            return None
        if len(self.entries) >= _MOST_ENTRIES:
            raise FormatError(file=clipped_path(path), found=f"more than {_MOST_ENTRIES} files", expected="fewer")
        is_folder = stat.S_ISDIR(status.st_mode)
        if not is_folder and not stat.S_ISREG(status.st_mode):
            self.special.append(path)
            return None
        identity = status.st_dev, status.st_ino
        if is_folder and path.is_symlink() and place.lies_in(identity):
            self._note(path, f"a link to {clipped_path(path.readlink())}, a folder that it lies in", _EXPECTED)
            return None
        if not is_folder and not os.access(path, os.R_OK):
            self._note(path, "a file that cannot be read", _EXPECTED)
            return None
        entry = Entry(
            path=path,
            name=name,
            is_folder=is_folder,
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            executable=bool(status.st_mode & 0o100),
        )
        self.entries.append(entry)
        return _Place(path=path, name=name, identity=identity, within=place) if is_folder else None

    def _note(self, path: Path, found: str, expected: str) -> None:
        self.problems.append(FormatError(file=clipped_path(path), found=found, expected=expected))


def _link_found(path: Path, error: OSError) -> str:
    if not path.is_symlink():
        return (error.strerror or str(error)).lower()
    try:
        return f"a link to {clipped_path(path.readlink())}, where nothing is"
    except OSError:
        return "a link that cannot be read"
