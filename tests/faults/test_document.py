"""The table of faults in the documentation is the one that is tested."""

from tests.faults.document import PAGE, table, written_by_hand
from tests.faults.table import ROWS


def test_the_page_shows_the_table_as_it_is() -> None:
    page = PAGE.read_text()
    assert page == written_by_hand(page) + table(ROWS), "make docs writes it anew"
