"""The first process of an instance: its init.

Gives the instance its own view of the machine (``/mnt``, ``/dev``, ``/run``, ``/proc``, host name, and commands that
would otherwise shut the host down), runs the boot script, or what its own disk says and cloud-init, reaps orphans, and
takes everything with it when it ends.
Runs inside the instance's namespaces, or, where there are none, as the reaper of the instance's processes. It must
never mount, signal or write outside of the instance.

Signals: SIGTERM and SIGPWR shut down (SIGTERM to all, a grace, SIGKILL), SIGINT does so without the grace. SIGUSR1
kills the boot script, or the units and cloud-init, or what they have become, and nothing else. SIGUSR2: ``systemctl
start`` has left a request.
"""

import contextlib
import ctypes
import json
import os
import resource
import shlex
import shutil
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from awsac_async.local import cgroups, disk, interior, surroundings
from awsac_async.local.processes import descendants
from awsac_async.local.service import Service, Services, boot_script, report, unit_service
from awsac_async.local.settings import Isolation
from awsac_async.local.systemd import REQUESTS, write_commands

# <sys/mount.h>, <sys/prctl.h>, <linux/capability.h>
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC = 2, 4, 8, 0x1000, 0x4000
PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER = 24, 36
CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_BOOT = 12, 13, 22

_ENDS = {signal.SIGTERM, signal.SIGPWR, signal.SIGINT}
WATCHED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGPWR, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2}
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "fuse")
DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
POWER_COMMANDS = ("poweroff", "halt", "shutdown", "reboot", "systemctl", "systemd-run")
POWER_SCRIPT = """\
#!/bin/sh
# Stands before the machine's own command: it ends this instance, never the machine that it runs on.
init={init} timer={timer}
name=${{0##*/}} minutes=0
if [ "$name" = systemctl ]; then name=systemctl-$1; shift; fi
if [ "$name" = shutdown ]; then
    for word; do
        case $word in
            -c) [ ! -s "$timer" ] || kill -- "-$(cat "$timer")"; rm -f "$timer"; exit 0 ;;
            -r|--reboot) name=reboot ;;
            +[0-9]*) minutes=${{word#+}} ;;
        esac
    done
fi
case $name in
    poweroff|halt|shutdown|systemctl-poweroff|systemctl-halt) ;;
    *) echo "$name: not available on an instance of the embedded cloud" >&2; exit 1 ;;
esac
[ "$minutes" -gt 0 ] || exec sh -c "kill -s PWR $init"
setsid sh -c 'echo $$ > "$1"; sleep "$2"; kill -s PWR "$3"' timer "$timer" "$((minutes * 60))" "$init" \\
    </dev/null >/dev/null 2>&1 &
"""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What the hypervisor tells an instance's init."""

    channel: int  # descriptor: we send our PID on the host, with our sockets, and wait to be told what is blocked
    isolation: Isolation
    api_port: int | None  # of the AWS APIs, in a network of the instance's own; None: it has none
    folder: Path  # of the instance
    hostname: str
    environment: dict[str, str]  # of the boot script, or of all that runs from the instance's own disk
    boot: Path
    grace: float
    groups: list[Path]  # the control groups that all of the instance is in
    processes: int  # how many it may have at most
    disk_size: int | None  # bytes of what is below /mnt; None: as much as the machine has
    cloud: Path  # the folder of the cloud
    shown: list[str]  # folders in there that the instance sees
    keep: list[str]  # paths that must stay visible
    disk: Path | None  # the instance's own: then there is no boot script
    root: str  # what stands before the paths of that disk, where it cannot be mounted
    writable: list[str]  # paths outside of it that can be written all the same
    resolver: Path | None  # what stands for the machine's resolv.conf; None: that itself
    packages: list[str]  # where Python finds what the emulation of cloud-init needs

    @property
    def group(self) -> Path | None:
        """The control group of version 2, if there is one."""
        return next((group for group in self.groups if (group / "cgroup.subtree_control").exists()), None)

    @property
    def run(self) -> Path:
        """The folder for sockets, whose paths must be short."""
        return self.folder if self.isolation is Isolation.PLAIN else Path("/run")

    @classmethod
    def from_json(cls, text: str) -> "Orders":
        """Read the orders; paths are strings there."""
        values = json.loads(text)
        paths = ("folder", "boot", "cloud", "disk", "resolver")
        values |= {name: Path(values[name]) for name in paths if values[name] is not None}
        values["groups"] = [Path(group) for group in values["groups"]]
        return cls(**values | {"isolation": Isolation(values["isolation"])})


def mount(source: str | Path, target: str | Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount a file system, as the system call does."""
    arguments = [str(word).encode() for word in (source, target, kind)]
    if _libc.mount(*arguments, ctypes.c_ulong(flags), data.encode()):
        code = ctypes.get_errno()
        raise OSError(code, f"cannot mount {source} at {target}: {os.strerror(code)}")


def bind(source: str | Path, target: str | Path) -> None:
    """Make a file or a folder appear at another place too, with all that is mounted below it."""
    mount(source, target, flags=MS_BIND | MS_REC)


def furnish(orders: Orders) -> None:
    """Give the instance its own view of the machine. The order matters: /proc comes last, /dev needs /proc's host."""
    socket.sethostname(orders.hostname)
    _hide_cloud(orders.cloud, orders.shown)
    if orders.disk:
        disk.protect(map(Path, orders.writable), bind)
        disk.furnish(orders.disk / disk.FILES, orders.keep, bind)
    _private_mnt(orders.folder / "mnt", orders.disk_size)
    _hide_power_commands(orders.folder / "bin" / POWER_COMMANDS[0])
    _private_run(orders.keep)
    if orders.resolver and (place := Path("/etc/resolv.conf").resolve()).exists():
        bind(orders.resolver, place)
    _private_dev()
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    if os.access("/proc/sysrq-trigger", os.W_OK):
        bind("/dev/null", "/proc/sysrq-trigger")


def _hide_cloud(folder: Path, shown: list[str]) -> None:
    """Put an empty folder over that of the cloud, which has keys and other instances, but for what is shown of it."""
    handles = {Path(path): os.open(path, os.O_PATH) for path in shown}
    mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, "mode=700")
    for path, handle in handles.items():
        path.mkdir(parents=True)
        bind(f"/proc/self/fd/{handle}", path)
        os.close(handle)


def _private_mnt(folder: Path, disk_size: int | None) -> None:
    """Put a folder of the instance over /mnt. What the host has there stays visible."""
    folder.mkdir()
    if disk_size is not None:
        mount(
            "tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, f"size={disk_size},nr_inodes={_inodes(disk_size)},mode=755"
        )
    for entry in Path("/mnt").iterdir():
        place = folder / entry.name
        if entry.is_symlink():
            place.symlink_to(entry.readlink())
            continue
        if entry.is_dir():
            place.mkdir()
        else:
            place.touch()
        bind(entry, place)
    bind(folder, "/mnt")


def _inodes(disk_size: int) -> int:
    """Return how many files a disk takes: one for 16 KiB, as mke2fs has it."""
    return max(1024, disk_size >> 14)


def _hide_power_commands(script: Path) -> None:
    found = {Path(path).resolve() for name in POWER_COMMANDS if (path := shutil.which(name, path=_SYSTEM_PATH))}
    for command in found:
        bind(script, command)


_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def _private_run(keep: list[str]) -> None:
    """Put an empty /run over the host's, so that no socket of its systemd or D-Bus can be reached."""
    resolver = Path("/etc/resolv.conf").resolve()
    kept = {path for name in keep if (path := Path(name).resolve()).is_relative_to("/run") and path.exists()}
    if resolver.is_relative_to("/run") and resolver.exists():
        kept.add(resolver)
    handles = {path: os.open(path, os.O_PATH) for path in kept}
    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    for path, handle in handles.items():
        _place_for(path, like=Path(f"/proc/self/fd/{handle}"))
        bind(f"/proc/self/fd/{handle}", path)
        os.close(handle)
    Path("/run/lock").mkdir(exist_ok=True)


def _place_for(path: Path, *, like: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if like.is_dir():
        path.mkdir(exist_ok=True)
    else:
        path.touch()


def _private_dev() -> None:
    """Put a /dev over the host's that has what a program may expect, and no disk."""
    sources = {name: os.open(f"/dev/{name}", os.O_PATH) for name in DEVICES if Path("/dev", name).exists()}
    mount("tmpfs", "/dev", "tmpfs", MS_NOSUID, "mode=755")
    for name, source in sources.items():
        Path("/dev", name).touch()
        bind(f"/proc/self/fd/{source}", f"/dev/{name}")
        os.close(source)
    for name, target in DEVICE_LINKS.items():
        Path("/dev", name).symlink_to(target)
    for name in ("pts", "shm", "disk/by-id"):
        Path("/dev", name).mkdir(parents=True)
    Path("/dev/shm").chmod(0o1777)  # noqa: S108 (this is the instance's own)
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")


def _write_power_commands(orders: Orders) -> None:
    """Write the commands that end this instance, first in its PATH."""
    folder = orders.folder / "bin"
    folder.mkdir()
    first, *others = POWER_COMMANDS
    script = folder / first
    timer = shlex.quote(str(orders.folder / "shutdown.pid"))
    script.write_text(POWER_SCRIPT.format(init=os.getpid(), timer=timer))
    script.chmod(0o755)
    for name in others:
        (folder / name).symlink_to(first)
    if orders.disk:
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        write_commands(orders.folder, root=orders.root, init=os.getpid(), booted=uptime)


def _become_reaper() -> None:
    """Adopt every orphan among our descendants, and give up the right to reboot the machine."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _libc.prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0)


def _limit_open_files() -> None:
    """Give processes the limit that Amazon Linux does, not the cloud's own."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65535, most), most))


def _reap(services: Services) -> bool:
    """Collect the children that have ended; return whether any is left."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        services.collected(pid, os.waitstatus_to_exitcode(status))


def _signal_all(signum: signal.Signals) -> None:
    for pid in descendants([os.getpid()]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)


def _shut_down(grace: float, services: Services) -> None:
    """Ask all processes to end, then end them. Returns when there is none left."""
    report("shutting down")
    services.stay_down()
    deadline = time.monotonic() + grace
    _signal_all(signal.SIGTERM)
    while _reap(services):
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            _signal_all(signal.SIGKILL)  # again and again: one of them may just have forked
            remaining = 0.05
        signal.sigtimedwait({signal.SIGCHLD}, remaining)


def _run(orders: Orders) -> None:
    """Boot, then reap, start, restart and kill as told, until told to shut down. It outlives its services."""
    services = Services(_services(orders))
    services.start()
    while (signum := _next_signal(services.seconds_to_act())) not in _ENDS:
        if signum == signal.SIGUSR1:
            services.kill()
        if signum == signal.SIGUSR2:
            for service in _requested(orders):
                services.add(service)
        _reap(services)
        services.act()
    _shut_down(0.0 if signum == signal.SIGINT else orders.grace, services)


def _services(orders: Orders) -> list[Service]:
    """Return what an instance runs when it boots: with a disk of its own, the units enabled there, and cloud-init."""
    if orders.disk is None:
        return [boot_script(orders.boot, orders.environment, group=orders.group, run=orders.run)]
    enabled = sorted(_units(orders).glob("*.target.wants/*.service"))
    return [
        *(unit_service(unit, orders.environment, orders.root, group=orders.group, run=orders.run) for unit in enabled),
        _cloud_init(orders),
    ]


def _units(orders: Orders) -> Path:
    return Path(f"{orders.root}/etc/systemd/system")


def _cloud_init(orders: Orders) -> Service:
    values = {"environment": orders.environment, "root": orders.root, "done": f"{orders.disk}/cloud-init"}
    command = [sys.executable, "-P", "-m", "awsac_async.local.cloudinit", json.dumps(values)]
    return Service("cloud-init", command, orders.environment | {"PYTHONPATH": os.pathsep.join(orders.packages)})


def _requested(orders: Orders) -> list[Service]:
    """Return the units that ``systemctl start`` has asked for since the last time."""
    requests = sorted((orders.folder / REQUESTS).iterdir())
    for each in requests:
        each.unlink()
    return [
        unit_service(_units(orders) / each.name, orders.environment, orders.root, group=orders.group, run=orders.run)
        for each in requests
    ]


def _next_signal(within: float | None) -> int | None:
    """Wait for a signal, for so many seconds at most; None if none came."""
    if within is None:
        return signal.sigwait(WATCHED)
    told = signal.sigtimedwait(WATCHED, within)
    return told.si_signo if told else None


def _tell(channel: socket.socket, host_pid: str, api_port: int | None) -> None:
    """Tell the hypervisor who we are, and give it the sockets of our own network, which it answers from outside."""
    if api_port is None:
        channel.send(host_pid.encode())
        return
    interior.bring_up()
    sockets = interior.listening(api_port)
    socket.send_fds(channel, [host_pid.encode()], [each.fileno() for each in sockets])
    for each in sockets:
        each.close()


def _close_ways(blocked: list[str]) -> None:
    """Let there be no way to what the hypervisor names, and give up the right to make one, for all that runs here."""
    if blocked:
        interior.block(blocked)
        _libc.prctl(PR_CAPBSET_DROP, CAP_NET_ADMIN, 0, 0, 0)
        _libc.prctl(PR_CAPBSET_DROP, CAP_NET_RAW, 0, 0, 0)


def main() -> int:
    """Furnish the instance, tell the hypervisor, and run it."""
    orders = Orders.from_json(sys.argv[1])
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)  # before anybody can know whom to signal
    host_pid = str(Path("/proc/self").readlink())  # before our own /proc hides it
    _limit_open_files()
    cgroups.enter(orders.groups)  # before we start anything
    if not orders.groups:
        surroundings.limit(resource.RLIMIT_NPROC, orders.processes, orders.processes)
    _write_power_commands(orders)
    if orders.isolation is Isolation.PLAIN:
        if orders.disk_size is not None:
            report("the disk has no size of its own, since this machine allows no namespaces")
        _become_reaper()
    else:
        furnish(orders)
    with socket.socket(fileno=orders.channel) as channel:
        _tell(channel, host_pid, orders.api_port)
        told = channel.recv(1 << 16)
        if not told:  # the hypervisor is gone
            return 1
        _close_ways(json.loads(told))
    _run(orders)
    return 0


if __name__ == "__main__":
    sys.exit(main())
