"""Writes the tables of rights into ``docs/permissions.md``: ``python -m tests.session.document``, or ``make docs``."""

from collections.abc import Iterator
from pathlib import Path

from awsac_async.session.policies import RIGHTS, Holder, Right

PAGE = Path(__file__).parents[2] / "docs" / "permissions.md"
END = "<!-- Until here. -->\n"


def with_tables(page: str) -> str:
    """Return the page with the tables as they are now."""
    for holder in Holder:
        mark = f"<!-- Written by `make docs` from awsac_async/session/policies.py: {holder}. -->\n"
        before, _, rest = page.partition(mark)
        page = before + mark + table(holder) + END + rest.partition(END)[2]
    return page


def table(holder: Holder) -> str:
    """Return the rights of a policy as a table; only a client has verbs."""
    heads = ["action", "on what", "what for"] + ["verbs"] * (holder is Holder.CLIENT)
    lines = [heads, ["---"] * len(heads), *(cell[: len(heads)] for right in RIGHTS[holder] for cell in _rows(right))]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _rows(right: Right) -> Iterator[list[str]]:
    actions = ", ".join(f"`{action}`" for action in right.actions)
    on = "; ".join(each.shown for each in right.on)
    yield [actions, on, "optional: " * right.optional + right.why, right.verbs]


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
