"""A program that the agent starts: what comes on standard input, a tar file, becomes a tree while it comes.

A process of its own, since a large dictionary or window of a compression is not to be the agent's memory, nor its work
the agent's time; and it can be killed. It ends with 0 when the tree is whole, else with 1 and one sentence on standard
error. Members are made by the system's tar, which is several times as fast as Python's where files are small, makes
owners, hard links and set-ID bits as they were, and none outside of the directory: it refuses names with ``..``, takes
the first ``/`` off others, and makes links that lead out only when all else is there.
"""

import bz2
import gzip
import lzma
import os
import re
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from awsac_async.session.releases import Compression

_BLOCK = 1 << 20  # bytes
_END = bytes(1024)  # of every whole tar file, at least
_FULL = re.compile(r"No space left on device|Disk quota exceeded|Wrote only \d+ of \d+ bytes")  # as tar says it
_WHOLE_RANGE = "4294967295"  # user IDs, of a namespace that has them all
_started: "list[subprocess.Popen[bytes]]" = []


class UnpackingError(Exception):
    """Why there is no tree, as one sentence without its subject, the archive."""


def main(arguments: Sequence[str]) -> int:
    """Unpack standard input; arguments: one of ``Compression``, and a directory that is there."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_when_told, daemon=True).start()
    compression, directory = arguments
    try:
        unpack(sys.stdin.buffer, Compression(compression), Path(directory))
    except UnpackingError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _end_when_told() -> None:
    """End on TERM, and tar before; one that is just being started will find no input.

    In a thread: Python would not run a handler while the main one is in a read that nothing ends.
    """
    signal.sigwait({signal.SIGTERM})
    for tar in _started:
        if tar.returncode is None:
            with suppress(OSError):
                os.kill(tar.pid, signal.SIGKILL)
                os.waitpid(tar.pid, 0)
    os._exit(128 + signal.SIGTERM)


def unpack(source: IO[bytes], compression: Compression, directory: Path) -> None:
    """Make the tree of a tar file, which is read to its end.

    Raises:
        UnpackingError: it is not whole, or the tree could not be made.
    """
    tar = _Tar(directory)
    try:
        end = _pass_on(_opened(source, compression), tar)
        if not end:
            raise UnpackingError("is cut off: it is empty")
        tar.finish()
    finally:
        tar.kill()
    if end != _END:
        raise UnpackingError("is cut off: it has no end mark")


def _opened(source: IO[bytes], compression: Compression) -> IO[bytes]:
    """Return what reads the plain tar file; several compressed streams one after another are one."""
    openers: dict[Compression, Any] = {
        Compression.GZIP: gzip.open,
        Compression.BZIP2: bz2.open,
        Compression.XZ: lzma.open,
        Compression.ZSTD: _open_zstd,
    }
    opened: IO[bytes] = openers[compression](source) if compression in openers else source
    return opened


def _open_zstd(source: IO[bytes]) -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.open(source)


def _pass_on(stream: IO[bytes], tar: "_Tar") -> bytes:
    """Give all of a stream to tar, and return its end; stops early if tar does."""
    end = b""
    while block := _read(stream):
        end = (end + block)[-len(_END) :]
        if not tar.write(block):
            break
    return end


def _read(stream: IO[bytes]) -> bytes:
    try:
        return stream.read(_BLOCK)
    except EOFError:
        raise UnpackingError("is cut off") from None
    except Exception as error:
        if isinstance(error, (OSError, lzma.LZMAError, zlib.error)) or type(error).__name__ == "ZstdError":
            raise UnpackingError(f"is damaged: {str(error).lower()}") from error
        raise


class _Tar:
    """The system's tar on its way through an archive, and what it complains of."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._complaint = ""
        try:
            self._process = subprocess.Popen(
                ["tar", *_options(), "--directory", str(directory)],  # noqa: S607  PATH is ours
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**os.environ, "LC_ALL": "C"},
            )
        except OSError as error:
            raise UnpackingError(f"cannot be unpacked: tar cannot be started ({error.strerror})") from error
        _started.append(self._process)
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def write(self, block: bytes) -> bool:
        """Give it the next bytes; returns False if it has ended."""
        try:
            self._input.write(block)
        except BrokenPipeError:
            return False
        return True

    def finish(self) -> None:
        """Tell it that this was all, and wait until all is done. Raises UnpackingError."""
        with suppress(BrokenPipeError):
            self._input.close()
        code = self._process.wait()
        self._listening.join()
        if _FULL.search(self._complaint):
            raise UnpackingError(f"cannot be unpacked: the disk of {self._directory} is full")
        if code:
            raise UnpackingError(f"cannot be unpacked: {self._complaint or f'tar ended with {code}'}")

    def kill(self) -> None:
        """End it, if it has not ended."""
        self._process.kill()
        self._process.wait()
        self._listening.join()
        for pipe in (self._process.stdin, self._process.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    @property
    def _input(self) -> IO[bytes]:
        if self._process.stdin is None:
            raise AssertionError("tar was started with a pipe")
        return self._process.stdin

    def _listen(self) -> None:
        """Keep the first complaint; on a full disk tar would complain of each file that is still to come."""
        for line in self._process.stderr or ():
            said = line.decode(errors="replace").strip().removeprefix("tar: ")
            if _FULL.search(said):
                self._complaint = said
                self._process.kill()
                return
            self._complaint = self._complaint or ("" if said.startswith("Removing leading") else said)


def _options() -> list[str]:
    """Return how tar is to work: numbers of owners, not names, as those of a snapshot are."""
    owners = "--same-owner" if os.geteuid() == 0 and _WHOLE_RANGE in _ids() else "--no-same-owner"
    quiet = ["--warning=no-timestamp", "--warning=no-unknown-keyword"]
    return ["--extract", "--file=-", "--numeric-owner", "--same-permissions", owners, *quiet]


def _ids() -> list[str]:
    return Path("/proc/self/uid_map").read_text().split()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
