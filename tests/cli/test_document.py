"""The help in the documentation is the program's own."""

from tests.cli.document import PAGE, help_pages, written_by_hand


def test_the_page_shows_the_help_as_it_is() -> None:
    page = PAGE.read_text()
    assert page == written_by_hand(page) + help_pages(), "make docs writes it anew"
