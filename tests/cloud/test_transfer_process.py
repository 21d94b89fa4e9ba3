"""What only a whole process shows: its memory, and how it ends."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from awsac_async.cloud.bucket import Bucket, Upload
from tests.cloud.faults import error
from tests.waiting import wait_until

CHILD = Path(__file__).parent / "transfer_child.py"


@asynccontextmanager
async def transfer(
    endpoint: str, bucket: Bucket, verb: str, path: Path
) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.StreamReader]]:
    """Start a transfer, which must end within a minute and does not outlive the test; give it and its output.

    It tries longer than that what fails: what a test waits for is to come first, also on a busy machine.
    """
    environment = os.environ | {"AWS_MAX_ATTEMPTS": "20"}
    child = await asyncio.create_subprocess_exec(
        sys.executable, CHILD, endpoint, bucket.name, verb, path, stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(60):
            yield child, child.stdout
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def growth(endpoint: str, bucket: Bucket, verb: str, path: Path) -> int:
    """Run a transfer in a process of its own; return by how many MiB it grew at its largest."""
    async with transfer(endpoint, bucket, verb, path) as (child, _):
        output, _ = await child.communicate()
    assert child.returncode == 0
    return int(output.split()[-1])


async def test_a_large_file_is_never_held_in_memory_in_either_direction(endpoint, bucket, tmp_path):
    size = 250 << 20
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    up = await growth(endpoint, bucket, "upload", tmp_path / "large")
    down = await growth(endpoint, bucket, "download", tmp_path / "back")
    assert (tmp_path / "back").stat().st_size == size
    assert up < 180
    assert down < 90


async def test_ctrl_c_stops_a_download_and_the_process_ends_with_nothing_but_a_part_file(
    endpoint, proxy, bucket, tmp_path
):
    await bucket.upload([Upload(source=bytes(20 << 20), key="large")])
    proxy.fail(lambda asked: asked.headers.get("range", "").startswith("bytes=16777216-"), error(503, "SlowDown"))
    async with transfer(proxy.endpoint, bucket, "download", tmp_path / "back") as (child, printed):
        assert await printed.readline() == b"begun\n"
        child.send_signal(signal.SIGINT)
        output, _ = await child.communicate()
    assert child.returncode == 0
    assert output.splitlines()[-1] == b"stopped"
    assert {path.name for path in tmp_path.iterdir()} == {"back.part", "back.part.ranges"}


async def test_after_a_kill_only_what_was_not_there_is_fetched(endpoint, proxy, bucket, tmp_path):
    content = os.urandom(20 << 20)
    await bucket.upload([Upload(source=content, key="large")])
    proxy.fail(lambda asked: asked.headers.get("range", "").startswith("bytes=16777216-"), error(503, "SlowDown"))
    async with transfer(proxy.endpoint, bucket, "download", tmp_path / "back") as (child, _):
        note = tmp_path / "back.part.ranges"
        await asyncio.to_thread(wait_until, lambda: note.exists() and note.read_text().endswith("\n0\n"))
        child.kill()
        await child.wait()
    assert not (tmp_path / "back").exists()
    proxy.reset()

    async with transfer(proxy.endpoint, bucket, "download", tmp_path / "back") as (child, _):
        await child.communicate()
    assert {asked.headers["range"] for asked in proxy.asked if "range" in asked.headers} == {"bytes=16777216-20971519"}
    assert (tmp_path / "back").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["back"]
