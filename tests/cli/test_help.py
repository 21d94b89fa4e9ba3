"""The command line answers at once, and explains itself."""

import subprocess
import sys

import pytest

from awsac_async import __version__
from tests.cli.conftest import AWSAC, Awsac

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


@pytest.mark.parametrize(
    "verb",
    [
        "pack",
        "start",
        "check",
        "logs",
        "kill",
        "stop",
        "getresults",
        "cleanup",
        "local up",
        "local event",
        "local snapshot",
    ],
)
def test_the_help_of_each_verb_has_an_example(awsac: Awsac, verb: str) -> None:
    assert f"Example: awsac {verb}" in awsac.ok(*verb.split(), "--help")


def test_the_version_is_the_packages(awsac: Awsac) -> None:
    assert awsac.ok("--version") == f"awsac {__version__}\n"


def test_traceback_shows_where_an_error_comes_from_and_ends_with_its_sentence(awsac: Awsac) -> None:
    done = awsac("--traceback", "check", "-c", "nowhere.cfg")

    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("awsac: nowhere.cfg: found no such file")
