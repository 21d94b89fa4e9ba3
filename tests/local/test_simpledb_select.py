"""Select: the developer guide's own examples, the grammar and its limits, and properties that hold for any query."""
# ruff: noqa: S608  # select expressions put together from text are what is tested

import base64
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from awsac_async.local.simpledb import exceptions
from awsac_async.local.simpledb.models import PutPair, SimpleDBBackend
from awsac_async.local.simpledb.parser import parse_select
from awsac_async.local.simpledb.select import Page

Attributes = Mapping[str, set[str]]
DOMAIN = "mydomain"

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


def backend_with(items: Mapping[str, Attributes]) -> SimpleDBBackend:
    backend = SimpleDBBackend("us-east-1", "123456789012")
    backend.create_domain(DOMAIN)
    for name, attributes in items.items():
        pairs = [PutPair(name=key, value=value) for key, values in attributes.items() for value in values]
        backend.put_attributes(DOMAIN, name, pairs)
    return backend


def pages(backend: SimpleDBBackend, expression: str) -> Iterator[Page]:
    token = None
    while True:
        page = backend.select(expression, next_token=token)
        yield page
        token = page.next_token
        if token is None:
            return


def names(backend: SimpleDBBackend, expression: str) -> list[str]:
    return [item.name for page in pages(backend, expression) for item in page.items]


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


# --- properties -------------------------------------------------------------------------------------------------------

words = st.sampled_from(["", "a", "b", "ab", "ba", "'", '"', "`", "%", "é", "A", "a b"])
attribute_names = st.sampled_from(["x", "y", "z w", "or", "`"])
items = st.dictionaries(
    words.filter(bool),
    st.dictionaries(attribute_names, st.sets(words, min_size=1, max_size=3), min_size=1, max_size=4),
    max_size=6,
)

ValueTest = tuple[str, Callable[[str], bool]]
ItemTest = tuple[str, Callable[[str, Attributes], bool]]


def backticked(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


@st.composite
def constants(draw: st.DrawFn) -> tuple[str, str]:
    value, quote = draw(words), draw(st.sampled_from("'\""))
    return quote + value.replace(quote, quote * 2) + quote, value


@st.composite
def comparisons(draw: st.DrawFn) -> ValueTest:
    """The right side of a comparison as text, and what it means for one value."""
    (text, low), (text2, high) = draw(constants()), draw(constants())
    plain = low.replace("%", "")
    like = text.replace("%", "")
    return draw(
        st.sampled_from(
            [
                (f"= {text}", lambda v: v == low),
                (f"!= {text}", lambda v: v != low),
                (f"<{text}", lambda v: v < low),
                (f"<= {text}", lambda v: v <= low),
                (f"> {text}", lambda v: v > low),
                (f">={text}", lambda v: v >= low),
                (f"between {text} and {text2}", lambda v: low <= v <= high),
                (f"in ({text}, {text2})", lambda v: v in {low, high}),
                (f"LIKE {like[:-1]}%{like[-1]}", lambda v: v.startswith(plain)),
                (f"not  like {like[0]}%{like[1:]}", lambda v: not v.endswith(plain)),
            ]
        )
    )


@st.composite
def predicates(draw: st.DrawFn, name: str) -> ItemTest:
    """Comparisons of one attribute joined by and/or, which one and the same value has to satisfy."""
    (text, test), (text2, test2) = draw(comparisons()), draw(comparisons())
    quoted = backticked(name)
    text, text2 = f"{quoted} {text}", f"{quoted} {text2}"
    return draw(
        st.sampled_from(
            [
                (text, lambda _, attributes: any(map(test, attributes.get(name, ())))),
                (f"{text} and {text2}", lambda _, at: any(test(v) and test2(v) for v in at.get(name, ()))),
                (f"({text} or {text2})", lambda _, at: any(test(v) or test2(v) for v in at.get(name, ()))),
            ]
        )
    )


@st.composite
def simple_tests(draw: st.DrawFn) -> ItemTest:
    first, second = draw(st.lists(attribute_names, min_size=2, max_size=2, unique=True))
    (text, test), (text2, test2) = draw(predicates(first)), draw(predicates(second))
    compare, accepts = draw(comparisons())
    quoted = backticked(first)
    return draw(
        st.sampled_from(
            [
                (text, test),
                (f"{text} and {text2}", lambda n, at: test(n, at) and test2(n, at)),
                (f"{quoted} is null", lambda _, at: first not in at),
                (f"{quoted} is not null", lambda _, at: first in at),
                (f"every({quoted}) {compare}", lambda _, at: first in at and all(map(accepts, at[first]))),
                (f"itemName() {compare}", lambda n, _: accepts(n)),
            ]
        )
    )


def combined(tests: st.SearchStrategy[ItemTest]) -> st.SearchStrategy[ItemTest]:
    def negated(pair: ItemTest) -> ItemTest:
        text, test = pair
        return f"not ({text})", lambda n, at: not test(n, at)

    def either(pairs: tuple[ItemTest, ItemTest]) -> ItemTest:
        (text, test), (text2, test2) = pairs
        return f"({text}) or ({text2})", lambda n, at: test(n, at) or test2(n, at)

    def both(pairs: tuple[ItemTest, ItemTest]) -> ItemTest:
        (text, test), (text2, test2) = pairs
        return f"({text}) INTERSECTION ({text2})", lambda n, at: test(n, at) and test2(n, at)

    return st.one_of(tests.map(negated), st.tuples(tests, tests).map(either), st.tuples(tests, tests).map(both))


@settings(deadline=None)
@given(items, st.recursive(simple_tests(), combined, max_leaves=3))
def test_a_select_finds_what_a_loop_over_the_items_finds(stored: dict[str, Attributes], query: ItemTest) -> None:
    text, test = query
    try:
        found = names(backend_with(stored), f"select * from {DOMAIN} where {text} limit 2")
    except exceptions.InvalidNumberValueTests:
        assume(False)
    assert found == sorted(name for name, attributes in stored.items() if test(name, attributes))


REFUSALS = (
    exceptions.InvalidQueryExpression,
    exceptions.InvalidSortExpression,
    exceptions.InvalidNumberPredicates,
    exceptions.InvalidNumberValueTests,
    exceptions.InvalidParameterValue,
    exceptions.TooManyRequestedAttributes,
)
symbols = ["*", ",", "=", "!=", "(", ")", "'x'", "'", '"', "`b`", "`", "0", "5", "count(*)", "itemName()"]
keywords = ["select", "from", "where", "and", "or", "not", "every", "is", "null", "like", "in", "between"]
clauses = ["order by", "asc", "desc", "limit", "intersection", "a", "d"]
fragments = st.sampled_from([*symbols, *keywords, *clauses])


@settings(deadline=None)
@given(st.one_of(st.text(), st.lists(fragments).map(" ".join), st.lists(fragments).map("select * from d {}".format)))
def test_any_text_is_parsed_or_refused_by_a_documented_code(text: str) -> None:
    try:
        query = parse_select(text)
    except REFUSALS:
        return
    assert query.domain in text.replace("``", "`")


@settings(deadline=None)
@given(
    st.sets(st.integers(0, 999), max_size=40).map(lambda numbers: {f"{number:03}" for number in numbers}),
    st.integers(1, 50),
    st.sampled_from(["", "where v > '' order by v", "where v > '' order by v desc", "where v like '%1%'"]),
)
def test_paging_returns_every_item_once_and_in_order(numbers: set[str], limit: int, tail: str) -> None:
    backend = backend_with({number: {"v": {number[1:]}} for number in numbers})
    expected = [item.name for item in backend.select(f"select * from {DOMAIN} {tail} limit 2500").items]
    found = list(islice(pages(backend, f"select * from {DOMAIN} {tail} limit {limit}"), 100))
    assert [item.name for page in found for item in page.items] == expected
    assert all(len(page.items) == limit for page in found[:-1])
    if "like" not in tail:
        assert sorted(expected) == sorted(numbers)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@settings(deadline=None)
@given(texts, texts, texts, st.sampled_from("'\""))
def test_any_name_and_value_can_be_quoted(item_name: str, name: str, value: str, quote: str) -> None:
    backend = backend_with({item_name: {name: {value}}, item_name + "2": {name: {value + "2"}}})
    quoted = quote + value.replace(quote, quote * 2) + quote
    page = backend.select(f"select {backticked(name)} from {DOMAIN} where {backticked(name)} = {quoted}")
    assert [(item.name, item.pairs) for item in page.items] == [(item_name, ((name, value),))]
