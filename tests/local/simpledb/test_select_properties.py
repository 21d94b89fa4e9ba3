"""Select by property: what holds for any items, any where clause, any limit and any text."""
# ruff: noqa: S608  # select expressions put together from text are what is tested

from collections.abc import Callable
from itertools import islice

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from awsac_async.local.simpledb import exceptions
from awsac_async.local.simpledb.parser import parse_select

from .domains import DOMAIN, Attributes, backend_with, names, pages

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
