"""The commands of systemd by which an instance with a disk of its own is set up, first in its PATH.

``systemctl``: ``enable``, ``start``, ``daemon-reload``, ``poweroff``, ``halt``. ``systemd-run``: a command now, or
after a time. What they cannot do they refuse. They reach the instance's own init, and never systemd of the machine that
it runs on.
"""

from pathlib import Path
from shlex import quote

REQUESTS = "starts"  # the folder in which a file names each unit that init is to start

_SYSTEMCTL = """\
#!/bin/sh
# systemctl of an instance of the embedded cloud.
units={units} requests={requests} init={init}
verb='' names='' now=''
for word; do
    case $word in
        --now) now=1 ;;
        -*) ;;
        *) if [ -z "$verb" ]; then verb=$word; else names="$names $word"; fi ;;
    esac
done
start() {{ for name in $names; do : > "$requests/$name" || exit 1; done; kill -s USR2 "$init"; }}
case $verb in
    poweroff|halt) exec {poweroff} ;;
    daemon-reload) ;;
    start) start ;;
    enable)
        for name in $names; do
            target=$(sed -n 's/^WantedBy=//p' "$units/$name") && [ -n "$target" ] || exit 1
            mkdir -p "$units/$target.wants" && ln -sf "../$name" "$units/$target.wants/$name" || exit 1
            echo "Created symlink /etc/systemd/system/$target.wants/$name"
        done
        [ -z "$now" ] || start ;;
    *) echo "systemctl $verb: not available on an instance of the embedded cloud" >&2; exit 1 ;;
esac
"""
_SYSTEMD_RUN = """\
#!/bin/sh
# systemd-run of an instance of the embedded cloud: a command now, or so many seconds from now or from the boot.
booted={booted} after=0
for word; do
    case $word in
        --on-active=*s) after=${{word#*=}} ;;
        --on-boot=*s)
            end=${{word#*=}} && read -r now _ < /proc/uptime
            after=$(awk "BEGIN {{ print ${{end%s}} + $booted - $now }}") ;;
        --on-*) echo "systemd-run $word: not available on an instance of the embedded cloud" >&2; exit 1 ;;
        -*) ;;
        *) break ;;
    esac
    shift
done
case $after in -*) after=0 ;; esac
setsid sh -c 'sleep "$1"; shift; exec "$@"' timer "${{after%s}}" "$@" </dev/null &
"""


def write_commands(folder: Path, *, root: str, init: int, booted: float) -> None:
    """Write them into an instance's ``bin``, beside its ``poweroff``.

    Args:
        folder: the instance's.
        root: what stands before each path of the instance; "" where it has a file system of its own.
        init: the PID of its init, as it sees it.
        booted: when it booted, by the machine's uptime.
    """
    commands = folder / "bin"
    values = {
        "units": quote(f"{root}/etc/systemd/system"),
        "requests": quote(str(folder / REQUESTS)),
        "poweroff": quote(str(commands / "poweroff")),
        "init": init,
        "booted": booted,
    }
    (folder / REQUESTS).mkdir()
    for name, script in {
        "systemctl": _SYSTEMCTL,
        "systemd-run": _SYSTEMD_RUN,
    }.items():
        (commands / name).unlink(missing_ok=True)  # a link to what ends the instance
        (commands / name).write_text(script.format(**values))
        (commands / name).chmod(0o755)
