"""Select by example: the developer guide's own queries and results, its grammar, its paging and its limits."""
# ruff: noqa: S608  # select expressions put together from text are what is tested

import base64

import pytest

from awsac_async.local.simpledb import exceptions
from awsac_async.local.simpledb.models import PutPair, SimpleDBBackend
from awsac_async.local.simpledb.parser import parse_select

from .domains import DOMAIN, Attributes, backend_with, names, pages

# The developer guide's "Sample Query Data Set".
BOOKS_AND_RECORDS: dict[str, Attributes] = {
    "0385333498": {
        "Title": {"The Sirens of Titan"},
        "Author": {"Kurt Vonnegut"},
        "Year": {"1959"},
        "Pages": {"00336"},
        "Keyword": {"Book", "Paperback"},
        "Rating": {"*****", "5 stars", "Excellent"},
    },
    "0802131786": {
        "Title": {"Tropic of Cancer"},
        "Author": {"Henry Miller"},
        "Year": {"1934"},
        "Pages": {"00318"},
        "Keyword": {"Book"},
        "Rating": {"****"},
    },
    "1579124585": {
        "Title": {"The Right Stuff"},
        "Author": {"Tom Wolfe"},
        "Year": {"1979"},
        "Pages": {"00304"},
        "Keyword": {"Book", "Hardcover", "American"},
        "Rating": {"****", "4 stars"},
    },
    "B000T9886K": {
        "Title": {"In Between"},
        "Author": {"Paul Van Dyk"},
        "Year": {"2007"},
        "Keyword": {"CD", "Trance"},
        "Rating": {"4 stars"},
    },
    "B00005JPLW": {
        "Title": {"300"},
        "Author": {"Zack Snyder"},
        "Year": {"2007"},
        "Keyword": {"DVD", "Action", "Frank Miller"},
        "Rating": {"***", "3 stars", "Not bad"},
    },
    "B000SF3NGK": {
        "Title": {"Heaven's Gonna Burn Your Eyes"},
        "Author": {"Thievery Corporation"},
        "Year": {"2002"},
        "Rating": {"*****"},
    },
}


@pytest.fixture(scope="module")
def shop() -> SimpleDBBackend:
    return backend_with(BOOKS_AND_RECORDS)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("Title = 'The Right Stuff'", "1579124585"),
        ("Year > '1985'", "B00005JPLW B000SF3NGK B000T9886K"),
        ("Rating like '****%'", "0385333498 0802131786 1579124585 B000SF3NGK"),
        ("Pages < '00320'", "0802131786 1579124585"),
        ("Year > '1975' and Year < '2008'", "1579124585 B00005JPLW B000SF3NGK B000T9886K"),
        ("Year between '1975' and '2008'", "1579124585 B00005JPLW B000SF3NGK B000T9886K"),
        ("Rating = '***' or Rating = '*****'", "0385333498 B00005JPLW B000SF3NGK"),
        (
            "(Year > '1950' and Year < '1960') or Year like '193%' or Year = '2007'",
            "0385333498 0802131786 B00005JPLW B000T9886K",
        ),
        ("Rating = '4 stars' or Rating = '****'", "0802131786 1579124585 B000T9886K"),
        ("Keyword = 'Book' and Keyword = 'Hardcover'", ""),
        ("(Keyword = 'Book' and Year > '1') and Keyword = 'Hardcover'", ""),
        ("Keyword = 'Book' intersection Keyword = 'Hardcover'", "1579124585"),
        ("every(Keyword) in ('Book', 'Paperback')", "0385333498 0802131786"),
        ("every(Rating) = '****'", "0802131786"),
        ("Keyword is null", "B000SF3NGK"),
        ("Pages is not null and Year < '1950'", "0802131786"),
        ("Author not like '%Miller' and Keyword = 'Book'", "0385333498 1579124585"),
        ("not Keyword = 'Book'", "B00005JPLW B000SF3NGK B000T9886K"),
        ("Keyword != 'Book'", "0385333498 1579124585 B00005JPLW B000T9886K"),
        ("itemName() in ('0385333498', 'B000T9886K', 'nothing')", "0385333498 B000T9886K"),
        ("itemName() like 'B000%' and Year = '2007'", "B00005JPLW B000T9886K"),
        ("Year = '1934' or Year = '1959' and Pages > '1'", "0802131786"),
        ("Year = '1934' or Year = '1959' intersection Pages = '00318'", "0802131786"),
        ("not Year = '1934' and Pages is not null", "0385333498 1579124585"),
    ],
)
def test_a_where_clause_selects_what_the_developer_guide_says(shop: SimpleDBBackend, where: str, expected: str) -> None:
    assert names(shop, f"select itemName() from mydomain where {where}") == expected.split()


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("where Year < '1980' order by Year asc", "0802131786 0385333498 1579124585"),
        ("where Year < '1980' order by Year", "0802131786 0385333498 1579124585"),
        ("where Year = '2007' intersection Author is not null order by Author desc", "B00005JPLW B000T9886K"),
        ("where itemName() like 'B000%' order by itemName() desc", "B000T9886K B000SF3NGK B00005JPLW"),
        ("where Pages > '1' or Year > '1' order by Pages", "1579124585 0802131786 0385333498"),
        (
            "where Rating is not null order by Rating desc limit 1",
            "B00005JPLW 0385333498 B000T9886K 1579124585 B000SF3NGK 0802131786",
        ),
    ],
)
def test_an_order_sorts_the_items_that_have_the_attribute(shop: SimpleDBBackend, tail: str, expected: str) -> None:
    assert names(shop, f"select Title from mydomain {tail}") == expected.split()


def test_the_output_list_chooses_the_pairs(shop: SimpleDBBackend) -> None:
    where = "where Title = 'The Right Stuff'"

    def pairs(output: str) -> tuple[tuple[str, str], ...]:
        (page,) = pages(shop, f"select {output} from mydomain {where}")
        return page.items[0].pairs

    assert pairs("itemName()") == ()
    assert pairs("Year, `Rating`, Nothing") == (("Rating", "****"), ("Rating", "4 stars"), ("Year", "1979"))
    assert set(pairs("*")) == {
        (name, value) for name, values in BOOKS_AND_RECORDS["1579124585"].items() for value in values
    }
    assert pairs("count(*)") == (("Count", "1"),)


def test_the_token_of_a_count_leads_a_select_on(shop: SimpleDBBackend) -> None:
    counted = shop.select("select count(*) from mydomain where Year > '1' order by Year limit 4")
    rest = shop.select("select * from mydomain where Year > '1' order by Year", next_token=counted.next_token)
    assert counted.items[0].pairs == (("Count", "4"),)
    assert [item.name for item in rest.items] == ["B00005JPLW", "B000T9886K"]


def test_paging_goes_on_after_the_last_item_though_it_was_deleted(shop: SimpleDBBackend) -> None:
    backend = backend_with(BOOKS_AND_RECORDS)
    first = backend.select("select * from mydomain limit 2")
    backend.delete_attributes(DOMAIN, first.items[-1].name, [])
    second = backend.select("select * from mydomain limit 2", next_token=first.next_token)
    assert [item.name for item in second.items] == sorted(BOOKS_AND_RECORDS)[2:4]


def test_a_page_ends_at_one_megabyte() -> None:
    pairs = [PutPair(name=f"a{i:03}", value="x" * 1000) for i in range(100)]
    backend = backend_with({})
    for number in range(25):
        backend.put_attributes(DOMAIN, f"item{number:02}", pairs)
    sizes = [len(page.items) for page in pages(backend, "select * from mydomain limit 2500")]
    assert sizes == [9, 9, 7]


@pytest.mark.parametrize(
    "token",
    [
        "",
        "nonsense",
        "é",
        base64.b64encode(b"[1, 2, 3]").decode(),
        base64.b64encode(b"[" * 100_000).decode(),
        base64.b64encode(b'{"a": 1}').decode(),
    ],
)
def test_a_token_that_no_query_gave_out_is_refused(shop: SimpleDBBackend, token: str) -> None:
    with pytest.raises(exceptions.InvalidNextToken):
        shop.select("select * from mydomain", next_token=token)


def test_a_token_of_another_query_is_refused(shop: SimpleDBBackend) -> None:
    token = shop.select("select * from mydomain where Year > '1' limit 1").next_token
    with pytest.raises(exceptions.InvalidNextToken):
        shop.select("select * from mydomain where Year > '2' limit 1", next_token=token)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "select",
        "select * from",
        "select from mydomain",
        "select * from 'mydomain'",
        "select * from my-domain",
        "select * from mydomain where",
        "select * from mydomain where a",
        "select * from mydomain where a = b",
        "select * from mydomain where a = 1",
        "select * from mydomain where a = 'it's'",
        "select * from mydomain where 'a' = 'b'",
        "select * from mydomain where a <> 'b'",
        "select * from mydomain where a in ()",
        "select * from mydomain where a between '1'",
        "select * from mydomain where (a = '1'",
        "select * from mydomain where a = '1' and",
        "select * from mydomain where every a = '1'",
        "select * from mydomain where like = '1'",
        "select * from mydomain limit",
        "select * from mydomain limit -1",
        "select * from mydomain order by",
        "select * from mydomain limit 5 where a = '1'",
        "select *, a from mydomain",
        "select count(a) from mydomain",
        "select * from mydomain; drop",
        "select * from mydomain where " + "(" * 5000 + "a = '1'" + ")" * 5000,
        "select * from mydomain where " + "not " * 5000 + "a = '1'",
    ],
)
def test_text_that_breaks_the_grammar_is_an_invalid_query_expression(text: str) -> None:
    with pytest.raises(exceptions.InvalidQueryExpression):
        parse_select(text)


@pytest.mark.parametrize("keyword", ["select", "OR", "Every", "limit", "between", "intersection"])
def test_a_keyword_names_an_attribute_in_backticks_only(keyword: str) -> None:
    backend = backend_with({"item": {keyword: {"1"}}})
    assert names(backend, f"select `{keyword}` from mydomain where `{keyword}` = '1'") == ["item"]
    with pytest.raises(exceptions.InvalidQueryExpression):
        parse_select(f"select * from mydomain where {keyword} = '1'")


def test_count_and_itemname_without_brackets_are_attributes() -> None:
    backend = backend_with({"item": {"count": {"1"}, "itemName": {"2"}}})
    (page,) = pages(backend, "select count, itemName from mydomain where itemName = '2' and count = '1'")
    assert page.items[0].pairs == (("count", "1"), ("itemName", "2"))


@pytest.mark.parametrize(
    ("tail", "error"),
    [
        ("order by a", exceptions.InvalidSortExpression),
        ("where a is null order by a", exceptions.InvalidSortExpression),
        ("where b = '1' order by a", exceptions.InvalidSortExpression),
        ("where b = '1' order by itemName()", exceptions.InvalidSortExpression),
        ("limit 0", exceptions.InvalidParameterValue),
        ("limit 2501", exceptions.InvalidParameterValue),
        ("limit " + "9" * 5000, exceptions.InvalidParameterValue),
        ("where " + " or ".join(f"a = '{i}'" for i in range(21)), exceptions.InvalidNumberValueTests),
        ("where a in (" + ",".join(f"'{i}'" for i in range(21)) + ")", exceptions.InvalidNumberValueTests),
        ("where " + " or ".join(f"a{i} = '1'" for i in range(21)), exceptions.InvalidNumberPredicates),
    ],
)
def test_a_select_beyond_the_documented_limits_is_refused_by_its_code(
    tail: str, error: type[exceptions.SimpleDBError]
) -> None:
    with pytest.raises(error):
        parse_select(f"select * from mydomain {tail}")


def test_what_is_just_within_the_limits_is_accepted() -> None:
    parse_select("select * from d where " + " or ".join(f"a{i} = '1'" for i in range(20)) + " limit 2500")
    parse_select("select " + ",".join(f"a{i}" for i in range(256)) + " from d limit 1")
    parse_select("select count(*) from d limit 10000")
    with pytest.raises(exceptions.TooManyRequestedAttributes):
        parse_select("select " + ",".join(f"a{i}" for i in range(257)) + " from d")


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("a%", {"a", "ab", "a%", "aba"}),
        ("%a", {"a", "ba", "aba"}),
        ("%b%", {"ab", "ba", "aba", "b\n"}),
        ("a%a", {"aba"}),
        ("%", {"", "a", "ab", "ba", "a%", "aba", "b\n", "\\"}),
        ("a", {"a"}),
        ("", {""}),
        ("a\\%", {"a%"}),
        ("\\\\", {"\\"}),
        ("\\", {"\\"}),
    ],
)
def test_like_matches_whole_values_with_percent_as_any_text(pattern: str, matching: set[str]) -> None:
    values = ["", "a", "ab", "ba", "a%", "aba", "b\n", "\\"]
    backend = backend_with({f"i{number}": {"v": {value}} for number, value in enumerate(values)})
    found = names(backend, f"select * from mydomain where v like '{pattern}'")
    assert {values[int(name[1:])] for name in found} == matching
