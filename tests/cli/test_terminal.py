"""What is drawn at a terminal heeds what the terminal can do and what its user wants."""

import os
import pty
import subprocess
import sys

import pytest

DRAW = """
from awsac_async.cli.remarks import Volume, set_volume
from awsac_async.cli.render import ProgressBar
from awsac_async.cloud.objects import Progress
set_volume(Volume.{volume})
bar = ProgressBar("downloading")
bar.update(Progress(files_done=1, files_total=2, bytes_done=500, bytes_total=1000))
bar.close()
"""


def drawn(*, volume: str = "NORMAL", **variables: str) -> str:
    """Return what a progress bar sends to a terminal of 80 columns."""
    terminal, of_process = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "COLUMNS": "80", **variables}
    with os.fdopen(terminal, "rb", buffering=0) as seen, os.fdopen(of_process, "wb") as given:
        program = [sys.executable, "-c", DRAW.format(volume=volume)]
        subprocess.run(program, env=environment, stdin=subprocess.DEVNULL, stderr=given, check=True, timeout=60)
        os.set_blocking(terminal, False)
        return (seen.read(1 << 20) or b"").decode()


@pytest.mark.parametrize(
    ("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["colour", "NO_COLOR"]
)
def test_a_bar_has_colours_unless_they_are_unwanted(variables: dict[str, str], coloured: bool) -> None:
    seen = drawn(**variables)

    assert "downloading, 1 of 2 files" in seen
    assert ("\x1b[38;5;" in seen or "\x1b[3" in seen) is coloured


def test_nothing_is_drawn_on_a_terminal_that_cannot_or_for_a_user_who_wants_quiet() -> None:
    assert drawn(TERM="dumb") == ""
    assert drawn(volume="QUIET") == ""
