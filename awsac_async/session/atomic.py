"""Files that are replaced as a whole: a reader sees the old one or the new one, whenever the writer dies."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, *, mode: int) -> Iterator[Path]:
    """Give a new file beside ``path`` to write to; it becomes ``path`` at the end, or goes if an error is raised.

    Until then only its owner can read it. Raises OSError.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    part = Path(name)
    try:
        yield part
        part.chmod(mode)
        _sync(part)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync(path.parent)  # makes the name last, as the one before made the content last


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
