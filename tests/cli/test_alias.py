"""The command line of 2008 is another way to write the verbs."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from awsac_async.cli.alias import HELP, translated
from awsac_async.session.errors import InputError
from tests.cli.conftest import Awsac

AWSAC_SESSION = (sys.executable, "-c", "from awsac_async.cli.alias import main; main()")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--start -i my.ini -a my.tar.bz2 -d data", "start -i my.ini -a my.tar.bz2 -d data"),
        ("-i my.ini -a my.tar.bz2 --start", "start -i my.ini -a my.tar.bz2"),
        ("--check -c session-a.cfg", "check -c session-a.cfg"),
        ("--getresults -c session-a.cfg -o results", "getresults -c session-a.cfg -o results"),
        ("--cleanup -c session-a.cfg --yes", "cleanup -c session-a.cfg --yes"),
    ],
)
def test_each_choice_of_2008_is_a_verb_with_the_same_options(words: str, expected: str) -> None:
    assert translated(words.split()) == expected.split()


@pytest.mark.parametrize("words", ["", "-c session-a.cfg", "--check --cleanup -c session-a.cfg", "--check --check"])
def test_exactly_one_choice_must_be_made(words: str) -> None:
    with pytest.raises(InputError, match="exactly one of --start, --check, --getresults or --cleanup"):
        translated(words.split())


def test_it_is_a_command_of_its_own_with_the_exit_codes_of_awsac(awsac: Awsac) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    run = {"cwd": awsac.folder, "env": awsac.environment, "capture_output": True, "text": True}

    shown = subprocess.run([*AWSAC_SESSION, "--help"], check=False, timeout=60, **run)
    refused = subprocess.run([*AWSAC_SESSION, "--check", "-c", "nowhere.cfg"], check=False, timeout=60, **run)

    assert project["scripts"]["awsac-session"] == "awsac_async.cli.alias:main"
    assert (shown.returncode, shown.stdout) == (0, HELP)
    assert refused.returncode == 2
    assert refused.stderr.startswith("awsac: nowhere.cfg: found no such file")


def test_its_help_fits_a_screen() -> None:
    assert len(HELP.splitlines()) <= 40
    assert max(map(len, HELP.splitlines())) <= 80
