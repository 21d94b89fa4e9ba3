"""Writes the program's own help into ``docs/commands.md``: ``python -m tests.cli.document``, or ``make docs``."""

import os
from collections.abc import Iterator
from pathlib import Path

from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from awsac_async.cli.alias import HELP
from awsac_async.cli.app import HELP_WIDTH, app

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
MARK = "<!-- What follows is written by `make docs` from the program's own help. -->\n"


def written_by_hand(page: str) -> str:
    """Return what stands before the help."""
    before, mark, _ = page.partition(MARK)
    return before + mark


def help_pages() -> str:
    """Return the help of every command, under a heading of its own."""
    pages = [(" ".join(["awsac", *words]), _help(*words)) for words in commands()]
    return "".join(f"\n## {name}\n\n```\n{text.rstrip()}\n```\n" for name, text in [*pages, ("awsac-session", HELP)])


def commands() -> Iterator[list[str]]:
    """Return the words of each command, the command line itself first."""
    yield []
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    for name, command in group.commands.items():
        yield [name]
        if isinstance(command, TyperGroup):
            yield from ([name, each] for each in command.commands)


def _help(*words: str) -> str:
    no_configuration = {"AWSAC_CONFIG": ""}  # the help would show its defaults
    wide = {"terminal_width": HELP_WIDTH}
    done = CliRunner().invoke(app, [*words, "--help"], prog_name="awsac", env=no_configuration, **wide)
    assert done.exit_code == os.EX_OK, done.output
    return done.stdout


if __name__ == "__main__":
    PAGE.write_text(written_by_hand(PAGE.read_text()) + help_pages())
