"""The command line answers at once, and explains itself."""

import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from awsac_async import __version__
from awsac_async.cli.app import app
from tests.cli.conftest import AWSAC, Awsac
from tests.cli.document import commands

HEAVY = ("aioboto3", "aiobotocore", "aiohttp", "boto3", "botocore", "moto", "flask", "obstore", "rich")


def test_help_imports_no_aws_library_and_no_rich(awsac: Awsac) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", AWSAC, "--help"], capture_output=True, text=True, check=True
    )
    imported = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]

    assert "Usage: awsac" in done.stdout
    assert "typer" in imported
    assert [name for name in imported if name.split(".")[0] in HEAVY] == []
    # As many as typer and a bare Python need, and some of ours; aioboto3 alone would be 700 more.
    assert len(imported) < 350


VERBS = [" ".join(words) for words in commands() if words not in ([], ["image"], ["release"], ["local"])]


def helped(*words: str, columns: int = 80) -> str:
    done = CliRunner().invoke(app, [*words, "--help"], prog_name="awsac", terminal_width=columns)
    assert done.exit_code == 0
    return done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_each_verb_has_an_example_on_one_line_that_can_be_copied(verb: str) -> None:
    (example,) = re.findall(r"^  Example: (.+)$", helped(*verb.split()), re.MULTILINE)

    assert f"awsac {verb}" in example


def test_the_verbs_are_listed_in_sections_each_with_a_whole_sentence() -> None:
    _, *sections = re.split(r"^(?=[A-Z].+:$)", helped(), flags=re.MULTILINE)
    listed = {section.partition(":")[0]: section.splitlines()[1:] for section in sections}

    assert list(listed) == ["Options", "Before a session", "While it runs", "After it", "Besides"]
    verbs = [line.split(maxsplit=1) for name, lines in listed.items() if name != "Options" for line in lines if line]
    assert [name for name, _ in verbs] == list(dict.fromkeys(verb.split()[0] for verb in VERBS))
    assert [text for _, text in verbs if not text.endswith(".") or text.endswith("...")] == []


@pytest.mark.parametrize(
    ("words", "nearest"), [(["chek"], "'check'"), (["check", "--wacth"], "--watch"), (["local", "dwon"], "'down'")]
)
def test_a_verb_or_option_that_is_mistyped_gets_the_nearest_one_named(words: list[str], nearest: str) -> None:
    done = CliRunner().invoke(app, words, prog_name="awsac")

    assert done.exit_code == 2
    assert nearest in done.stderr


def test_the_version_is_the_packages(awsac: Awsac) -> None:
    assert awsac.ok("--version") == f"awsac {__version__}\n"


def test_traceback_shows_where_an_error_comes_from_and_ends_with_its_sentence(awsac: Awsac) -> None:
    done = awsac("--traceback", "check", "-c", "nowhere.cfg")

    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("awsac: nowhere.cfg: found no such file")
