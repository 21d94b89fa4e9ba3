"""What is checked before money is spent: all at once, by calls that leave nothing; and what a session may cost."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from awsac_async import client
from awsac_async.client import Plan, PriceSource, events
from awsac_async.client.plan.inputs import Reading, reading
from awsac_async.client.plan.scripts import check_scripts
from awsac_async.local import cloud
from awsac_async.session.errors import AwsacError, DeniedError, InputError, ProblemsError
from tests.cli.conftest import BUCKET, Account, write_ini, write_jobs
from tests.cloud.faults import Fault, proxy_to
from tests.conftest import Embedded

DENIED = """[[fault]]
service = "{service}"
operation = "{operation}"
kind = "error"
code = "AccessDeniedException"
status = 403
message = "not for you"
"""
EVERY_QUESTION = "".join(
    DENIED.format(service=service, operation=operation)
    for service, operation in [
        ("iam", "GetInstanceProfile"),
        ("servicequotas", "GetServiceQuota"),
        ("pricing", "GetProducts"),
    ]
)
NO_WRITING = DENIED.format(service="s3", operation="PutObject")


@contextmanager
def faults(embedded: Embedded, text: str) -> Iterator[None]:
    cloud.set_faults(embedded.directory, text)
    try:
        yield
    finally:
        cloud.set_faults(embedded.directory, "")


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """What is wrong in the ini or the jobs, and the lines that say so."""

    what: str
    says: tuple[str, ...]
    values: tuple[tuple[str, str], ...] = ()
    more: str = ""
    jobs: str = "-;job.sh;2\n"
    script: str = "exit 0\n"


WRONG = [
    Wrong(
        what="another architecture",
        says=("ami_id: found ami-0a35ac00000000001, which is made for x86_64, expected an image for arm64",),
        values=(("instance_type", "m6g.large"),),
    ),
    Wrong(
        what="no such profile, key, subnet and group",
        says=(
            "session.ini, instance_profile: found nobody, expected an instance profile of this account",
            "session.ini, subnet_id: found subnet-0bad0bad, expected one that EC2 knows in us-east-1 (The subnet ID",
            "session.ini, security_group_ids: found sg-0bad0bad, expected one that EC2 knows in us-east-1",
            "session.ini, key_name: found nokey, expected one that EC2 knows in us-east-1",
        ),
        more="instance_profile = nobody\nkey_name = nokey\n"
        "subnet_id = subnet-0bad0bad\nsecurity_group_ids = sg-0bad0bad\n",
    ),
    Wrong(
        what="no such further type",
        says=("session.ini, instance_types: found m1.tiny, expected an instance type that EC2 offers in us-east-1",),
        more="instance_types = m1.small,m1.tiny\n",
    ),
    Wrong(
        what="no such further subnets, and a type of another architecture",
        says=("ami_id: found ami-0a35ac00000000001, which is made for x86_64, expected an image for arm64, which",),
        more="instance_types = m6g.large\nsubnet_ids = subnet-0bad0bad\n",
    ),
    Wrong(
        what="no such further subnets and key",
        says=(
            "session.ini, subnet_id: found subnet-0bad0bad, expected one that EC2 knows in us-east-1 (The subnet ID",
            "session.ini, key_name: found nokey, expected one that EC2 knows in us-east-1",
            "session.ini, subnet_ids: found subnet-0bad0bae, expected one that EC2 knows in us-east-1 (The subnet ID",
            "session.ini, subnet_ids: found subnet-0bad0baf, expected one that EC2 knows in us-east-1 (The subnet ID",
        ),
        more="subnet_id = subnet-0bad0bad\nsubnet_ids = subnet-0bad0bae,subnet-0bad0baf\nkey_name = nokey\n",
    ),
    Wrong(
        what="fewer cores than one instance has",
        says=(
            "session.ini, max_cores: found 4, and an instance of type c1.xlarge has 8 cores, expected at least as "
            "many, or a cores_per_instance of at most 4",
        ),
        more="instance_types = c1.xlarge\nschedule = shared\nmax_cores = 4\n",
    ),
    Wrong(
        what="more than the quota",
        says=("10000 instances of type c5.4xlarge need 160000 vCPUs, and the account has ",),
        values=(("instance_type", "c5.4xlarge"), ("n_jobs", "10000")),
        more="cores_per_instance = 1\n",
        jobs="-;job.sh;10000\n",
    ),
    Wrong(
        what="a script that no shell can read",
        says=("jobs: job.sh, line 3: found syntax error",),
        script="if true\nthen\n",
    ),
    Wrong(
        what="several things in the files",
        says=(
            "session.ini, line 7, n_jobs: found 'two'",
            "jobs: jobs.cfg, line 1, shellscriptname: found other.sh, not in the archive",
        ),
        values=(("n_jobs", "two"),),
        jobs="-;other.sh;2\n",
    ),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.what)
async def test_what_is_wrong_has_a_line_and_leaves_nothing(wrong: Wrong, tmp_path: Path, account: Account) -> None:
    ini, jobs = write_ini(tmp_path, more=wrong.more, **dict(wrong.values)), write_jobs(tmp_path, wrong.jobs)
    (jobs / "job.sh").write_text(wrong.script)
    before = account.everything()

    with pytest.raises(AwsacError) as raised:
        await client.plan(ini=ini, archive=jobs)

    lines = str(raised.value).splitlines()
    assert len(lines) == len(wrong.says)
    assert [says for line, says in zip(lines, wrong.says, strict=True) if says not in line] == []
    assert account.everything() == before


async def test_a_plan_says_what_will_be_started_and_what_it_may_cost_and_starts_nothing(
    tmp_path: Path, account: Account, embedded: Embedded
) -> None:
    snapshot_id = await asyncio.to_thread(
        cloud.import_snapshot,
        embedded.directory,
        write_jobs(tmp_path),
        description="a release",
        tags={"awsac:release": "a release"},
    )
    await asyncio.to_thread(account.ec2.get_waiter("snapshot_completed").wait, SnapshotIds=[snapshot_id])
    (snapshot,) = (await asyncio.to_thread(account.ec2.describe_snapshots, SnapshotIds=[snapshot_id]))["Snapshots"]
    gib = snapshot["VolumeSize"]
    address = f"s3://{BUCKET}/releases/atlas.tar.zst"
    await asyncio.to_thread(account.s3.put_object, Bucket=BUCKET, Key="releases/atlas.tar.zst", Body=bytes(1500))
    jobs = write_jobs(tmp_path, f"{snapshot_id};job.sh;3\n-;job.sh;1\n{address};job.sh;1\n")
    before = account.everything()

    plan = await client.plan(ini=write_ini(tmp_path, n_jobs="5", more="max_hours = 10\n"), archive=jobs)
    more = "schedule = shared\nn_instances = 3\nmax_cores = 5\n"
    shared = await client.plan(ini=write_ini(tmp_path, n_jobs="5", more=more), archive=jobs)

    assert (plan.n_instances, plan.unused_cores, plan.kept_volumes) == (3, 1, True)
    # Three root volumes, and the release on the two instances that have jobs with it.
    assert (plan.n_volumes, plan.volumes_gib) == (5, 3 * 15 + 2 * gib)
    assert (plan.price_per_hour, plan.price_source) == (0.13, PriceSource.LIST)
    assert plan.volumes_per_hour == pytest.approx((45 * 0.05 + 2 * gib * 0.08) / 720)
    assert plan.worst_case == pytest.approx(10 * (3 * 0.13 + (45 * 0.05 + 2 * gib * 0.08) / 720))
    # Two instances keep to five cores, and either may have a job with the release.
    assert (shared.n_instances, shared.n_cores, shared.unused_cores) == (2, 4, 0)
    assert (shared.n_volumes, shared.volumes_gib) == (4, 2 * 15 + 2 * gib)
    assert shared.volumes_per_hour == pytest.approx((30 * 0.05 + 2 * gib * 0.08) / 720)
    assert plan.archives == ((address, 1500),)
    assert plan.remarks == ()
    assert account.everything() == before
    await asyncio.to_thread(account.ec2.delete_tags, Resources=[snapshot_id], Tags=[{"Key": "awsac:release"}])
    untagged = await client.plan(ini=write_ini(tmp_path, n_jobs="5"), archive=jobs)
    assert [f"awsac setup --release {snapshot_id}" in remark for remark in untagged.remarks] == [True]
    await asyncio.to_thread(account.s3.delete_object, Bucket=BUCKET, Key="releases/atlas.tar.zst")
    await asyncio.to_thread(account.ec2.delete_snapshot, SnapshotId=snapshot_id)


@pytest.mark.parametrize(
    ("values", "more", "price", "source"),
    [
        ({}, "price_per_hour = 1.5\n", 1.5, PriceSource.INI),
        ({}, "market = spot\n", 0.013, PriceSource.SPOT),
        ({"instance_type": "c4.large"}, "", None, None),
    ],
    ids=["ini", "spot", "unknown"],
)
async def test_a_price_is_the_users_or_the_markets_or_not_known(
    values: dict[str, str], more: str, price: float | None, source: PriceSource | None, tmp_path: Path
) -> None:
    plan = await client.plan(ini=write_ini(tmp_path, more=more, **values), archive=write_jobs(tmp_path))

    assert (plan.price_per_hour, plan.price_source) == (price, source)
    assert (plan.worst_case is None) == (price is None)
    assert [remark for remark in plan.remarks if "price" in remark] == (
        [] if price else ["the price of c4.large is unknown: AWS's list does not say it"]
    )


async def test_a_plan_for_several_types_costs_at_most_the_dearest_and_one_more_and_notes_a_quota(
    tmp_path: Path,
) -> None:
    more = "max_hours = 10\ninstance_types = m1.small,c5.4xlarge\n"
    jobs = write_jobs(tmp_path, "-;job.sh;5\n")
    plan = await client.plan(ini=write_ini(tmp_path, n_jobs="5", more=more), archive=jobs)
    large = write_ini(tmp_path, n_jobs="7000", more="instance_types = c5.4xlarge\ncores_per_instance = 1\n")
    short = await client.plan(ini=large, archive=write_jobs(tmp_path, "-;job.sh;7000\n"))

    disk = 15 * 0.05 / 720
    assert [(each.name, each.n_instances, each.cores_per_instance, each.price_per_hour) for each in plan.places] == [
        ("c1.medium", 3, 2, 0.13),
        ("m1.small", 5, 1, 0.044),
        ("c5.4xlarge", 1, 16, 0.68),
    ]
    assert plan.worst_case == pytest.approx(10 * (0.68 + disk + 0.68 + disk))
    assert plan.remarks == ()
    (note,) = short.remarks
    assert "7000 instances of type c5.4xlarge need 112000 vCPUs" in note


async def test_what_may_not_be_asked_is_a_remark_and_a_price_of_the_users_own_makes_up_for_it(
    tmp_path: Path, embedded: Embedded
) -> None:
    jobs = write_jobs(tmp_path, job="a=(1 2)\n")
    with faults(embedded, EVERY_QUESTION):
        plan = await client.plan(ini=write_ini(tmp_path), archive=jobs)
        ini = write_ini(tmp_path, more="price_per_hour = 1\nmax_hours = 2\n")
        priced = await client.plan(ini=ini, archive=jobs, max_cost=5)
        with pytest.raises(InputError, match="cannot be kept below --max-cost: give the price of an instance"):
            await client.plan(ini=write_ini(tmp_path), archive=jobs, max_cost=5)

    shell, *others = plan.remarks
    assert "jobs: job.sh, line 1: sh cannot read it" in shell
    assert [remark.partition(" could not be read: ")[0] for remark in others] == [
        "whether there is an instance profile awsac-agent",
        "the vCPU quota",
        "the price of c1.medium",
        "the price of standard",
    ]
    assert (plan.price_per_hour, plan.worst_case) == (None, None)
    assert (priced.volumes_per_hour, priced.worst_case) == (None, 2)


async def test_a_bucket_that_cannot_be_written_is_said_with_the_rights_that_are_needed(
    tmp_path: Path, embedded: Embedded
) -> None:
    with faults(embedded, NO_WRITING), pytest.raises(DeniedError, match="not for you; a session needs s3:PutObject"):
        await client.plan(ini=write_ini(tmp_path), archive=write_jobs(tmp_path))


async def test_jobs_are_not_shared_by_a_server_that_lets_two_write_the_same_claim(
    tmp_path: Path, account: Account, embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy_to(embedded.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        proxy.fail(lambda asked: asked.method == "PUT", Fault(unheeding=True))
        with pytest.raises(InputError, match="schedule: found shared, expected fixed: the server of this bucket does"):
            await client.plan(ini=write_ini(tmp_path, more="schedule = shared\n"), archive=write_jobs(tmp_path))
        await client.plan(ini=write_ini(tmp_path), archive=write_jobs(tmp_path))
    assert account.keys("awsac/write-check") == []


async def test_volumes_may_be_left_only_where_a_release_or_a_script_of_the_sessions_own_makes_some(
    tmp_path: Path,
) -> None:
    ini, jobs = write_ini(tmp_path), write_jobs(tmp_path)
    none = await client.plan(ini=ini, archive=jobs)
    (jobs / "awsac_all_instances_autorun.sh").write_text("awsac-agent run --jobsfile other.cfg\n")
    own = await client.plan(ini=ini, archive=jobs)

    assert (none.kept_volumes, own.kept_volumes) == (False, True)


async def test_a_session_that_may_cost_too_much_is_refused_or_ends_earlier(tmp_path: Path) -> None:
    ini, jobs = write_ini(tmp_path, more="price_per_hour = 1\n"), write_jobs(tmp_path)
    hourly = 1 + 15 * 0.05 / 720

    with pytest.raises(InputError, match=r"may cost 48\.05 USD, more than 12\.00 USD; a deadline of 11\.98 hours fits"):
        await client.plan(ini=ini, archive=jobs, max_cost=12)
    with pytest.raises(InputError, match=r"no deadline of at least 10 minutes fits: it costs 1\.00 USD an hour"):
        await client.plan(ini=ini, archive=jobs, max_cost=0.1, shorten_deadline=True)
    with pytest.raises(InputError, match=r"^--shorten-deadline: found no --max-cost, expected it, "):
        await client.plan(ini=ini, archive=jobs, shorten_deadline=True)
    shortened = await client.plan(ini=ini, archive=jobs, max_cost=12, shorten_deadline=True)
    fitting = await client.plan(ini=ini, archive=jobs, max_cost=50, shorten_deadline=True)

    assert (shortened.max_hours, shortened.shortened_from) == (11.98, 48)
    assert shortened.worst_case == pytest.approx(11.98 * hourly)
    assert (fitting.max_hours, fitting.shortened_from) == (48, None)


async def test_a_start_with_a_folder_uploads_the_archive_of_it_and_tells_instances_the_shortened_deadline(
    tmp_path: Path, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    ini, jobs = write_ini(tmp_path, more="price_per_hour = 1\n"), write_jobs(tmp_path)
    client.pack(jobs, tmp_path / "packed.tar.bz2")
    (tmp_path / "made").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "made"))
    before = account.everything()
    told: dict[type, events.StartEvent] = {}
    uploaded: list[bytes] = []

    async def look_and_refuse(plan: Plan) -> bool:
        key = next(key for key in account.keys() if key.endswith("/jobs.tar.bz2"))  # noqa: SIM118  not a dict
        uploaded.append(account.content(key))
        return False

    await client.start(
        ini=ini,
        archive=jobs,
        directory=tmp_path,
        proceed=look_and_refuse,
        max_cost=12,
        shorten_deadline=True,
        on_event=lambda event: told.update({type(event): event}),
    )

    assert uploaded == [(tmp_path / "packed.tar.bz2").read_bytes()]
    built = told[events.UserDataBuilt]
    assert isinstance(built, events.UserDataBuilt)
    assert ";max_hours=11.98" in built.user_data
    assert list((tmp_path / "made").iterdir()) == []
    assert account.everything() == before


async def test_a_start_that_is_interrupted_leaves_no_archive_that_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "made"))
    there: list[str] = []

    async def press_ctrl_c(_: Plan) -> bool:
        there.extend(path.name for path in (tmp_path / "made").glob("*/*"))
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await client.start(
            ini=write_ini(tmp_path), archive=write_jobs(tmp_path), directory=tmp_path, proceed=press_ctrl_c
        )

    assert there == ["jobs.tar.bz2"]
    assert list((tmp_path / "made").iterdir()) == []


async def test_a_folder_is_the_same_input_as_its_archive_also_with_the_session_file_of_its_start_in_it(
    tmp_path: Path,
) -> None:
    ini, jobs = write_ini(tmp_path), write_jobs(tmp_path)
    client.pack(jobs, tmp_path / "jobs.tar.bz2")
    digests = [await digest(ini, jobs), await digest(ini, tmp_path / "jobs.tar.bz2")]
    (jobs / "session-081215_1646--test--1816.cfg").write_text("[sessionconfig]\n")
    spaced = jobs.rename(tmp_path / "my jobs")

    assert {*digests, await digest(ini, spaced)} == {digests[0]}
    (spaced / "job.sh").write_text("exit 1\n")
    assert await digest(ini, spaced) != digests[0]


async def test_an_archive_is_read_where_it_is_and_no_temporary_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.pack(write_jobs(tmp_path), tmp_path / "jobs.tar.bz2")
    (tmp_path / "made").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "made"))

    async with reading(ini=write_ini(tmp_path), archive=tmp_path / "jobs.tar.bz2") as read:
        assert read.problems == ()
        assert list((tmp_path / "made").iterdir()) == []


async def digest(ini: Path, archive: Path) -> str:
    async with reading(ini=ini, archive=archive) as read:
        assert read.inputs is not None
        assert " " not in read.inputs.archive.name
        return read.inputs.digest


async def test_a_folder_that_is_none_of_jobs_is_said_with_what_else_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ProblemsError) as raised:
        await client.plan(ini=write_ini(tmp_path, ami_id="ami-0bad0bad"), archive=tmp_path)
    assert raised.value.exit_code == 2
    assert [line.partition(": ")[2] for line in str(raised.value).splitlines()] == [
        "found no jobs.cfg, expected one, beside the job scripts",
        "found ami-0bad0bad, expected an image of account 123456789012 in us-east-1",
    ]


async def test_a_script_that_is_too_large_to_be_checked_is_said_to_be_unchecked(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, job="exit 0\n" + "fi\n" * (1 << 19))
    async with reading(ini=write_ini(tmp_path), archive=jobs) as read:
        assert read.problems == ()
        remark = f"{jobs}: job.sh: it is larger than 1 MiB, so no shell was asked whether it can read it"
        assert read.remarks == (remark,)


async def read_with_data(folder: Path, data: Path) -> Reading:
    async with reading(ini=write_ini(folder), archive=write_jobs(folder), data=data) as read:
        return read


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    (data / "bin").mkdir(parents=True)
    (data / "bin" / "tool").write_text("#!/bin/sh\n")
    (data / "bin" / "tool").chmod(0o755)
    (data / "a\u00a0b").write_text("x")
    return data


async def test_what_objects_cannot_say_of_data_is_told_beside_them_and_what_is_no_file_is_said(
    tmp_path: Path, data: Path
) -> None:
    (data / "empty" / "deeper").mkdir(parents=True)
    (data / "same").symlink_to("bin")
    (data / ".#config").symlink_to("me@host.123")
    os.mkfifo(data / "pipe")

    read = await read_with_data(tmp_path, data)

    assert read.inputs is not None
    assert set(read.inputs.data.files) == {"bin/tool", "same/tool", "a\u00a0b"}
    assert set(read.inputs.data.about.executable) == {"bin/tool", "same/tool"}
    assert read.inputs.data.about.folders == ("empty/deeper",)
    assert read.remarks == (f"{data}/pipe is left out of the input data: it is a pipe, a socket or a device",)


WRONG_DATA: list[tuple[Callable[[Path], object], str]] = [
    (
        lambda data: (data / "events").symlink_to("/nowhere/run1"),
        "events: found a link to /nowhere/run1, where nothing",
    ),
    (lambda data: (data / "self").symlink_to("self"), "self: found a link to self, where nothing is"),
    (lambda data: (data / "bin" / "up").symlink_to("../../data"), "up: found a link to ../../data, a folder that it"),
    (
        lambda data: (data / os.fsdecode(b"caf\xe9")).touch(),
        r"found 'caf\xe9', expected a name that S3 takes: it is not",
    ),
    (
        lambda data: (data / "bell\x07").touch(),
        r"found 'bell\x07', expected a name that S3 takes: it holds a character",
    ),
    (
        lambda data: deep(data, 5),
        "expected a name that S3 takes: keys have at most 1024 bytes, and this path",
    ),
]


def deep(data: Path, levels: int) -> None:
    path = data.joinpath(*["d" * 220] * levels)
    path.parent.mkdir(parents=True)
    path.touch()


@pytest.mark.parametrize(("spoil", "says"), WRONG_DATA)
async def test_data_that_cannot_reach_an_instance_are_named_before_money_is_spent(
    spoil: Callable[[Path], object], says: str, tmp_path: Path, data: Path
) -> None:
    spoil(data)

    (problem,) = (await read_with_data(tmp_path, data)).problems

    assert says in str(problem)
    assert len(str(problem)) <= 400
    assert problem.exit_code == 2


async def test_data_that_change_or_vanish_before_they_are_uploaded_end_the_start_and_leave_nothing(
    tmp_path: Path, data: Path, account: Account
) -> None:
    changes: list[Callable[[], object]] = [
        (data / "bin" / "tool").unlink,
        lambda: (data / "bin" / "tool").write_text("half"),
    ]
    before = account.everything()
    for change in changes:
        (data / "bin" / "tool").write_text("#!/bin/sh\n")

        def on_event(event: events.StartEvent, change: Callable[[], object] = change) -> None:
            if isinstance(event, events.Planned):
                change()

        with pytest.raises(InputError, match=r"tool: found (no such file|another content).*expected what was there"):
            await client.start(
                ini=write_ini(tmp_path),
                archive=write_jobs(tmp_path),
                data=data,
                directory=tmp_path,
                proceed=refuse,
                on_event=on_event,
            )
    assert account.everything() == before


async def refuse(_: Plan) -> bool:
    return False


def checked(script: str) -> tuple[list[str], list[str]]:
    problems, remarks = check_scripts({"a.sh": script.encode()}, archive="jobs")
    return [str(problem) for problem in problems], remarks


def test_the_shells_only_read_a_script_and_say_the_line_that_is_wrong(tmp_path: Path) -> None:
    assert checked(f"touch {tmp_path}/run\n") == ([], [])
    assert list(tmp_path.iterdir()) == []
    wrong = "found syntax error near unexpected token `fi', expected a script that a shell can read"
    assert checked("echo\nfi\n") == ([f"jobs: a.sh, line 2: {wrong}"], [])


def test_a_script_is_asked_of_the_shells_that_may_run_it_and_line_ends_of_windows_are_said() -> None:
    only_bash = "a=(1 2)\n"
    (remark,) = checked(only_bash)[1] if shutil.which("dash") else ["sh cannot read it"]
    assert "sh cannot read it" in remark
    for line in ("#!/bin/bash", "#!/usr/bin/env bash", "#! /usr/local/bin/bash -e"):
        assert checked(f"{line}\n{only_bash}") == ([], [])
    assert checked("#!/usr/bin/env python3\nif (:\n") == ([], [])
    problems, (windows,) = checked("#!/bin/sh\r\necho\r\n")
    assert problems == []
    assert "a.sh: it has line ends of Windows" in windows
