"""What is no ini file is told in our words, the same on every Python, and soon."""

import pytest

from awsac_async.session.errors import FormatError
from awsac_async.session.inifile import read_section


def refusal(text: str, *, interpolation: bool = False) -> str:
    with pytest.raises(FormatError) as caught:
        read_section(text, file="f.ini", section="s", interpolation=interpolation)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hello\n", "f.ini, line 1: found 'hello', expected a [section] first"),
        (
            "[s]\nhello\n",
            "f.ini, line 2: found 'hello', expected lines like 'key = value' below a line like '[section]'",
        ),
        ("[s]\na = 1\n\n'quoted' \"twice\"\n", "f.ini, line 4: found '\\'quoted\\' \"twice\"', expected lines like"),
        ("[s]\na = 1\na = 2\n", "f.ini, line 3, a: found the same key a second time, expected each key once"),
        ("[s]\n[s]\n", "f.ini, line 2: found [s] a second time, expected each section once"),
        ("[t]\na = 1\n", "f.ini: found [t], expected a section [s]"),
        (f"[s]\n{'k' * 5000}\n", "f.ini, line 2: found 'kkk"),
        (f"[{'s' * 5000}]\n", "f.ini: found [sss"),
        ("[\x1b]0;owned\x07]\n", "f.ini: found [\\x1b]"),
    ],
)
def test_a_file_that_is_no_ini_file_is_told_in_our_own_words(text: str, sentence: str) -> None:
    said = refusal(text)
    assert said.startswith(sentence)
    assert len(said) < 400


def test_a_key_with_a_wide_gap_is_refused_and_does_not_take_minutes() -> None:
    assert "line 2: found 'a   " in refusal(f"[s]\na{' ' * 900_000}b\n")


def test_a_value_that_stands_for_others_is_refused_before_it_grows() -> None:
    lines = ["a0 = xxxxxxxxxx", *(f"a{number} = {f'%(a{number - 1})s' * 100}" for number in range(1, 10))]
    assert "a single '%'" in refusal("[s]\n" + "\n".join(lines), interpolation=True)


def test_a_doubled_percent_sign_is_one_where_values_are_interpolated() -> None:
    text = "[s]\na = 100%% of %%40\n"
    assert read_section(text, file="f.ini", section="s", interpolation=True)["a"].value == "100% of %40"
    assert read_section(text, file="f.ini", section="s", interpolation=False)["a"].value == "100%% of %%40"
