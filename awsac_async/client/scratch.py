"""Temporary folders of the client: each goes with its process, and with the next one if that was killed.

Owns their name and the lock by which one that is in use is known: that of the kernel on the folder itself, which ends
with its process however that ends. Removes nothing that is not its user's own, closed to others, and unlocked.
"""

import atexit
import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "awsac-client-"
_NAME = re.compile(re.escape(_PREFIX) + r"[a-z0-9_]{8}")  # as tempfile makes names


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give a new folder that nobody else can look into; blocks briefly."""
    sweep()
    path, descriptor = _made()
    try:
        yield path
    finally:
        if not _remove(path):  # a thread that nobody waits for still writes there
            atexit.register(_remove, path)
        os.close(descriptor)


def sweep() -> None:
    """Remove the folders of processes that were killed; what cannot be looked at or removed stays."""
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as found:
        for name in [each.name for each in found if _NAME.fullmatch(each.name)]:
            with contextlib.suppress(OSError, RecursionError):
                _remove_if_left(Path(tempfile.gettempdir(), name))


def _made() -> tuple[Path, int]:
    """Make a folder and lock it; returns it with the descriptor that holds the lock."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        descriptor = _open(path)
        with contextlib.suppress(OSError):  # of a file system without locks: nobody else can take it for unused there
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _is_still(path, descriptor):
            return path, descriptor
        os.close(descriptor)  # somebody has swept it before it was locked


def _remove_if_left(path: Path) -> None:
    descriptor = _open(path)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) != 0o700:
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_still(path, descriptor):
            _remove(path)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _is_still(path: Path, descriptor: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    return False


def _remove(path: Path) -> bool:
    """Remove a folder; returns whether it is gone."""
    shutil.rmtree(path, ignore_errors=True)
    return not os.path.lexists(path)
