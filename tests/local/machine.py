"""A machine for tests of what instances reach: namespaces that play one, and the world outside of it.

``python -m tests.local.machine machine USER DIRECTORY`` in a network and a mount namespace of its own brings a cloud up
as root or as nobody, and prints as JSON what its instances reach. In that world lives a metadata service that is not
the instances', as on a machine that is itself an instance.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from awsac_async.local import cloud, processes
from awsac_async.local.settings import Network, Settings
from tests.conftest import Embedded

from .account import BOOT, Account, eventually

OUTSIDE, OWN, SECOND, GATEWAY = "192.0.2.80", "198.51.100.1", "203.0.113.5", "198.51.100.2"
METADATA = "169.254.169.254"
PORT = 9001  # of a service of the machine, on all its addresses

# What an instance tries; the first one serves only.
SERVE = "python3 -m http.server 9002 & echo address $(hostname -I); sleep 60"
TRY = """
cat > $HOME/try <<'END'
import json, socket, subprocess, sys

def ask(place):
    try:
        with socket.create_connection(place, timeout=3) as connection:
            connection.settimeout(3)
            connection.sendall(b"GET /latest/meta-data/instance-id HTTP/1.0\\r\\nHost: 169.254.169.254\\r\\n\\r\\n")
            return connection.makefile().read().splitlines()[-1]
    except OSError:
        return None

def around_the_loopback():
    try:
        with socket.socket() as connection:
            connection.settimeout(3)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
            connection.connect(("169.254.169.254", 80))
            connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            return connection.makefile().read().splitlines()[-1]
    except OSError:
        return None

found = {place: ask((place, int(port))) for place, _, port in (word.rpartition(":") for word in sys.argv[1:])}
found["around"] = around_the_loopback()
for change in ("addr del 169.254.169.254/32 dev lo", "route flush type unreachable"):
    subprocess.run(["ip", *change.split()], capture_output=True)
found["without its own"] = ask(("169.254.169.254", 80))
print("found", json.dumps(found), flush=True)
END
python3 $HOME/try PLACES; sleep 60
"""


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _ip(*lines: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), check=True, text=True)


def _serve(place: tuple[str, int], word: str) -> None:
    service = socket.create_server(place)

    def answer() -> None:
        while True:
            connection = service.accept()[0]
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + word.encode())

    threading.Thread(target=answer, daemon=True).start()


def world() -> None:
    """Be the world outside, until nobody listens."""
    _ip("link set lo up", f"addr add {METADATA}/32 dev lo", f"addr add {OUTSIDE}/32 dev lo")
    print("begun", flush=True)
    sys.stdin.readline()  # it is connected now
    _ip(f"addr add {GATEWAY}/24 dev world", "link set world up")
    _serve((METADATA, 80), "the machine's own")
    _serve((OUTSIDE, 80), "the world")
    print("serving", flush=True)
    sys.stdin.readline()


def machine(user: str, directory: str) -> None:
    """Be a machine with a network card, a second address and a service, and run a cloud on it."""
    _ip("link set lo up")
    command = ["unshare", "--net", sys.executable, "-m", "tests.local.machine", "world"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as outside:
        assert outside.stdin
        assert outside.stdout
        outside.stdout.readline()
        _ip(
            f"link add up0 type veth peer name world netns {outside.pid}",
            f"addr add {OWN}/24 dev up0",
            "link set up0 up",
            f"route add default via {GATEWAY}",
            "link add own type veth peer name own2",
            f"addr add {SECOND}/32 dev own",
            "link set own up",
        )
        outside.stdin.write("\n")
        outside.stdin.flush()
        outside.stdout.readline()
        _serve(("0.0.0.0", PORT), "a service of the machine")  # noqa: S104  all of this machine's, which is a namespace
        if user == "root":
            run_cloud(directory)
            links = [line.split()[0].partition("@")[0] for line in _run("ip", "-brief", "link").splitlines()]
            forwarding = Path("/proc/sys/net/ipv4/ip_forward").read_text().strip()
            print(json.dumps({"rules": _run("nft", "list", "ruleset"), "links": links, "forwarding": forwarding}))
        else:
            subprocess.run([*json.loads(user), "-m", "tests.local.machine", "run_cloud", directory], check=True)
        outside.kill()


def run_cloud(directory: str) -> None:
    """Bring a cloud up, print what an instance reaches, kill its process, and take down what is left."""
    place = Path(directory, "cloud")
    environment = cloud.up(place, Settings(boot=BOOT, network=Network.NAT, shutdown_grace=0.5))
    try:
        embedded = Embedded(directory=place, endpoint=environment["AWS_ENDPOINT_URL"], environment=environment)
        account = Account(cloud=embedded, isolation="")
        first = account.launch(SERVE)
        printed = account.printed(first, "address ").splitlines()
        (address,) = (line.split()[1:] for line in printed if line.startswith("address "))
        others = [each for each in address if each != METADATA]
        places = [f"{each}:9002" for each in others]
        places += [f"{each}:80" for each in (OUTSIDE, METADATA)]
        places += [f"{each}:{PORT}" for each in ("127.0.0.1", OWN, SECOND, "198.18.0.1", "10.0.2.2")]
        second = account.launch(TRY.replace("PLACES", " ".join(places)))
        printed = account.printed(second, "found ").splitlines()
        (found,) = (line for line in printed if line.startswith("found "))
        reached = json.loads(found.removeprefix("found "))
        reached["other instance"] = [reached.pop(each) for each in others if each != OWN]
        print(json.dumps({"reached": reached, "metadata is own": reached[METADATA] == second}))
        status = cloud.status(place)
        os.kill(status.pid, signal.SIGKILL)
        eventually(lambda: processes.start_time(status.pid), lambda started: started is None)
    finally:
        cloud.down(place)
    left = processes.belonging_to(place)
    print(json.dumps({"network": [status.network, status.network_note], "left": left}), flush=True)


if __name__ == "__main__":
    roles: dict[str, Callable[..., Any]] = {"world": world, "machine": machine, "run_cloud": run_cloud}
    roles[sys.argv[1]](*sys.argv[2:])
