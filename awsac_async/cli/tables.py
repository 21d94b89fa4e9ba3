"""Rows under titles, for a terminal or a pipe: laid out here where they fit, by rich where something has to be folded.

Owns nothing but the layout. Exists because rich takes ten seconds for the ten thousand rows of a large session.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from awsac_async.session.wording import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

_GAP = "  "  # between columns, as rich has it


class Rows:
    """What rich can print as a table without lines; ``right`` are the titles of columns that end at the right."""

    def __init__(
        self, titles: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str], title: str | None = None
    ) -> None:
        self._titles, self._right, self._title = titles, right, title
        self._rows = [row if "".join(row).isprintable() else list(map(printable, row)) for row in rows]

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> Iterator["RenderableType"]:
        """Yield the lines; called by rich."""
        from rich.text import Text

        widths = self._widths(options.max_width)
        if widths is None:
            yield self._folded()
            return
        head, *lines = (self._line(row, widths) for row in chain([self._titles], self._rows))
        if self._title:
            yield Text(self._title)
        yield Text(head, style="bold")
        yield _Lines(lines)

    def _widths(self, most: int) -> list[int] | None:
        """Return the widths of the columns; None if something is too wide, or not so wide as it is long."""
        columns = list(zip(self._titles, *self._rows, strict=True))
        widths = [max(map(len, column)) for column in columns]
        ascii_only = all(text.isascii() for text in map("".join, columns))
        return widths if ascii_only and sum(widths) + len(_GAP) * (len(widths) - 1) <= most else None

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = (
            cell.rjust(width) if title in self._right else cell.ljust(width)
            for cell, width, title in zip(row, widths, self._titles, strict=True)
        )
        return _GAP.join(cells).rstrip()

    def _folded(self) -> "RenderableType":
        from rich.table import Table

        table = Table(
            box=None,
            pad_edge=False,
            header_style="bold",
            title=self._title,
            title_style="",
            title_justify="left",
        )
        for name in self._titles:
            table.add_column(name, justify="right" if name in self._right else "left", overflow="fold")
        for row in self._rows:
            table.add_row(*row)
        return table


class _Lines:
    """Lines that are printed as they are."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> Iterator["Segment"]:
        from rich.segment import Segment

        if self._lines:
            yield Segment("\n".join(self._lines) + "\n")  # one: rich takes as long for each as for all of them
