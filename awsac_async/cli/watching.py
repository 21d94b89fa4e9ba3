"""How ``check --watch`` looks until the session is over: full-screen at a terminal, as lines in a pipe, as JSON lines.

Owns the screen while it is ours, and leaves it as it was. Each returns how the session stood at last.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from awsac_async.cli.common import say_trying_again
from awsac_async.cli.statustext import console, job_line, status_values
from awsac_async.session.errors import CloudError
from awsac_async.session.times import now

if TYPE_CHECKING:
    from rich.live import Live

    from awsac_async.cli.watchview import WatchView
    from awsac_async.client import LastLines, SessionStatus

_TICK = 1.0  # seconds between two redraws


async def watch_documents(session: Path) -> "SessionStatus":
    """Print a document whenever the session has changed, one a line."""
    from awsac_async.client import watch

    async with aclosing(watch(session, on_failure=say_trying_again)) as statuses:
        async for status in statuses:
            print(json.dumps(status_values(status), separators=(",", ":")), flush=True)
    return status


async def watch_lines(session: Path) -> "SessionStatus":
    """Print a line whenever a job has changed."""
    from awsac_async.client import watch

    known: set[str] = set()
    async with aclosing(watch(session, on_failure=say_trying_again)) as statuses:
        async for status in statuses:
            lines = [job_line(job, lost=job.number in status.lost_numbers) for job in status.jobs]
            for line in lines:
                if line not in known:
                    print(line, flush=True)
            known = set(lines)
    return status


def has_screen() -> bool:
    """Say whether standard output is a terminal that can be drawn on."""
    screen = console()
    return screen.is_terminal and not screen.is_dumb_terminal


async def watch_screen(session: Path) -> "SessionStatus":
    """Draw the live view on a screen of its own, which is gone at the end, also after Ctrl-C."""
    from rich.live import Live

    from awsac_async.cli.watchview import WatchView
    from awsac_async.client import last_lines, watch

    async with last_lines(session) as lines:
        view = WatchView(clock=now, last_line=lines.of)
        with Live(view, console=console(), screen=True, auto_refresh=False) as live:
            statuses = watch(session, on_failure=lambda error: view.failed(f"{error}; trying again"))
            async with aclosing(statuses), _meanwhile(live, view, lines):
                async for status in statuses:
                    view.update(status)
                    live.refresh()
    return status


@asynccontextmanager
async def _meanwhile(live: "Live", view: "WatchView", lines: "LastLines") -> AsyncGenerator[None]:
    """Let durations tick and the last lines of jobs come, as long as there is somebody to watch."""
    tasks = [
        asyncio.create_task(_tick(live), name="redraw"),
        asyncio.create_task(_read_lines(view, lines), name="read last lines"),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):  # a fault of ours, not the cancelling
                raise result


async def _tick(live: "Live") -> None:
    while True:
        live.refresh()
        await asyncio.sleep(_TICK)


async def _read_lines(view: "WatchView", lines: "LastLines") -> None:
    from awsac_async.client import LAST_LINES_SECONDS

    while True:
        await asyncio.sleep(LAST_LINES_SECONDS)
        try:
            await lines.look(view.running_shown())
        except CloudError as error:
            view.failed(f"the last lines of logs cannot be read: {error}")
            if not error.temporary:
                return
