"""The embedded cloud from outside: bring it up, take it down, ask about it. Needs no import of moto.

One directory is one cloud. ``up`` starts a daemon (``daemon``) that lives until ``down``; ``down`` kills it and then
removes whatever is left of it, so that it does the same after the daemon was killed by somebody else.
"""

import http.client
import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from awsac_async.local import cgroups, outward, place, processes, trees
from awsac_async.local.entering import entering_command
from awsac_async.local.faults.file import read_plan
from awsac_async.local.hypervisor import CONTROL_GROUP
from awsac_async.local.settings import (
    ADMINISTRATOR,
    CONTROL_PREFIX,
    REGION,
    SECRET_HEADER,
    USER,
    Isolation,
    Settings,
)
from awsac_async.local.volumes import loop_devices, release_loop_devices

LocalCloudError = place.LocalCloudError
START_TIMEOUT = 60.0  # s
END_TIMEOUT = 15.0  # s
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_NO_PROXY = ("NO_PROXY", "no_proxy")
_DAEMON = "daemon"  # the folder, which there is not, whose mark the daemon carries


@dataclass(frozen=True, kw_only=True)
class Status:
    """What there is of an embedded cloud; all empty when there is none."""

    running: bool
    endpoint: str = ""
    pid: int = 0
    isolation: str = ""  # what an instance is
    storage: str = ""  # what a volume is
    network: str = ""  # what an instance reaches
    network_note: str = ""  # why that is less, or more, than what is wanted of it
    instances: int = 0  # that are not terminated
    volumes: int = 0
    snapshots: int = 0
    objects: int = 0
    domains: int = 0
    processes: list[int]  # of instances
    mounts: list[str]  # on this machine, below the directory
    loop_devices: list[str]  # on files below the directory


def default_directory() -> Path:
    """Return the directory of the cloud that is meant when none is named."""
    if chosen := os.environ.get("AWSAC_LOCAL_DIR"):
        return Path(chosen)
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "awsac" / "local"


def up(directory: Path, settings: Settings | None = None) -> dict[str, str]:
    """Bring the cloud of this directory up, if it is not; return its ``environment``.

    Raises LocalCloudError with the last lines of the daemon's log when it does not start.
    """
    directory = place.located(directory)
    with place.held(directory, make=True) as cloud_id:
        if _state(directory) is None:
            _sweep(directory, cloud_id)
            _start(directory, cloud_id, settings or Settings())
        return environment(directory)


def down(directory: Path) -> None:
    """Take the cloud of this directory down, and remove the directory with all that is left of it.

    Raises LocalCloudError, with nothing ended or removed, if the directory or its records are not a cloud's.
    """
    directory = place.located(directory)
    with place.held(directory, make=False) as cloud_id:
        if cloud_id:
            _sweep(directory, cloud_id)
            (directory / place.MARKER).unlink()
            directory.rmdir()


def environment(directory: Path, *, administrator: bool = False) -> dict[str, str]:
    """Return the variables that make an AWS client use this cloud, as its user or as its administrator.

    Where policies are not enforced, the user may do everything, and there is no administrator.
    """
    state = _require(place.located(directory))
    keys = state["keys"]
    key = keys.get(ADMINISTRATOR, keys[USER]) if administrator else keys[USER]
    return {
        "AWS_ENDPOINT_URL": state["endpoint"],
        "AWS_ACCESS_KEY_ID": key["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        **_past_proxies(),
    }


def _past_proxies() -> dict[str, str]:
    """Return the variables by which this machine is asked directly, if there are some by which others are not.

    They say the same in small letters, which some programs prefer and others do not read.
    """
    if not any(name.lower() in _PROXIES and value for name, value in os.environ.items()):
        return {}
    named = ",".join(filter(None, map(os.environ.get, _NO_PROXY)))
    hosts = [host.strip() for host in named.split(",") if host.strip()]
    excepted = "*" if "*" in hosts else ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost"]))
    return dict.fromkeys(_NO_PROXY, excepted)


def status(directory: Path) -> Status:
    """Return what there is, on this machine and in the account."""
    directory = place.located(directory)
    traces: dict[str, Any] = {
        "processes": processes.belonging_to(directory / "instances"),
        "mounts": _mounts(directory),
        "loop_devices": [str(device) for device in loop_devices(directory)],
    }
    state = _state(directory)
    if state is None:
        return Status(running=False, **traces)
    known = {name: state[name] for name in ("endpoint", "pid", "isolation", "storage", "network", "network_note")}
    return Status(running=True, **known, **_ask(state, "GET", "counts"), **traces)


def import_snapshot(directory: Path, source: Path, *, description: str, tags: Mapping[str, str] | None = None) -> str:
    """Make a snapshot that holds what a folder holds; return its ID."""
    if not source.is_dir():
        raise LocalCloudError(f"{source}: not a folder")
    order = {"source": str(source.absolute()), "description": description, "tags": dict(tags or {})}
    snapshot_id = _ask(_require(place.located(directory)), "POST", "snapshots", order)
    return str(snapshot_id)


def instance_event(directory: Path, instance_id: str, event: str) -> None:
    """Let an instance suffer ``spot-notice``, ``lost`` or ``agent-killed``. Raises LocalCloudError if it cannot."""
    _ask(_require(place.located(directory)), "POST", "instance-events", {"instance_id": instance_id, "event": event})


def entering(directory: Path, instance_id: str, command: Sequence[str] = ()) -> list[str]:
    """Return the command that enters a running instance: a shell, or a command for a shell there.

    Raises LocalCloudError if the instance does not run.
    """
    state = _require(place.located(directory))
    door = _ask(state, "POST", "doors", {"instance_id": instance_id})
    return entering_command(
        Isolation(state["isolation"]),
        init=door["init"],
        folder=Path(door["folder"]),
        own_network=door["own_network"],
        variables=door["variables"],
        command=command,
    )


def set_faults(directory: Path, text: str) -> None:
    """Let a running cloud misbehave as the text of a file says, instead of as it does; "" ends that.

    Raises:
        FaultsError: the text does not say what to do; nothing has changed.
    """
    read_plan(text)
    _ask(_require(place.located(directory)), "POST", "faults", text)


def faults(directory: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the faults and events in force, with how often each has happened and which instances it has struck."""
    answer: dict[str, list[dict[str, Any]]] = _ask(_require(place.located(directory)), "GET", "faults")
    return answer


def access(directory: Path) -> list[dict[str, Any]]:
    """Return which rights were asked for since policies are enforced.

    Each is a user or role (``who``), an ``action``, whether it was ``allowed`` and by which ``statement`` (its Sid),
    how many ``times``, and the ``resource`` of the last time.
    """
    answer: list[dict[str, Any]] = _ask(_require(place.located(directory)), "GET", "access")
    return answer


# --- the daemon ---


def _state(directory: Path) -> dict[str, Any] | None:
    """Return what a living daemon of the cloud in this directory wrote about itself, else None.

    Raises LocalCloudError if others may have written it.
    """
    if not directory.exists():
        return None
    place.check_way(directory)
    try:
        state = json.loads((directory / place.STATE_FILE).read_text())
        pid, started = state["pid"], state["started"]
        known = re.fullmatch(r"http://127\.0\.0\.1:\d{1,5}", state["endpoint"]) and Isolation(state["isolation"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):  # there is none, or it is damaged
        return None
    cloud_id = place.identity(directory)
    if not (known and cloud_id and isinstance(pid, int) and pid > 0):
        return None
    alive = processes.start_time(pid) == started and processes.carries(pid, directory / _DAEMON, cloud_id)
    return state if alive else None


def _require(directory: Path) -> dict[str, Any]:
    state = _state(directory)
    if state is None:
        raise LocalCloudError(f"no embedded cloud is running in {directory}")
    return state


def _start(directory: Path, cloud_id: str, settings: Settings) -> None:
    """Start the daemon and wait until it answers."""
    (directory / "tmp").mkdir(mode=0o700)
    readable, writable = os.pipe()
    with (directory / place.LOG_FILE).open("ab") as log:
        starter = subprocess.Popen(
            [sys.executable, "-P", "-m", "awsac_async.local.daemon", directory, settings.to_json(), str(writable)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_daemon_environment(directory, cloud_id),
            cwd="/",
            start_new_session=True,
            pass_fds=[writable],
        )
    os.close(writable)
    starter.wait()  # it has left the daemon behind
    poller = select.poll()
    poller.register(readable, select.POLLIN)
    told = os.read(readable, 16) if poller.poll(START_TIMEOUT * 1000) else b""
    os.close(readable)
    if not told:
        lines = (directory / place.LOG_FILE).read_text(errors="replace").splitlines()[-10:]
        raise LocalCloudError("\n".join(["the embedded cloud does not start:", *lines]))


def _daemon_environment(directory: Path, cloud_id: str) -> dict[str, str]:
    """Return this process' environment without its AWS settings."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
    packages = [str(Path(__file__).resolve().parents[2]), *filter(None, [ours.get("PYTHONPATH")])]
    mark = processes.mark(directory / _DAEMON, cloud_id)
    return ours | {"PYTHONPATH": os.pathsep.join(packages), "TMPDIR": str(directory / "tmp")} | mark


def _ask(state: dict[str, Any], method: str, operation: str, order: object = None) -> Any:
    """Ask the daemon, which answers with JSON."""
    host = state["endpoint"].removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=600)
    try:
        connection.request(method, CONTROL_PREFIX + operation, json.dumps(order), {SECRET_HEADER: state["secret"]})
        response = connection.getresponse()
        body = response.read().decode()
    except OSError as error:
        raise LocalCloudError(f"the embedded cloud does not answer: {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise LocalCloudError(f"the embedded cloud cannot do that: {body}")
    return json.loads(body)


# --- removing what is left ---


def _sweep(directory: Path, cloud_id: str) -> None:
    """End every process, release every device and remove every file of the cloud; only the marker stays."""
    groups = _control_groups(directory, cloud_id)
    outward.check_record(cloud_id, directory / outward.NETWORK_RECORD)
    processes.end_marked(directory / _DAEMON, cloud_id)  # first, so that it starts nothing meanwhile
    for group in groups:
        if not cgroups.remove(group, patience=END_TIMEOUT):
            raise LocalCloudError(f"{group}: the processes in this control group do not end")
    if not processes.end_marked(directory, cloud_id, patience=END_TIMEOUT):
        raise LocalCloudError(f"processes of {directory} do not end: {processes.marked(directory, cloud_id)}")
    outward.sweep(cloud_id, directory / outward.NETWORK_RECORD)
    _release_devices(directory)
    if mounts := _mounts(directory):
        raise LocalCloudError(f"something is mounted, unmount it first: {', '.join(mounts)}")
    for entry in directory.iterdir():
        if entry.name != place.MARKER:
            try:
                trees.remove(entry)
            except OSError as error:
                raise LocalCloudError(f"{entry} cannot be removed: {error.strerror}") from error


def _control_groups(directory: Path, cloud_id: str) -> list[Path]:
    """Return the cloud's control groups, which hold no process but its own.

    Raises LocalCloudError if the record names another, or another process is in it.
    """
    record = directory / CONTROL_GROUP
    try:
        groups = cgroups.recorded(record, cloud_id)
    except ValueError as error:
        raise LocalCloudError(f"{record} cannot be believed: {error}; nothing was removed") from error
    for group in groups:
        strangers = _strangers(group, directory, cloud_id)
        if strangers and (strangers := strangers & _strangers(group, directory, cloud_id)):  # some may just have ended
            numbers = " ".join(map(str, sorted(strangers)[:10]))
            raise LocalCloudError(f"{group} holds processes that are not this cloud's ({numbers}); nothing was removed")
    return groups


def _strangers(group: Path, directory: Path, cloud_id: str) -> set[int]:
    return cgroups.members(group) - set(processes.belonging_to(directory, cloud_id))


def _release_devices(directory: Path) -> None:
    """Release all loop devices; the kernel may need a moment after the last process that had one mounted."""
    deadline = time.monotonic() + END_TIMEOUT
    while loop_devices(directory):
        if time.monotonic() > deadline:
            raise LocalCloudError(f"loop devices of {directory} are in use: {loop_devices(directory)}")
        release_loop_devices(directory)
        time.sleep(0.05)  # no event tells that a mount namespace is gone


def _mounts(directory: Path) -> list[str]:
    """Return the mount points below the directory, as this process sees them."""
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    points = [re.sub(rb"\\(\d{3})", lambda code: bytes([int(code[1], 8)]), line.split()[4]) for line in lines]
    return [os.fsdecode(point) for point in points if Path(os.fsdecode(point)).is_relative_to(directory)]
