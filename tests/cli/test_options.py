"""The options of the command line as a whole, and the file that holds their defaults."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from awsac_async.cli.app import app
from awsac_async.cli.remarks import Volume, say, say_step, set_volume
from awsac_async.session.archive import read_archive
from awsac_async.session.errors import InputError
from tests.cli.conftest import Awsac, write_ini, write_jobs
from tests.cli.document import commands

NAMES = ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Give each test the variables of a process of its own."""
    before = dict(os.environ)
    monkeypatch.setenv("AWSAC_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").touch()
    yield
    os.environ.clear()
    os.environ.update(before)
    set_volume(Volume.NORMAL)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """Return what a verb that is called sees of the environment."""
    seen: dict[str, str | None] = {}

    def look() -> None:
        seen.update({name: os.environ.get(name) for name in NAMES})

    monkeypatch.setattr(app, "registered_commands", [*app.registered_commands])
    app.command("look", hidden=True)(look)
    return seen


def awsac_in_process(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, prog_name="awsac")


def configure(folder: Path, text: str) -> None:
    (folder / "config.toml").write_text(text)


@pytest.mark.parametrize("behind", [True, False], ids=["behind the verb", "before the verb"])
def test_an_option_of_the_command_line_may_stand_before_a_verb_and_behind_it(
    behind: bool, seen: dict[str, str | None]
) -> None:
    options = ["--region", "eu-west-1", "--profile", "physics", "--endpoint-url", "http://127.0.0.1:1"]
    os.environ["AWS_ENDPOINT_URL_S3"] = "http://127.0.0.1:2"

    done = awsac_in_process(*(["look", *options] if behind else [*options, "look"]))

    assert done.exit_code == 0, done.output
    assert seen == {
        "AWS_PROFILE": "physics",
        "AWS_ACCESS_KEY_ID": None,  # keys in the environment would go before the profile
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": None,
    }


@pytest.mark.parametrize("words", [[*words] for words in commands() if words])
def test_the_options_of_the_command_line_stand_behind_every_verb_and_group(words: list[str]) -> None:
    options = ["-q", "--region", "eu-west-1", "--traceback", "--endpoint-url", "http://127.0.0.1:1"]

    assert awsac_in_process(*words, *options, "--help").exit_code == 0
    assert awsac_in_process(words[0], *options, *words[1:], "--help").exit_code == 0


def test_the_environment_wins_over_the_configuration_and_the_command_line_over_both(
    seen: dict[str, str | None], tmp_path: Path
) -> None:
    configure(tmp_path, 'region = "eu-west-1"\nprofile = "physics"\nendpoint_url = "http://127.0.0.1:1"\n')
    os.environ["AWS_ENDPOINT_URL"] = "http://storage.example:2"

    awsac_in_process("look", "--profile", "chemistry")

    assert seen["AWS_DEFAULT_REGION"] == "us-east-1"
    assert seen["AWS_PROFILE"] == "chemistry"
    assert seen["AWS_ENDPOINT_URL"] == "http://storage.example:2"


def test_the_configuration_counts_where_nothing_else_is_said(seen: dict[str, str | None], tmp_path: Path) -> None:
    configure(tmp_path, 'region = "eu-west-1"\nprofile = "physics"\n')
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del os.environ[name]

    awsac_in_process("look")

    assert (seen["AWS_DEFAULT_REGION"], seen["AWS_PROFILE"]) == ("eu-west-1", "physics")


def test_a_verbs_options_have_their_defaults_in_its_table(tmp_path: Path) -> None:
    write_jobs(tmp_path)
    configure(tmp_path, f'[pack]\noutput = "{tmp_path}/mine.tar.bz2"\njson = true\n')

    done = awsac_in_process("pack", str(tmp_path / "jobs"))

    assert done.exit_code == 0, done.output
    assert (tmp_path / "mine.tar.bz2").exists()
    assert done.stdout.startswith("{")


def test_a_folder_whose_name_user_data_cannot_carry_is_packed_under_one_that_they_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_jobs(tmp_path).rename(tmp_path / "my jobs;  old")

    done = awsac_in_process("pack", "my jobs;  old")

    assert done.exit_code == 0, done.output
    assert read_archive(tmp_path / "my_jobs_old.tar.bz2", file="").members == ("job.sh", "jobs.cfg")


def test_local_in_the_configuration_is_the_default_of_every_verb_that_has_it(tmp_path: Path) -> None:
    configure(tmp_path, f'local = true\n[check]\nsession = "{tmp_path}/nowhere.cfg"\n')
    os.environ["AWSAC_LOCAL_DIR"] = str(tmp_path / "no-cloud")

    assert "no embedded cloud is running" in str(awsac_in_process("check").exception)


@pytest.mark.parametrize("option", ["--profile=physics", "--endpoint-url=http://127.0.0.1:1"])
def test_another_place_than_the_cloud_on_this_machine_contradicts_local(option: str) -> None:
    done = awsac_in_process("check", "--local", "-c", "nowhere.cfg", option)

    assert isinstance(done.exception, InputError)
    assert option.partition("=")[0] in str(done.exception)


def test_a_profile_is_not_used_where_the_environment_is_that_of_the_cloud_on_this_machine(
    seen: dict[str, str | None],
) -> None:
    os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:5000"

    refused = awsac_in_process("look", "--profile", "physics")
    meant = awsac_in_process("look", "--profile", "physics", "--endpoint-url", "http://127.0.0.1:9000")

    assert "AWS_ENDPOINT_URL in the environment is http://127.0.0.1:5000" in str(refused.exception)
    assert meant.exit_code == 0
    assert seen["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9000"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("regoin = 'x'\n", "unknown key 'regoin'.*nearest is region"),
        ("[chek]\n", "unknown key 'chek'.*nearest is check"),
        ("[check]\nwach = true\n", r"unknown key 'check\.wach'.*nearest is watch"),
        ("quiet = 1\n", "quiet: found 1, expected true or false"),
        ("region = ['x']\n", r"region: found \['x'\], expected a text in quotes"),
        ("check = 3\n", r"check: found 3, expected a table of its options"),
        ("[check]\nwatch = 'yes'\n", r"check\.watch: found 'yes', expected true or false"),
        ("[logs]\ntail = 'all'\n", r"logs\.tail: found 'all', expected what --tail takes"),
        ("[logs]\ntail = '3'\n", r"logs\.tail: found '3', expected a number"),
        ("[logs]\njob = 3\n", r"logs\.job: found 3, expected a list of texts"),
        ("[pack]\noutput = 3\n", r"pack\.output: found 3, expected a text in quotes"),
        ("region = \n", "config.toml, line 1: found 'region =', expected .*in TOML"),
        ("quiet = true\nverbose = true\n", "only one of quiet and verbose"),
    ],
)
def test_what_a_configuration_cannot_mean_is_one_sentence_with_file_and_key(
    text: str, says: str, tmp_path: Path
) -> None:
    configure(tmp_path, text)

    done = awsac_in_process("pack", "nowhere")

    assert isinstance(done.exception, InputError)
    assert str(tmp_path / "config.toml") in str(done.exception)
    assert re.search(says, str(done.exception)), done.exception


def test_a_configuration_that_is_named_must_be_there_and_none_is_read_if_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").unlink()
    missing = awsac_in_process("pack", "nowhere")
    os.environ["AWSAC_CONFIG"] = ""
    without = awsac_in_process("pack", "nowhere")

    assert "config.toml: found no such file" in str(missing.exception)
    assert "nowhere: found no such folder" in str(without.exception)


def test_quiet_leaves_out_remarks_and_verbose_adds_steps(capsys: pytest.CaptureFixture[str]) -> None:
    for volume in Volume:
        set_volume(volume)
        say(f"remark of {volume.name}")
        say_step(f"step of {volume.name}")

    said = capsys.readouterr().err.splitlines()
    assert said == ["awsac: remark of NORMAL", "awsac: remark of VERBOSE", "awsac: step of VERBOSE"]


def test_what_is_said_tells_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    say("the key was AKIAIOSFODNN7EXAMPLE")

    assert "AKIAIOSFODNN7EXAMPLE" not in capsys.readouterr().err


def test_quiet_and_verbose_contradict_each_other() -> None:
    assert "contradict" in str(awsac_in_process("--quiet", "pack", "nowhere", "-v").exception)


def test_verbose_tells_each_call_of_the_cloud_and_quiet_only_the_error(awsac: Awsac) -> None:
    write_ini(awsac.folder, sessionsbucket="no-such-bucket")
    write_jobs(awsac.folder)
    awsac.ok("pack", "jobs", "-q")
    start = ("start", "-i", "session.ini", "-a", "jobs.tar.bz2")

    verbose, silent = awsac(*start, "--verbose"), awsac("--quiet", *start)

    assert re.search(r"^awsac: DescribeImages ami-0a35ac00000000001: \d+\.\d{3} s$", verbose.stderr, re.MULTILINE)
    assert awsac.environment["AWS_SECRET_ACCESS_KEY"] not in verbose.stderr
    assert (verbose.returncode, silent.returncode) == (2, 2)
    assert verbose.stderr.splitlines()[-1] == silent.stderr.strip()
    assert "no-such-bucket" in silent.stderr


def test_the_region_of_the_command_line_wins_over_that_of_the_ini(awsac: Awsac) -> None:
    write_ini(awsac.folder, more="region = us-east-1\n")
    write_jobs(awsac.folder)

    refused = awsac("plan", "-i", "session.ini", "-a", "jobs", "--region", "eu-west-1")

    assert refused.returncode == 2
    assert "the session is to run in eu-west-1" in refused.stderr
