"""Instances as process trees of this machine: starts them, shows them volumes, shuts them down.

Owns the folders below ``instances/`` and every process in them. Knows no AWS: what an instance is called, and when it
should live, is said by ``ec2``. It must never signal a process that is not an instance's own.
"""

import contextlib
import functools
import itertools
import json
import logging
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from awsac_async.local import cgroups, power, processes, stock, trees
from awsac_async.local.disk import FILES
from awsac_async.local.outward import Choice
from awsac_async.local.settings import Isolation, Network, Settings, StorageKind

log = logging.getLogger(__name__)
CONTROL_GROUP = "cgroup"  # the file that says where this cloud's control group is
DISK = "disk"  # the folder of an instance's own disk, in the instance's
ROOT_VARIABLE = "AWSAC_ROOT"
_KEPT = {"console", DISK}  # of an instance that does not run
CONSOLE_LIMIT = 64 * 1024  # bytes: what EC2 keeps
_BY_ID = "disk/by-id"
_NAMESPACES = ("unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child")
_OWN_NETWORK = ("--net",)
_USER_NAMESPACES = (*_NAMESPACES, "--user", "--map-root-user")
_COMMANDS = {
    Isolation.NAMESPACES: _NAMESPACES,
    Isolation.USER_NAMESPACES: _USER_NAMESPACES,
    Isolation.PLAIN: (),
}
_REMOVAL_TIMEOUT = 600.0  # s: from an instance's death to its files being gone
_START_TIMEOUT = 20.0  # s: from starting an instance's init to its being furnished


@functools.cache
def detect_isolation() -> Isolation:
    """Return the best form of instance that this machine allows, by trying."""
    best = Isolation.NAMESPACES if os.geteuid() == 0 else Isolation.USER_NAMESPACES
    return best if available(best) else Isolation.PLAIN


def available(isolation: Isolation) -> bool:
    """Say whether instances can have this form here."""
    if isolation is Isolation.PLAIN:
        return True
    if isolation is Isolation.NAMESPACES and os.geteuid() != 0:
        return False
    trial = [*_COMMANDS[isolation], *_OWN_NETWORK, "--mount-proc", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return bool(shutil.which("unshare")) and subprocess.run(trial, capture_output=True, check=False).returncode == 0


@dataclass(kw_only=True)
class Machine:
    """A running instance: its init, its power switch, and the volumes it sees (volume ID to number)."""

    folder: Path
    process: subprocess.Popen[bytes]
    switch: power.PowerSwitch
    groups: list[Path]  # the control groups with all its processes
    init: int  # a pidfd
    dev: int  # a descriptor of the instance's /dev: unlike a path by PID, it cannot become another's
    ended: threading.Event = field(default_factory=threading.Event)
    devices: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)  # held while a descriptor is used or closed
    usable: bool = True  # whether the descriptors are open

    def close(self) -> None:
        """Close the descriptors, which nobody may use from now on."""
        with self.lock:
            self.usable = False
            os.close(self.init)
            os.close(self.dev)


class Hypervisor:
    """All instances of one embedded cloud."""

    def __init__(
        self,
        directory: Path,
        settings: Settings,
        isolation: Isolation,
        on_end: Callable[[str, bool], None],
        *,
        cloud_id: str,
        choice: Choice,
        api_port: int,
        storage: StorageKind,
    ) -> None:
        """``on_end`` is called in a thread when an instance has no process left: its ID, and whether it had booted."""
        self._directory = directory / "instances"
        self._directory.mkdir(mode=0o700)
        self._settings = settings
        self._on_end = on_end
        self._machines: dict[str, Machine] = {}
        self._isolation = isolation
        self._cloud_id = cloud_id
        self._api_port = api_port
        # Volumes that are folders are attached while an instance runs, which therefore sees where all of them are.
        self._volumes = [directory / "volumes"] if storage is StorageKind.DIRECTORIES else []
        self.own_network = choice.network is not Network.HOST  # whether an instance has one
        self._outward = choice.outward
        self._making = threading.Lock()
        machine = cgroups.Bounds.of_machine()
        self._bounds = cgroups.Bounds(
            memory=settings.instance_memory or machine.memory,
            processes=settings.instance_processes or machine.processes // 2,
        )
        self._groups = cgroups.make_for_cloud(directory / CONTROL_GROUP, cloud_id)

    def start(
        self,
        instance_id: str,
        *,
        hostname: str,
        environment: Mapping[str, str],
        devices: Mapping[str, Path],
        answer: Callable[[socket.socket, socket.socket], None],
        disk: Path | None = None,
    ) -> None:
        """Boot an instance. Its volumes (ID to device or folder) are there before the boot script runs.

        What fails is written to its console, and then ``on_end`` is called.

        Args:
            instance_id: its ID.
            hostname: its host name.
            environment: what the boot script finds beside what every instance has.
            devices: its volumes.
            answer: called with the sockets of the metadata service and of the AWS APIs in the instance's own network,
                if it has one, before its boot script runs.
            disk: what is on the instance's own disk when it boots first: then it has one, and no boot script.
        """
        folder = self._directory / instance_id
        folder.mkdir(exist_ok=True)
        (folder / "home").mkdir(exist_ok=True)
        if disk is not None and not (folder / DISK).exists():
            (folder / DISK).mkdir()
            trees.copy(disk, folder / DISK / FILES)
        switch = power.PowerSwitch(folder)
        groups = cgroups.make_all([group / instance_id for group in self._groups], self._bounds)
        environment = {**environment, power.VARIABLE: str(switch.command)}
        ours, theirs = socket.socketpair()
        with ours:
            ours.settimeout(_START_TIMEOUT)
            with theirs:
                process = self._start_init(folder, theirs.fileno(), hostname, environment, groups)
            init, dev, sockets = self._wait_for_init(folder, process, ours)
            machine = Machine(
                folder=folder, process=process, switch=switch, groups=groups, init=init, dev=dev, usable=init >= 0
            )
            self._machines[instance_id] = machine
            threading.Thread(target=self._watch, args=(instance_id,), name=f"watch {instance_id}", daemon=True).start()
            for volume_id, source in devices.items():
                self.attach(instance_id, volume_id, source)
            if sockets:
                answer(*sockets)
            if machine.usable:
                self._let_go_on(instance_id, machine, ours)

    def _let_go_on(self, instance_id: str, machine: Machine, channel: socket.socket) -> None:
        """Connect an instance to the network, if it is to be, and let its init run what it boots."""
        blocked: list[str] = []
        if self._outward and (pid := processes.pid_of(machine.init)):
            self._outward.connect(instance_id, pid, machine.folder)
            blocked = self._outward.blocked
        with contextlib.suppress(OSError):  # it has ended already: the watcher knows
            channel.send(json.dumps(blocked).encode())

    def _start_init(
        self, folder: Path, channel: int, hostname: str, environment: Mapping[str, str], groups: list[Path]
    ) -> subprocess.Popen[bytes]:
        disk = folder / DISK if (folder / DISK).exists() else None
        writable = [folder, *self._volumes]
        shown = [*writable, self._packages()] if disk else writable
        orders = {
            "channel": channel,
            "isolation": self._isolation,
            "api_port": self._api_port if self.own_network else None,
            "folder": folder,
            "hostname": hostname,
            "environment": self._environment(folder, environment, disk),
            "boot": self._settings.boot,
            "grace": self._settings.shutdown_grace,
            "groups": groups,
            "processes": self._bounds.processes,
            "disk_size": self._settings.disk_size,
            "keep": [
                sys.prefix,
                sys.base_prefix,
                _package_parent(),
                self._settings.boot.parent,
                *shown,
            ],
            "cloud": self._directory.parent,
            "shown": shown,
            "writable": writable,
            "disk": disk,
            "root": self._root(disk),
            "resolver": self._resolver(folder),
            "packages": [_package_parent()],
        }
        network = _OWN_NETWORK if self.own_network else ()
        command = [*_COMMANDS[self._isolation], *network, sys.executable, "-S", "-P", "-m", "awsac_async.local.guest"]
        with (folder / "console").open("ab") as console:
            return subprocess.Popen(
                [*command, json.dumps(orders, default=str)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                cwd="/",
                env={"PATH": os.defpath, "PYTHONPATH": _package_parent(), **self._mark(folder)},
                start_new_session=True,
                pass_fds=[channel],
            )

    def _resolver(self, folder: Path) -> Path | None:
        if self._outward is None or self._outward.resolver is None:
            return None
        file = folder / "resolv.conf"
        file.write_text(self._outward.resolver)
        return file

    def _environment(self, folder: Path, wanted: Mapping[str, str], disk: Path | None) -> dict[str, str]:
        """Return what the boot script finds: nothing of this process, and no credentials."""
        root = self._root(disk)
        python = Path(sys.base_prefix, "bin") if disk else Path(sys.executable).parent
        first = f"{folder / 'bin'}:{root}/usr/local/bin:{python}" if disk else f"{folder / 'bin'}:{python}"
        environment = {
            "PATH": f"{first}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            **wanted,
        }
        if self._isolation is Isolation.PLAIN:
            environment |= self._mark(folder) | plain_paths(folder)
        if disk:
            environment |= stock.environment(self._packages())
        if root:
            environment[ROOT_VARIABLE] = root
        return environment

    def _mark(self, folder: Path) -> dict[str, str]:
        return processes.mark(folder, self._cloud_id)

    def _root(self, disk: Path | None) -> str:
        """Return what stands before the paths of an instance's own disk, where it cannot be mounted; else ""."""
        return str(disk / FILES) if disk and self._isolation is Isolation.PLAIN else ""

    def _packages(self) -> Path:
        """Return the packages of stock images, which are looked for when the first one boots."""
        folder = self._directory.parent / "packages"
        with self._making:
            return folder if folder.exists() else stock.make_packages(folder)

    def _wait_for_init(
        self, folder: Path, process: subprocess.Popen[bytes], channel: socket.socket
    ) -> tuple[int, int, list[socket.socket]]:
        """Wait until the instance's init is furnished.

        Returns descriptors of it and of its /dev, -1 if it is not, and the sockets of its own network.
        """
        try:
            message, descriptors, _, _ = socket.recv_fds(channel, 32, 2)
            pid = int(message or b"-1")
        except TimeoutError:
            pid, descriptors = -1, []
        if pid < 0:
            process.kill()
            return -1, -1, []
        dev = Path(f"/proc/{pid}/root/dev")
        if self._isolation is Isolation.PLAIN:
            dev = folder / "dev"
            (dev / _BY_ID).mkdir(parents=True, exist_ok=True)
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        return os.pidfd_open(pid), os.open(dev, os.O_PATH), sockets

    def _watch(self, instance_id: str) -> None:
        """Wait for the end of an instance, remove what is left of it, and tell."""
        machine = self._machines[instance_id]
        machine.switch.follow(machine.process, lambda: self._power_off(instance_id))
        processes.end_marked(machine.folder, self._cloud_id)
        for group in machine.groups:
            cgroups.remove(group)
        if self._outward:
            self._outward.disconnect(instance_id)
        booted = machine.usable
        if booted:
            machine.close()
        for entry in machine.folder.iterdir():
            if entry.name not in _KEPT:
                _discard(entry)
        del self._machines[instance_id]
        machine.ended.set()
        self._on_end(instance_id, booted)

    def _power_off(self, instance_id: str) -> None:
        """Begin to shut an instance down, as its own power switch was told to."""
        with (self._directory / instance_id / "console").open("a") as console:
            console.write("[hypervisor] powering off, as was asked for inside\n")
        threading.Thread(target=self.stop, args=(instance_id,), name=f"power off {instance_id}", daemon=True).start()

    def stop(self, instance_id: str) -> None:
        """Shut an instance down, and return when it has no process left. Nothing happens if it does not run."""
        machine = self._machines.get(instance_id)
        if machine is None:
            return
        for signum in (signal.SIGTERM, signal.SIGKILL):
            self._signal(instance_id, signum)
            if machine.ended.wait(self._settings.shutdown_grace + 5.0):
                return
        machine.ended.wait(_REMOVAL_TIMEOUT)

    def discard(self, instance_id: str) -> None:
        """Remove the disk of an instance that will not boot again."""
        _discard(self._directory / instance_id / DISK)

    def disk(self, instance_id: str) -> Path | None:
        """Return the files on an instance's own disk; None if it has none."""
        files = self._directory / instance_id / DISK / FILES
        return files if files.is_dir() and not (files.is_symlink() or files.parent.is_symlink()) else None

    def runs(self, instance_id: str) -> bool:
        """Say whether an instance has a machine now, so that something can happen to it."""
        machine = self._machines.get(instance_id)
        return machine is not None and machine.usable

    def cut_power(self, instance_id: str) -> None:
        """End an instance at once, as a failure of its hardware does."""
        if machine := self._machines.get(instance_id):
            for group in machine.groups[:1]:
                cgroups.kill(group)
        self._signal(instance_id, signal.SIGKILL)

    def kill_agent(self, instance_id: str) -> None:
        """Kill the boot script, or what it has become by ``exec``; the rest of the instance lives on."""
        self._signal(instance_id, signal.SIGUSR1)  # its init is the one who can without hitting another

    def _signal(self, instance_id: str, signum: signal.Signals) -> None:
        """Signal an instance's init. Nothing happens if it does not run."""
        if machine := self._machines.get(instance_id):
            with machine.lock, contextlib.suppress(ProcessLookupError):  # it is ending by itself
                if machine.usable:
                    signal.pidfd_send_signal(machine.init, signum)

    def attach(self, instance_id: str, volume_id: str, source: Path) -> None:
        """Show an instance a volume, as udev would: by the volume's ID, and as an NVMe disk where it is a device."""
        if machine := self._machines.get(instance_id):
            with machine.lock:
                if machine.usable:
                    _show_volume(machine, volume_id, source)

    def detach(self, instance_id: str, volume_id: str) -> None:
        """Hide a volume from an instance. A file system that is mounted there stays mounted."""
        if machine := self._machines.get(instance_id):
            with machine.lock:
                if machine.usable and volume_id in machine.devices:
                    _hide_volume(machine, volume_id)

    def door(self, instance_id: str) -> dict[str, Any]:
        """Return what ``entering`` needs to know of a running instance. Raises LookupError if it does not run."""
        machine = self._machines.get(instance_id)
        if machine is not None:
            with machine.lock:
                init = processes.pid_of(machine.init) if machine.usable else None
            if init is not None:
                own = image_paths(Path("/mnt"))
                variables = plain_paths(machine.folder) if self._isolation is Isolation.PLAIN else own
                home = {"HOME": str(machine.folder / "home")}
                mark = self._mark(machine.folder)  # lets the instance's end take along what was left running there
                place = {"init": init, "folder": str(machine.folder), "own_network": self.own_network}
                return place | {"variables": variables | home | mark}
        raise LookupError(f"instance {instance_id} does not run")

    def console(self, instance_id: str) -> bytes:
        """Return the last 64 KB of what an instance has printed."""
        with contextlib.suppress(FileNotFoundError), (self._directory / instance_id / "console").open("rb") as console:
            size = console.seek(0, os.SEEK_END)
            console.seek(max(0, size - CONSOLE_LIMIT))
            return console.read()
        return b""


def _discard(path: Path) -> None:
    """Remove what an instance has left. What cannot be removed now goes with the cloud, and keeps no instance up."""
    try:
        trees.remove(path)
    except OSError:
        log.exception("cannot remove %s", path)


def _show_volume(machine: Machine, volume_id: str, source: Path) -> None:
    number = next(number for number in itertools.count(1) if number not in machine.devices.values())
    machine.devices[volume_id] = number
    link = f"{_BY_ID}/{_serial_name(volume_id)}"
    if source.is_block_device():
        name = f"nvme{number}n1"
        os.mknod(name, stat.S_IFBLK | 0o600, source.stat().st_rdev, dir_fd=machine.dev)
        source = Path("../..", name)
    os.symlink(source, link, dir_fd=machine.dev)


def _hide_volume(machine: Machine, volume_id: str) -> None:
    number = machine.devices.pop(volume_id)
    for name in (f"{_BY_ID}/{_serial_name(volume_id)}", f"nvme{number}n1"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=machine.dev)


def plain_paths(folder: Path) -> dict[str, str]:
    """Return the variables that move an image's fixed paths into an instance's folder."""
    mnt = folder / "mnt"
    mnt.mkdir(exist_ok=True)
    return image_paths(mnt) | {"AWSACDeviceDir": str(folder / "dev" / _BY_ID)}


def image_paths(mnt: Path) -> dict[str, str]:
    """Return the variables that say where an image has its folders, below what is ``/mnt`` there."""
    awsac = mnt / "awsac"
    paths = {
        "ATLASDir": mnt / "atlas",
        "ATLASworkingDir": mnt / "atlasworkarea",
        "AWSACworkingDir": awsac,
        "SessionInfoDir": awsac / "sessioninfo",
        "SessionInfoFile": awsac / "sessioninfo" / "awsac.sessinfo",
        "SessionArchiveFile": awsac / "sessionarchive.tar.bz2",
        "AWSACAutostartFile": awsac / "awsac_all_instances_autorun.sh",
        "AWSACDataDir": mnt / "awsacdata",
    }
    return {name: str(path) for name, path in paths.items()}


def _serial_name(volume_id: str) -> str:
    """Return the name that udev gives an EBS volume on a Nitro instance."""
    return f"nvme-Amazon_Elastic_Block_Store_{volume_id.replace('-', '')}"


def _package_parent() -> str:
    return str(Path(__file__).resolve().parents[2])
