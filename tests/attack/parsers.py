"""Everything that reads what others may have written, and inputs that are right, from which wrong ones are made.

A reader returns a value, or raises one of the errors that it names, whose sentence a person can read. What has a way
back is taken there: what was read is written and read again, and must be the same.
"""

import bz2
import io
import json
import os
import tarfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import typer.main
from moto.core.exceptions import ServiceException
from moto.iam.policy_validation import IAMPolicyDocumentValidator
from werkzeug.serving import make_server

from awsac_async.agent.logfiles import LogStream
from awsac_async.agent.metadata import Metadata
from awsac_async.agent.state import State
from awsac_async.agent.treerecord import read_tree_records
from awsac_async.agent.volumerecord import read_records
from awsac_async.cli.config import read_config
from awsac_async.client.results.record import ETAGS_FILE, RECORD_FILE, opened
from awsac_async.local.faults.file import FaultsError, read_plan
from awsac_async.local.iam.documents import Need, decide
from awsac_async.local.simpledb.parser import parse_select
from awsac_async.session import names
from awsac_async.session.archive import read_archive, read_scripts, unpack
from awsac_async.session.claims import format_claim, lease_index, parse_claim
from awsac_async.session.control import Control, format_control, parse_control
from awsac_async.session.durations import format_seconds, parse_duration, parse_hours, parse_lease, shown_duration
from awsac_async.session.errors import AwsacError
from awsac_async.session.items import MAX_VALUE_BYTES, from_attributes, to_attributes
from awsac_async.session.jobs import expand, parse_jobs, parse_numbers, shown_numbers
from awsac_async.session.launches import LaunchDocument, LaunchedJob, format_launch, parse_launch
from awsac_async.session.manifest import (
    Manifest,
    SavedFile,
    format_copies,
    format_manifest,
    parse_copies,
    parse_manifest,
)
from awsac_async.session.model import JobRecord, JobState, SessionRecord, StartReservation
from awsac_async.session.places import jobs_at, places_of, prices_of, started_indexes
from awsac_async.session.purpose import read_purpose
from awsac_async.session.record import format_record, parse_record, session_id_time
from awsac_async.session.redaction import Redactor
from awsac_async.session.releases import parse_address
from awsac_async.session.startinfo import parse_startinfo
from awsac_async.session.statusdocs import StatusWriter, format_status, latest, parse_status, status_key
from awsac_async.session.times import parse_time
from awsac_async.session.timings import read_attempt, read_seconds, timing_attributes
from awsac_async.session.userdata import (
    check_fields,
    format_user_data,
    launch_number,
    max_hours,
    number_of_data,
    number_of_jobs,
    parse_user_data,
    read_access,
    read_settings,
    shares_jobs,
    status_kind,
)
from tests.attack.mutation import Mutator

SESSION = "081215_1646--eventgen--1816"
CONTENT = "content"


class BrokenPromiseError(Exception):
    """A reader has returned what it must not."""


@dataclass(frozen=True, kw_only=True)
class Parser:
    """A reader of bytes, or of what ``read`` makes of them; ``errors`` are those that it may raise."""

    name: str
    seeds: Sequence[bytes]
    read: Callable[[bytes, Path], object]
    errors: tuple[type[Exception], ...] = (AwsacError,)
    made: Callable[[Mutator, Sequence[bytes]], bytes] = field(default=Mutator.content)
    right: bool = True  # whether the seeds themselves are read without an error


def text_of(content: bytes) -> str:
    """Return a text with whatever a text in Python may have, surrogates as well."""
    try:
        return content.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return content.decode("utf-8", "surrogateescape")


def same(first: object, second: object) -> None:
    """Insist that a value survives its way there and back."""
    if first != second:
        raise BrokenPromiseError(f"{first!r} became {second!r}")


# --- what a user writes ---

INI = b"""# a comment
[startinfo]
instance_type = c1.medium
ami_id = ami-0a35ac00000000001
sessionsbucket = awsac-sessions
ec2_uid = 123456789012
shortdescr = primes
n_jobs = 4
region = eu-west-1
max_hours = 1.5
job_timeout = 30m
retries = 2
job_user = nobody
release_mount = ro
schedule = shared
n_instances = 10
max_cores = 20
lease = 5m
instance_types = c1.medium, m1.small
subnet_ids = subnet-0123abcd, subnet-1123abcd
security_group_ids = sg-0123abcd, sg-1123abcd
market = spot
price_per_hour = 0.17
status_store = s3
public_ip = no
encrypted = yes
endpoint_url = https://s3.example.org:9000
s3_addressing_style = path
"""
JOBS = b"""# release;script;number of jobs
-;primes.sh;4
snap-0123abcd;two words.sh;2;90s  # a comment
s3://bucket/atlas.tar.zst;third.sh;1;-
"""
CONFIG = b"""region = "eu-west-1"
quiet = true
bucket = "b"
[start]
max_cost = 3.5
yes = true
[logs]
job = ["1", "3-7"]
[check]
watch = true
"""
FAULTS = b"""seed = 1
[latency]
seconds = 0.04
s3 = 0.1
[[fault]]
service = "s3"
operation = "PutObject"
kind = "throttle"
probability = 0.3
for = 10
[[fault]]
service = "ec2"
operation = "RunInstances"
kind = "room"
room = 3
[[event]]
kind = "lost"
instance = 0
on = "CreateVolume"
[[event]]
kind = "spot-notice"
instance = 1
after = 2.5
"""


def _startinfo(content: bytes, _: Path) -> None:
    info = parse_startinfo(text_of(content), file="session.ini")
    places_of(info)


def _jobs(content: bytes, _: Path) -> None:
    definitions = parse_jobs(text_of(content), file="jobs.cfg")
    if sum(each.count for each in definitions) <= 10_000:
        expand(definitions)


def _numbers(content: bytes, _: Path) -> None:
    found = parse_numbers(text_of(content))
    same(parse_numbers(shown_numbers(found)), found)


def _durations(content: bytes, _: Path) -> None:
    text = text_of(content)
    for reader in (parse_hours, parse_lease):
        with suppress(ValueError):
            shown_duration(reader(text))
    seconds = parse_duration(text)
    same(parse_duration(format_seconds(seconds)), seconds)


def _address(content: bytes, _: Path) -> None:
    archive = parse_address(text_of(content))
    same(parse_address(archive.address), archive)


@cache
def _context() -> typer.Context:
    from awsac_async.cli.app import app

    return typer.Context(typer.main.get_command(app), info_name="awsac")


def _config(content: bytes, folder: Path) -> None:
    file = folder / "config.toml"
    file.write_bytes(content)
    read_config(file, _context())


def _faults(content: bytes, _: Path) -> None:
    read_plan(text_of(content))


def _archive(content: bytes, folder: Path) -> None:
    file = folder / "sessionarchive.tar.bz2"
    file.write_bytes(content)
    contents = read_archive(file, file="a.tar.bz2")
    read_scripts(file, contents, file="a.tar.bz2")
    _unpacked(content, folder)


def _unpacked(content: bytes, folder: Path) -> None:
    """Nothing may ever be made outside of the folder, nor may a link lead out of it."""
    file, target = folder / "x.tar.bz2", folder / "outer" / "target"
    file.write_bytes(content)
    target.mkdir(parents=True)
    unpack(file, target)
    if os.listdir(folder / "outer") != ["target"]:  # noqa: PTH208  names only
        raise BrokenPromiseError("something was unpacked beside the folder")
    for base, _, files in os.walk(target):
        for name in files:
            place = Path(base, name)
            if place.is_symlink() and not place.resolve().is_relative_to(target):
                raise BrokenPromiseError(f"{name} leads to {place.resolve()}")


def _tar(members: Mapping[str, bytes | tarfile.TarInfo], kind: int) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(content), 0o755
                tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


_MEMBERS = {
    "jobs.cfg": b"-;job.sh;2\n",
    "job.sh": b"#!/bin/sh\nexit 0\n",
    "folder/file": b"x" * 700,
    "folder/link": _link("folder/link", "file"),
    "folder/up": _link("folder/up", "../job.sh"),
    "hard": _link("hard", "job.sh", tarfile.LNKTYPE),
}
_TARS = [_tar(_MEMBERS, kind) for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)] + [
    _tar({"jobs.cfg": b"-;job.sh;2\n", "job.sh": b"true\n", "n" * 200: b"a", "ü" * 60: b"b"}, tarfile.PAX_FORMAT)
]


def _made_archive(mutator: Mutator, seeds: Sequence[bytes]) -> bytes:
    """Change what is packed, or the packed file."""
    if mutator.numbers.random() < 0.7:
        return bz2.compress(mutator.content(_TARS), 1)
    return mutator.content(seeds)


# --- what is remembered, and what instances are told ---

RECORD = SessionRecord(
    session_id=SESSION,
    ec2_reservation_id="r-e73ffc2169c5eaeef",
    n_instances=2,
    unused_cores=0,
    cores_per_instance=2,
    user_data=f"{SESSION};awsac-sessions;sessionarchive.tar.bz2;2;n_jobs=4",
    shortdescr="eventgen",
    bucket="awsac-sessions",
    n_jobs=4,
    ami_id="ami-0a35ac00000000001",
    ec2_uid="123456789012",
    instance_type="c1.medium",
    client_token="token",
    input_digest="0123",
    region="us-east-1",
    started="2026-11-22T15:50:39Z",
    price_per_hour=0.13,
    security_group_ids=("sg-1", "sg-2"),
    market="spot",
    endpoint_url="https://s3.example.org",
    reservations=(
        StartReservation(instance_type="c1.medium", n_instances=1, cores_per_instance=2, price_per_hour=0.13),
        StartReservation(instance_type="m1.small", n_instances=1, cores_per_instance=1, price_per_hour=None),
    ),
)
USER_DATA = (
    f"{SESSION};atlassessions;sessionarchive.tar.bz2;2".encode(),
    f"{SESSION};b-b;a.tar.bz2;8;n_jobs=12;max_hours=2.5;retries=2;job_user=nobody;schedule=shared;lease=300".encode(),
    f"#cloud-config\n# awsac-session: {SESSION};bbb;a.tar.bz2;1;launch=2;n_data=3\nruncmd:\n- x\n".encode(),
    f"{SESSION};b-b;a.tar.bz2;1;pack_to=s3://bucket/a.tar.zst;status_store=s3;endpoint_url=http://h:1".encode(),
)


def _record(content: bytes, _: Path) -> None:
    record = parse_record(text_of(content), file="session.cfg")
    prices_of(record)
    for index in (0, 1, 10**9):
        jobs_at(record, index)
    if record.n_jobs <= 1000:
        started_indexes(record)
    session_id_time(record.session_id)
    # A price has six digits in the file, as all numbers have there.
    written = parse_record(format_record(record), file="session.cfg")
    same(parse_record(format_record(written), file="session.cfg"), written)


def _user_data(content: bytes, _: Path) -> None:
    text = text_of(content)
    shares_jobs(text)
    found = parse_user_data(text)
    for reader in (read_access, status_kind, number_of_jobs, number_of_data, max_hours, launch_number):
        reader(found)
    same(parse_user_data(format_user_data(found)), found)
    check_fields(found)
    read_settings(found)
    read_purpose(found)


# --- what goes through the bucket and the domain ---

JOB = JobRecord(
    number=1,
    state=JobState.FINISHED,
    script="primes.sh",
    instance_id="i-d1a448899d18690ce",
    launch_index=0,
    run_start=parse_time("2026-11-22T15:50:39Z"),
    run_end=parse_time("2026-11-22T15:51:39Z"),
    return_code=0,
    reason="because",
    extra=timing_attributes({"run": 60.0}, attempt=1) | {names.X_CLAIM: "1.2.1:0-9f3a"},
)
LAUNCH = LaunchDocument(
    launch=2,
    first_launch_index=2,
    n_instances=2,
    cores_per_instance=2,
    client_token="t",
    reservation_id="r-1",
    started="2026-11-22T15:50:39Z",
    jobs=tuple(LaunchedJob(number=number, attempt=2) for number in (1, 3, 4)),
    subnet_id="subnet-1",
)
SHARED_LAUNCH = replace(LAUNCH, launch=3, pool=2, jobs=())
MANIFEST = Manifest(
    session_id=SESSION,
    job=3,
    attempt=1,
    files=(SavedFile(key="a/b/job_3.results.tar.bz2", name="job_3.results.tar.bz2", size=12, sha256="0" * 64),),
)
WRITERS = (StatusWriter(), StatusWriter(launch=2), StatusWriter(launch=1, launch_index=1))


def _status(content: bytes, _: Path) -> None:
    for writer in WRITERS:
        document = parse_status(content, session_id=SESSION, key=status_key(SESSION, writer), file="status")
        if document is None:
            raise BrokenPromiseError("a key of a status document was not known")
        for record in latest([document, document]):
            to_attributes(record)
        readable(document.damage)
        again = parse_status(
            format_status(document.records, document.writer),
            session_id=SESSION,
            key=status_key(SESSION, writer),
            file="status",
        )
        if again is None or again.damage:
            raise BrokenPromiseError(f"what was written cannot be read: {again}")


def readable(sentence: str) -> None:
    """Insist that a sentence can be shown to a person."""
    if len(sentence) > 400:
        raise BrokenPromiseError(f"a sentence of {len(sentence)} characters: {sentence[:200]}…")
    if any(not character.isprintable() for character in sentence):
        raise BrokenPromiseError(f"a sentence that a terminal would not show as it is: {sentence!r}")


def _item(content: bytes, _: Path) -> None:
    try:
        tree = json.loads(content)
        attributes = {key: str(value) for key, value in tree.items()} if isinstance(tree, dict) else {}
    except (ValueError, RecursionError):  # not what is tried here: SimpleDB has no JSON
        return
    for name in ("job1", names.item_name(1), names.item_name(99), "x", ""):
        record = from_attributes(name, attributes)
        if record:
            read_attempt(record)
            read_seconds(record)
            reason = to_attributes(record)[names.REASON_ATTRIBUTE]
            if len(reason.encode()) > MAX_VALUE_BYTES:
                raise BrokenPromiseError(f"a reason of {len(reason)} characters")


def _claim(content: bytes, _: Path) -> None:
    text = text_of(content)
    lease_index(text)
    found = parse_claim(text)
    if found:
        same(parse_claim(format_claim(found)), found)


def _launch(content: bytes, _: Path) -> None:
    document = parse_launch(content, file="launch")
    document.jobs_of(0)
    document.launch_indexes()
    same(parse_launch(format_launch(document), file="launch"), document)


def _manifest(content: bytes, _: Path) -> None:
    manifest = parse_manifest(content, session_id=SESSION, job=3, file="manifest")
    same(parse_manifest(format_manifest(manifest), session_id=SESSION, job=3, file="manifest"), manifest)


def _copies(content: bytes, _: Path) -> None:
    parse_copies(content, session_id=SESSION, file="copies")


def _control(content: bytes, _: Path) -> None:
    control = parse_control(content, file="control")
    again = parse_control(format_control(control), file="control")
    same((again.kill, again.stop, again.follow), (control.kill, control.stop, control.follow))
    format_control(control.killing([1]).stopping().following())


# --- what an agent finds on its disk, and is told by the metadata service ---


def _agent_state(name: str, content: bytes, folder: Path) -> None:
    """A successor knows less if a file is damaged, and never fails."""
    job = folder / "jobs" / "1"
    job.mkdir(parents=True)
    (folder / name).write_bytes(content)
    state = State(directory=folder)
    state.job(1)
    state.holdings()
    state.options()
    state.launch()
    state.unpacked()
    state.manifests()
    state.may_try_again()


def _volume_record(content: bytes, folder: Path) -> None:
    (folder / "snap-0123abcd.json").write_bytes(content)
    read_records(folder)


def _tree_record(content: bytes, folder: Path) -> None:
    (folder / "s3-0123.tree").write_bytes(content)
    read_tree_records(folder)


def _log_note(content: bytes, folder: Path) -> None:
    note = folder / "note"
    note.write_bytes(content)
    stream = LogStream(note)
    if not isinstance(stream.offset, int):
        raise BrokenPromiseError(f"an offset that is none: {stream.offset!r}")


@dataclass
class _Service:
    """A metadata service that answers one thing to everything."""

    body: bytes = b""
    status: str = "200 OK"

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status = "200 OK" if environ["PATH_INFO"].endswith("token") else self.status
        start_response(status, [("Content-Type", "text/plain")])
        return [b"token" if environ["PATH_INFO"].endswith("token") else self.body]


@cache
def _service() -> tuple[_Service, str]:
    service = _Service()
    server = make_server("127.0.0.1", 0, service)
    server.log_startup = lambda: None  # type: ignore[method-assign]
    server.RequestHandlerClass.log_request = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, name="metadata", daemon=True).start()
    return service, f"http://127.0.0.1:{server.server_port}"


def _metadata(content: bytes, _: Path) -> None:
    import asyncio

    service, endpoint = _service()
    service.body = content

    async def ask() -> None:
        metadata = Metadata({"AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint})
        await metadata.user_data()
        await metadata.life_cycle()
        failures = []
        for question in (metadata.spot_notice, metadata.identify):
            try:
                await question()
            except AwsacError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    asyncio.run(ask())


# --- what a client finds in its folder ---


def _results_record(content: bytes, folder: Path) -> None:
    (folder / RECORD_FILE).write_bytes(content)
    (folder / ETAGS_FILE).write_bytes(content)
    with opened(folder) as record:
        for entry in record.entries.values():
            if not isinstance(entry.size, int):
                raise BrokenPromiseError(f"{entry}")
        record.note(dict(record.entries))
        record.drop_old()


# --- the embedded cloud ---

SELECTS = (
    b"select * from `081215_1646--eventgen--1816` where itemName() > 'job1' and status != 'finished' limit 2500",
    b"select count(*) from d where every(a) in ('1','2') or not (b like '%x' or c between '1' and '2') order by b desc",
    b"select itemName() from d where a is not null intersection b is null limit 5",
)
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "A",
                "Effect": "Allow",
                "Action": ["s3:Get*", "ec2:Describe?"],
                "Resource": "arn:aws:s3:::b/${aws:username}/*",
                "Condition": {"StringLike": {"s3:prefix": ["a*", "b"]}, "NumericLessThan": {"x": "3"}},
            },
            {"Effect": "Deny", "NotAction": "s3:*", "Resource": "*", "Condition": {"Bool": {"y": "true"}}},
        ],
    }
).encode()


def _select(content: bytes, _: Path) -> None:
    parse_select(text_of(content))


def _policy(content: bytes, _: Path) -> None:
    need = Need(action="s3:GetObject", resource="arn:aws:s3:::b/user/key", context={"s3:prefix": ("a1",), "x": ("2",)})
    text = text_of(content)
    try:
        IAMPolicyDocumentValidator(text).validate()  # as whoever puts one, moto
    except ServiceException:
        raise
    except Exception:  # of moto's own, which is answered as what it is: a failure of the service
        return
    decide([text], need)


def _redact(content: bytes, _: Path) -> None:
    redactor = Redactor()
    secret = "abcdefghijklmnopqrstuvwxyz012345"
    redactor.know(secret)
    text = text_of(content)
    if secret in redactor.redact(f"{text} {secret} {text}"):
        raise BrokenPromiseError("a secret was not replaced")


def _json(*values: object) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


_STATE_FILES: Mapping[str, list[bytes]] = {
    "run.json": _json({"sessioninfofile": "/mnt/x", "jobsfile": "/mnt/y", "instanceID": "i-1"}),
    "launch": _json({"document": format_launch(LAUNCH).decode(), "log_begins": {"1": 17}}),
    "unpacked": _json({"seconds": 1.5}),
    "faults": _json({"faults": 2}),
    "jobs/1/record.json": _json(
        {
            "attributes": to_attributes(JOB),
            "part": "run",
            "since": 12.5,
            "end": {"state": "killed", "reason": "because"},
        }
    ),
    "jobs/1/holding.json": _json({"claim": "1.2.1:0-9f3a", "attempt": 1, "log_begin": 5, "replaces": True}),
    "jobs/1/manifest.json": [format_manifest(MANIFEST)],
}
_PACKED_TARS = [bz2.compress(tar) for tar in _TARS]

PARSERS: Sequence[Parser] = (
    Parser(name="session.ini", seeds=[INI], read=_startinfo),
    Parser(name="jobs.cfg", seeds=[JOBS], read=_jobs),
    Parser(name="job numbers", seeds=[b"1,3-7", b"100000", b"5"], read=_numbers),
    Parser(name="durations", seeds=[b"90s", b"30m", b"1.5h", b"300", b"48"], read=_durations, errors=(ValueError,)),
    Parser(name="releases", seeds=[b"s3://bucket/a/r.tar.zst"], read=_address, errors=(ValueError,)),
    Parser(name="config.toml", seeds=[CONFIG], read=_config),
    Parser(name="faults", seeds=[FAULTS], read=_faults, errors=(FaultsError,)),
    Parser(name="session archive", seeds=_PACKED_TARS, read=_archive, made=_made_archive),
    Parser(name="results archive", seeds=_PACKED_TARS, read=_unpacked, made=_made_archive),
    Parser(name="session file", seeds=[format_record(RECORD).encode()], read=_record),
    Parser(name="user data", seeds=USER_DATA, read=_user_data),
    Parser(name="status document", seeds=[format_status([JOB], WRITERS[0])], read=_status),
    Parser(name="item", seeds=_json(to_attributes(JOB)), read=_item),
    Parser(name="claim", seeds=[b"2.1:0-9f3a", b"2.0", b"1.4.2:3-c01d", b"3-c01d"], read=_claim),
    Parser(name="launch", seeds=[format_launch(LAUNCH), format_launch(SHARED_LAUNCH)], read=_launch),
    Parser(name="manifest", seeds=[format_manifest(MANIFEST)], read=_manifest),
    Parser(name="copies of manifests", seeds=[format_copies([format_manifest(MANIFEST)])], read=_copies),
    Parser(name="control", seeds=[format_control(Control(kill=frozenset({3, 4}), follow=7))], read=_control),
    *(
        Parser(name=f"state: {name}", seeds=seeds, read=partial(_agent_state, name), errors=())
        for name, seeds in _STATE_FILES.items()
    ),
    Parser(
        name="record of a volume",
        seeds=_json({"stage": "created", "generation": 1, "volume_id": "vol-1"}),
        read=_volume_record,
        errors=(),
    ),
    Parser(
        name="record of a tree",
        seeds=_json({"address": "s3://b/k.tar", "stage": "ready", "generation": 0, "boot": "b", "size": 3}),
        read=_tree_record,
        errors=(),
    ),
    Parser(
        name="note of a log",
        seeds=_json({"read": {"offset": 3, "marks": {"output": [3, "ab"]}}, "sent": None}),
        read=_log_note,
        errors=(),
    ),
    Parser(
        name="metadata",
        seeds=[b"0", b"us-east-1a", *_json({"action": "terminate", "time": "2026-11-22T15:50:39Z"}), *USER_DATA],
        read=_metadata,
        right=False,
    ),
    Parser(
        name="record of results",
        seeds=[
            b'{"name": "a", "etag": "e", "size": 1, "mtime_ns": 1, "sha256": "s", "verified": true}\n' * 2,
            b'{"a": "etag"}',
        ],
        read=_results_record,
    ),
    Parser(name="select", seeds=SELECTS, read=_select, errors=(ServiceException,)),
    Parser(name="policy", seeds=[POLICY], read=_policy, errors=(ServiceException,)),
    Parser(
        name="redaction", seeds=[b'Authorization: "AWS4 x" \nToken": "abc" secret_access_key = b', INI], read=_redact
    ),
)
