"""The archive of a release becomes a tree while it is fetched: S3's bytes go through a pipe into ``unpacker``.

Owns that process from its start to its end: whatever happens, none is left, and no thread that writes to it. One that
lost its agent finds the end of its input, and ends.
"""

import asyncio
import fcntl
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from awsac_async.agent import unpacker
from awsac_async.agent.retry import keep_trying, passing
from awsac_async.cloud.bucket import Bucket, ObjectInfo
from awsac_async.session.errors import CloudError
from awsac_async.session.releases import Compression

_PIPE = 1 << 20  # bytes: what Linux lets everybody have
_PATIENCE_SECONDS = 600.0  # without a byte: who gives up loses all that is unpacked by then
_GRACE_SECONDS = 10.0


class ArchiveError(Exception):
    """The archive of a release did not become a tree; the text says why."""


async def unpack_object(bucket: Bucket, info: ObjectInfo, compression: Compression, directory: Path) -> None:
    """Fetch an object and unpack it into a directory that is there.

    Raises:
        ArchiveError: it is damaged, or the tree cannot be made.
        CloudError: it could not be fetched.
    """
    process, writer = await _start(compression, directory)
    feeding = asyncio.create_task(_feed(bucket, info, writer), name=f"fetch {info.key}")
    try:
        await asyncio.wait({feeding})
        feeding.result()
        _, said = await process.communicate()
        if process.returncode:
            sentence = " ".join(said.decode(errors="replace").split())
            raise ArchiveError(f"the archive {sentence or f'was not unpacked: exit code {process.returncode}'}")
    finally:
        await _end(process)  # first: a thread may be waiting for it to read
        feeding.cancel()
        await asyncio.wait({feeding})


async def _start(compression: Compression, directory: Path) -> tuple[asyncio.subprocess.Process, int]:
    """Return the unpacker, and the descriptor that it reads the other end of."""
    reader, writer = os.pipe()
    try:
        with suppress(OSError):  # a smaller one will do
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", unpacker.__name__, compression, str(directory)),
            stdin=reader,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            process_group=0,  # it stays in our session, see tree.reap_orphans
        )
    except BaseException:
        os.close(writer)
        raise
    finally:
        os.close(reader)
    return process, writer


async def _feed(bucket: Bucket, info: ObjectInfo, writer: int) -> None:
    """Write all of an object into a pipe, and close that; after an error that may pass, go on at the next byte."""
    loop, written = asyncio.get_running_loop(), 0

    def write(chunk: bytes) -> None:
        nonlocal written
        rest = memoryview(chunk)
        while rest:
            count = os.write(writer, rest)
            rest, written = rest[count:], written + count

    async def go_on() -> None:
        await bucket.read_in_order(info, write, start=written)

    try:
        before = -1
        while before < written:  # patience is for what stands still
            before, until = written, loop.time() + _PATIENCE_SECONDS
            try:
                await keep_trying(f"fetch {info.key}", go_on, until=until, again=passing)
                return
            except CloudError as error:
                if not passing(error) or written == before:
                    raise
    except BrokenPipeError:
        pass  # the unpacker has ended, and says why
    finally:
        os.close(writer)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the unpacker, if it has not ended: it then ends its tar."""
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(TimeoutError):
        async with asyncio.timeout(_GRACE_SECONDS):
            await process.wait()
            return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
