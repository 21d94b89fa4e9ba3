"""A program that the agent starts: what a job left as its results goes to standard output, packed if need be.

A process of its own, since it runs as the job's user: what that user may not read, it cannot send away, whatever links
the job has made and whatever its neighbours swap meanwhile. Only the real user stays root, so that nobody but root can
send it a signal. And it can be killed where a file system hangs. It has no credentials and no network to speak of.

Owns what counts as results. It ends with a report on standard error, one JSON object; with ``error`` in it, nothing
that came on standard output is to be kept.
"""

import json
import os
import resource
import stat
import sys
import tarfile
import time
from bz2 import BZ2Decompressor
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from awsac_async.agent.packing import Remarks, held, packed, shown_name
from awsac_async.agent.walking import of_kernel, open_file, open_folder, reason, walk
from awsac_async.session.names import RESULTS_DIRECTORY, RESULTS_FILE

_BLOCK = 1 << 20  # bytes
_LOOK_SECONDS = 60.0  # for adding up sizes: what was not seen by then is packed all the same
_COMPARE_SECONDS = 60.0  # of reading an archive: some hundred megabytes
_END_MARK = 0x177245385090  # of a bzip2 stream, in front of its checksum
_MOST_MEMORY = 4 << 30  # bytes: names in an archive are as long as it says, and a folder may have millions
_TAIL = 4096  # bytes in which the end of an archive is looked for: some programs add zeros
_END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)


class _LeftError(Exception):
    """Results that are there cannot be saved; the text is why."""


class _GoneError(_LeftError):
    """There is nothing, since the job has taken even its folder away."""


@dataclass(kw_only=True)
class Found:
    """What a job left.

    ``names``: what of it is to be saved, of its folder; nothing if there is nothing. ``packed``: as members of an
    archive; else it is one file, as it is. ``about``: bytes to be sent or packed, ``size`` with all holes. ``remark``:
    what is to be said; ``trouble``: why results that are there cannot be saved.
    """

    names: list[str] = field(default_factory=list)
    packed: bool = True
    about: int = 0
    size: int = 0
    remark: str = ""
    trouble: str = ""


def main(arguments: Sequence[str]) -> int:
    """Do what the one argument says, a JSON object: ``directory``, ``user``, and ``names`` and ``packed`` if known."""
    request = json.loads(arguments[0])
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    with suppress(OSError):  # if memory is short, this goes before the agent, which begins it anew
        Path("/proc/self/oom_score_adj").write_text("100")
    if request["user"]:
        _become(*request["user"])
    directory = request["directory"]
    if "names" not in request:
        return _report(asdict(look(directory)))
    remarks = Remarks(of="")
    try:
        for block in send(directory, request["names"], remarks, packing=request["packed"]):
            _write(block)
    except _LeftError as error:
        return _report({"error": str(error)})
    return _report({"names": remarks.names, "count": remarks.count})


def _become(uid: int, gid: int, groups: Sequence[int]) -> None:
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(-1, uid, -1)


def _write(block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(sys.stdout.fileno(), rest) :]


def _report(report: Mapping[str, Any]) -> int:
    sys.stderr.write(json.dumps(report) + "\n")
    return 0


def send(directory: str, names: Sequence[str], remarks: Remarks, *, packing: bool) -> Iterator[bytes]:
    """Yield what was found, from the beginning; raises _LeftError."""
    with _Opened(directory) as left:
        parts = [(name, left.open(name)) for name in names]
        if packing:
            yield from packed(parts, remarks)
        else:
            yield from _as_it_is(*parts[0], remarks)


def _as_it_is(name: str, file: int, remarks: Remarks) -> Iterator[bytes]:
    """Yield a file up to the size it has now."""
    position, size = 0, os.fstat(file).st_size
    while position < size:
        block = os.pread(file, min(_BLOCK, size - position), position)
        if not block:
            remarks.add(name, "it became shorter meanwhile")
            return
        position += len(block)
        yield block


def look(directory: str) -> Found:
    """Find out what a job left that is to be saved, and how; never raises."""
    found, remarks, troubles, opened = Found(), [], [], {}
    try:
        with _Opened(directory) as left:
            for name in (RESULTS_FILE, RESULTS_DIRECTORY):
                try:
                    if (remark := left.kind(name)) is None:
                        opened[name] = left.open(name)
                    elif remark:
                        remarks.append(remark)
                except _LeftError as error:
                    troubles.append(str(error))
            if opened:
                _decide(found, opened, remarks)
    except _GoneError as error:
        remarks.append(str(error))
    except (_LeftError, OSError) as error:
        troubles.append(str(error))
    if not opened:
        found.trouble, troubles = "; ".join(troubles), []
    found.remark = "; ".join([*remarks, *troubles])
    return found


def _decide(found: Found, opened: Mapping[str, int], remarks: list[str]) -> None:
    """Choose between an archive and a folder, where there are both: an archive that is whole goes first."""
    archive, folder = opened.get(RESULTS_FILE), opened.get(RESULTS_DIRECTORY)
    if archive is not None:
        status, damage, said = os.fstat(archive), _damage(archive), ""
        if not damage and folder is not None:
            damage, said = _compared(archive, folder)
        if folder is None:
            said = f"{RESULTS_FILE} {damage}" if damage in {_EMPTY, _CUT} else ""
        elif damage:
            said = f"{RESULTS_FILE} {damage}: saved in one archive with {RESULTS_DIRECTORY}"
        remarks += filter(None, [said])
        if folder is None or not damage:
            # A cut-off archive that is mostly holes, as of a disk that was full: the holes are not sent.
            found.packed = bool(damage) and held(status) < status.st_size // 2
            found.names, found.size = [RESULTS_FILE], status.st_size
            found.about = held(status) if found.packed else status.st_size
            return
        found.about, found.size = held(status), status.st_size
    if folder is not None:
        found.names = [RESULTS_DIRECTORY, *([RESULTS_FILE] if archive is not None else [])]
        _weigh(found, folder, remarks)


def _weigh(found: Found, folder: int, remarks: list[str]) -> None:
    """Add up what is in the folder, and say which of its links lead to what will not be in the archive."""
    status, until = os.fstat(folder), time.monotonic() + _LOOK_SECONDS
    if stat.S_ISREG(status.st_mode):
        found.about, found.size = found.about + held(status), found.size + status.st_size
        return
    seen: set[tuple[int, int]] = set()
    out: list[str] = []
    for entry in walk(folder, RESULTS_DIRECTORY, lambda *_: None):
        one = entry.status
        if stat.S_ISLNK(one.st_mode):
            out += _outside(folder, entry.name, f"/proc/self/fd/{entry.parent}/{entry.base}")
        elif stat.S_ISREG(one.st_mode) and (one.st_dev, one.st_ino) not in seen:
            found.about, found.size = found.about + held(one), found.size + one.st_size
            if one.st_nlink > 1:
                seen.add((one.st_dev, one.st_ino))
        if time.monotonic() > until:
            break
    if out:
        more = f" and {len(out) - 1} more" if len(out) > 1 else ""
        remarks.append(f"links in {RESULTS_DIRECTORY}/ to what is not in it: {out[0]}{more}")


def _outside(folder: int, name: str, path: str) -> list[str]:
    """Return what is to be said of a link whose target is there, but not in the folder."""
    try:
        top, target = os.path.realpath(f"/proc/self/fd/{folder}"), os.path.realpath(path, strict=True)
    except OSError:  # it leads nowhere, or is deeper than a path can be
        return []
    inside = target == top or target.startswith(top.rstrip("/") + "/")
    return [] if inside else [f"{shown_name(name)} ({shown_name(target)})"]


class _Opened:
    """A job's folder, and what is opened in it until the end of the block."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._descriptors: list[int] = []

    def __enter__(self) -> "_Opened":
        try:
            self._top = self._follow(os.O_RDONLY | os.O_DIRECTORY, self._directory, None)
        except PermissionError as error:
            raise _LeftError(f"the job's folder cannot be read: {reason(error)}") from error
        except OSError as error:
            raise _GoneError(f"the job's folder is gone: {reason(error)}") from error
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)

    def kind(self, name: str) -> str | None:
        """Return None for what can be results; what is to be said of anything else, or "" where nothing is.

        Raises _LeftError: it is not this job's alone to send.
        """
        try:
            os.stat(name, dir_fd=self._top, follow_symlinks=False)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise _LeftError(f"{name} cannot be read: {reason(error)}") from error
        what = "a file" if name == RESULTS_FILE else "a file or a folder"
        try:
            status = os.stat(name, dir_fd=self._top)
        except PermissionError as error:
            raise _LeftError(f"{name} cannot be read: {reason(error)}") from error
        except OSError:  # a link that leads nowhere
            return f"{name} is not {what}"
        wanted = stat.S_ISREG(status.st_mode) or (name != RESULTS_FILE and stat.S_ISDIR(status.st_mode))
        if not wanted:
            return f"{name} is not {what}"
        if of_kernel(status):
            raise _LeftError(f"{name} leads to a file system of the kernel")
        if self._is_above((status.st_dev, status.st_ino)):
            raise _LeftError(f"{name} leads to a folder that the job's own is in")
        return None

    def open(self, name: str) -> int:
        """Open a file or a folder, links followed; raises _LeftError."""
        try:
            descriptor = self._follow(os.O_RDONLY | os.O_NONBLOCK, name, self._top)
            mode = os.fstat(descriptor).st_mode
        except OSError as error:
            raise _LeftError(f"cannot read {self._directory}/{name}: {reason(error)}") from error
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise _LeftError(f"cannot read {self._directory}/{name}: it is no file any more")
        return descriptor

    def _follow(self, flags: int, name: str, parent: int | None) -> int:
        """Open what is there, or what a link leads to; of the user's own also what nobody may read."""
        try:
            descriptor = os.open(name, flags | os.O_CLOEXEC, dir_fd=parent)
        except PermissionError:
            mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                raise
            descriptor = (open_folder if stat.S_ISDIR(mode) else open_file)(name, parent=parent)
        self._descriptors.append(descriptor)
        return descriptor

    def _is_above(self, inode: tuple[int, int]) -> bool:
        """Whether it is a folder that the job's own is in, at any depth; its own may be its results."""
        path, above = "..", None
        with suppress(OSError):  # where that user may not look, a link of that user's does not lead
            while len(path) < _TAIL:
                status = os.stat(path, dir_fd=self._top)
                if (found := (status.st_dev, status.st_ino)) == inode:
                    return True
                if found == above:
                    break
                path, above = f"{path}/..", found
        return False


# --- whether an archive is whole ---

_EMPTY = "is empty"
_CUT = "is cut off"


def _damage(archive: int) -> str:
    """Return what is wrong with a bzip2 archive as far as its two ends tell, or ""."""
    size = os.fstat(archive).st_size
    if not size:
        return _EMPTY
    if os.pread(archive, 3, 0) != b"BZh":
        return "is no bzip2 archive"
    bits = int.from_bytes(os.pread(archive, _TAIL, max(0, size - _TAIL)))
    for behind in range(8 * _TAIL):  # the mark is at any bit, the checksum behind it, then zeros to the end
        if (bits >> (behind + 32)) % (1 << 48) == _END_MARK and (behind < 8 or not bits % (1 << behind)):
            return ""
    return _CUT


def _compared(archive: int, folder: int) -> tuple[str, str]:
    """Return what is wrong with an archive that seems whole, and what a folder beside it has and it has not."""
    if stat.S_ISREG(os.fstat(folder).st_mode):
        return "", f"{RESULTS_DIRECTORY}, a file, is not saved: {RESULTS_FILE} is"
    stream = _Unpacked(archive, until=time.monotonic() + _COMPARE_SECONDS)
    wanted = {
        entry.name: entry.status.st_size if stat.S_ISREG(entry.status.st_mode) else None
        for entry in walk(folder, RESULTS_DIRECTORY, lambda *_: None)
        if not stat.S_ISDIR(entry.status.st_mode) and time.monotonic() < stream.until
    }
    try:
        # Not by the members that tarfile keeps: there may be millions.
        with tarfile.open(fileobj=stream, mode="r|") as tar:  # type: ignore[call-overload]  # it only reads
            while member := tar.next():
                tar.members.clear()
                _strike(wanted, member)
        stream.finish()
    except TimeoutError:
        return "", f"{RESULTS_DIRECTORY}/ is not saved, nor compared with {RESULTS_FILE}, which is"
    except (OSError, EOFError, ValueError, MemoryError, tarfile.TarError):
        return "is damaged", ""
    if not wanted:
        return "", ""
    more = f" and {len(wanted) - 1} more" if len(wanted) > 1 else ""
    return "", f"not saved: {shown_name(next(iter(wanted)))}{more}, which {RESULTS_FILE} does not hold as it is now"


def _strike(wanted: dict[str, int | None], member: tarfile.TarInfo) -> None:
    """Take off the list what an archive holds, by whatever path to the folder, or from inside of it."""
    path = "/".join(part for part in member.name.split("/") if part not in {"", "."})
    before, found, inner = f"/{path}".partition(f"/{RESULTS_DIRECTORY}/")
    name = f"{RESULTS_DIRECTORY}/{inner if found else before[1:]}"
    if name in wanted and (not member.isreg() or wanted[name] in {member.size, None}):
        del wanted[name]


class _Unpacked:
    """What tarfile reads from: the content of a bzip2 file, for so long; by its end one knows whether it is whole."""

    def __init__(self, file: int, *, until: float) -> None:
        self._file, self.until = file, until
        self._position, self._rest, self._tail = 0, b"", b""
        self._stream = BZ2Decompressor()

    def read(self, size: int) -> bytes:
        """Return at most so many bytes; none at the end. Raises TimeoutError, EOFError, OSError, ValueError."""
        while not self._rest:
            if time.monotonic() > self.until:
                raise TimeoutError
            if self._stream.eof:
                rest, self._stream = self._stream.unused_data, BZ2Decompressor()
                if not (rest.strip(b"\0") or os.pread(self._file, 1, self._position)):
                    return b""
            else:
                rest = b""
            block = rest or (os.pread(self._file, _BLOCK, self._position) if self._stream.needs_input else b"")
            if not block and self._stream.needs_input:
                raise EOFError
            self._position += 0 if rest else len(block)
            self._rest = self._stream.decompress(block, max_length=_BLOCK)
        block, self._rest = self._rest[:size], self._rest[size:]
        self._tail = (self._tail + block)[-len(_END_OF_TAR) :]
        return block

    def finish(self) -> None:
        """Read the rest; raises ValueError if that is not the end of a whole tar file, and what ``read`` raises."""
        while self.read(_BLOCK):
            pass
        if self._tail != _END_OF_TAR:
            raise ValueError


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
