"""A time to wait ends as a TimeoutError on every Python, whatever became of the task before."""

import asyncio

import pytest

from awsac_async.timeouts import Timeout


async def fails() -> None:
    await asyncio.sleep(0.01)
    raise ValueError("a fault")


async def once_cancelled() -> None:
    """Have a group of tasks fail while this task waits for its end: until Python 3.13 a trace of that stays."""
    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(fails(), name="fails")


async def test_a_time_to_wait_that_is_over_is_a_timeout_also_where_tasks_have_failed_before() -> None:
    await once_cancelled()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()


@pytest.mark.parametrize("before", [False, True])
async def test_what_mends_old_pythons_tells_a_timeout_from_a_cancellation(before: bool) -> None:
    async def wait(seconds: float) -> str:
        if before:
            await once_cancelled()
        try:
            async with Timeout(asyncio.get_running_loop().time() + seconds):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return "never"

    assert await wait(0.01) == "late"
    task = asyncio.create_task(wait(60), name="wait")
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
