"""Threads of a transfer: no more of them than answers that take long make useful."""

import threading
from collections import deque

from awsac_async.cloud.threads import Lane, Tally, Threads

_MANY = 20


async def test_while_answers_take_long_more_threads_join() -> None:
    threads, all_at_once = Threads(attempts=1), threading.Barrier(_MANY)

    def task(_: Tally) -> None:
        threads.note_answer(1.0)
        all_at_once.wait(timeout=60)

    def first(_: Tally) -> None:
        threads.note_answer(1.0)

    lane = Lane(tasks=deque([first, first, *[task] * _MANY]), threads=_MANY, first=2, rate=8500)
    await threads.run([lane], on_tick=lambda _: None)
    assert not lane.tasks
    assert not all_at_once.broken


async def test_answers_that_come_at_once_need_no_more_threads_than_at_first() -> None:
    threads, used = Threads(attempts=1), set()
    ticked = threading.Event()

    def task(tally: Tally) -> None:
        threads.note_answer(0.0001)
        used.add(threading.current_thread().name)
        ticked.wait(timeout=60)  # so that there was an occasion to start more
        tally.files += 1

    lane = Lane(tasks=deque([task] * 100), threads=_MANY, first=2, rate=8500)
    done = Tally()

    def note(tally: Tally) -> None:
        nonlocal done
        done = tally
        ticked.set()

    await threads.run([lane], on_tick=note)
    assert (len(used), done.files) == (2, 100)
