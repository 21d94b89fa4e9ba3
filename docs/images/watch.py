"""Draw what `awsac check --watch` shows of a session of the embedded cloud at this moment, as SVG.

usage: python docs/images/watch.py SESSION PICTURE
"""

import asyncio
import os
import re
import sys
from io import StringIO
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from awsac_async import client
from awsac_async.cli.watchview import WatchView
from awsac_async.client.lastlines import last_lines
from awsac_async.local import cloud
from awsac_async.session.times import now

COLUMNS, LINES = 122, 24
# Without the fonts that rich asks of the network: a viewer takes its own.
FORMAT = re.sub(r"@font-face {{.*?}}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def screen() -> Console:
    """Return a screen that remembers what is drawn."""
    size = {"width": COLUMNS, "height": LINES}
    return Console(file=StringIO(), record=True, force_terminal=True, color_system="truecolor", highlight=False, **size)


async def main(session: Path, picture: Path) -> None:
    """Draw twice: the first drawing decides whose last log lines are read."""
    os.environ.update(cloud.environment(cloud.default_directory()))
    async with last_lines(session) as lines:
        view = WatchView(clock=now, last_line=lines.of)
        view.update(await client.check(session))
        screen().print(view)
        shown = view.running_shown()
        while shown:
            await lines.look(shown[:6])
            del shown[:6]
        console = screen()
        console.print(view)
    console.save_svg(str(picture), title="awsac check --watch", code_format=FORMAT, unique_id="awsac")


asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
