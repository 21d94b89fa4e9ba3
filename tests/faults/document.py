"""Writes the table of faults into ``docs/faults.md``: ``python -m tests.faults.document``, or ``make docs``."""

from collections.abc import Iterable
from pathlib import Path

from tests.faults.rows import Row
from tests.faults.table import ROWS

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
MARK = "<!-- What follows is written by `make docs` from tests/faults/table.py. -->\n"


def written_by_hand(page: str) -> str:
    """Return what stands before the table."""
    before, mark, _ = page.partition(MARK)
    return before + mark


def table(rows: Iterable[Row]) -> str:
    """Return the table, and below it the file with which each day can be rehearsed."""
    rows = list(rows)
    lines = ["", "| what goes wrong | | what comes of it |", "|---|---|---|"]
    lines += [f"| **{row.name}** | {row.what} | {row.then} |" for row in rows]
    for row in rows:
        if row.faults:
            lines += ["", f"### {row.name}", "", "```toml", row.faults.rstrip(), "```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(written_by_hand(PAGE.read_text()) + table(ROWS))
