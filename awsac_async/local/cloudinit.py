"""What cloud-init does with user data, as far as an instance of a stock image here does it.

``#!`` is a script, which runs once an instance. Of ``#cloud-config`` these keys are followed, in cloud-init's own
order: ``bootcmd``, ``write_files``, ``packages``, ``runcmd``. The first runs at each boot, the others once an instance.
Packages are named on the console and not installed: that would change the machine that plays the instance. Whatever
else stands there is named and passed over; all else than these two kinds is none of cloud-init's business.

Runs as a process of the instance, ``python -m awsac_async.local.cloudinit ORDERS``, with the packages of the cloud; the
commands get the instance's environment, and no more.
"""

import base64
import binascii
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from awsac_async.local.interior import METADATA_ADDRESS
from awsac_async.local.metadata import TOKEN_HEADER, TTL_HEADER

_TIMEOUT = 10.0  # s
_BASE64 = {"b64", "base64"}


def say(message: str) -> None:
    """Print a line on the console."""
    print(f"[cloud-init] {message}", flush=True)


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What the instance's init tells: the commands' environment, where files are, and where to note what was done."""

    environment: dict[str, str]
    root: str  # before each path that user data name; "" where the instance has a file system of its own
    done: Path  # a folder that goes with the instance's disk


def user_data(endpoint: str) -> bytes:
    """Ask the metadata service, by its version 2; returns b"" if there are none."""
    token = _ask(endpoint, "PUT", "/latest/api/token", {TTL_HEADER: "60"})
    return _ask(endpoint, "GET", "/latest/user-data", {TOKEN_HEADER: token.decode()})


def _ask(endpoint: str, method: str, path: str, headers: Mapping[str, str]) -> bytes:
    place = urlsplit(endpoint)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=_TIMEOUT)
    try:
        connection.request(method, path, headers=dict(headers))
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    return body if answer.status == http.client.OK else b""


class CloudInit:
    """One boot of one instance."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def run(self, data: bytes) -> None:
        """Do what these user data say."""
        if data.startswith(b"#!"):
            self._once("user-data script", lambda: self._run_script(data))
        elif data.startswith(b"#cloud-config"):
            self._configure(data)
        elif data.strip():
            say("the user data are neither a script nor a cloud-config: nothing to do")

    def _configure(self, data: bytes) -> None:
        try:
            config = yaml.safe_load(data)
        except yaml.YAMLError as error:
            say(f"FAILED: the cloud-config is no YAML: {error}")
            return
        if not isinstance(config, dict):
            say("FAILED: the cloud-config is no mapping")
            return
        steps: dict[str, Callable[[Any], None]] = {
            "bootcmd": self._run_commands,
            "write_files": lambda files: self._once("write_files", lambda: self._write_files(files)),
            "packages": lambda names: self._once("packages", lambda: self._record_packages(names)),
            "runcmd": lambda commands: self._once("runcmd", lambda: self._run_commands(commands)),
        }
        if others := sorted(config.keys() - steps.keys()):
            say(f"passed over: {', '.join(others)}")
        for key, follow in steps.items():
            if key in config:
                self._follow(key, follow, config[key])

    def _follow(self, key: str, follow: Callable[[Any], None], value: Any) -> None:
        """Follow one key; what fails does not keep the next from its turn, as with cloud-init."""
        try:
            follow(value)
        except (OSError, LookupError, TypeError, ValueError) as error:
            say(f"FAILED: {key}: {type(error).__name__}: {error}")

    def _once(self, name: str, act: Callable[[], None]) -> None:
        note = self._orders.done / name.replace(" ", "-")
        if note.exists():
            return
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()  # before, as cloud-init does: what has failed is not tried again at the next boot
        act()

    def _run_script(self, data: bytes) -> None:
        script = self._orders.done / "script"
        script.write_bytes(data)
        script.chmod(0o700)
        self._call([str(script)])

    def _run_commands(self, commands: list[str | list[object]]) -> None:
        """Run commands in order: a list of words directly, a text by a shell."""
        for command in commands:
            self._call(["/bin/sh", "-c", command] if isinstance(command, str) else list(map(str, command)))

    def _call(self, words: list[str]) -> None:
        code = subprocess.run(words, env=self._orders.environment, stdin=subprocess.DEVNULL, check=False).returncode
        if code:
            say(f"FAILED: {words[0]} ended with status {code}")

    def _write_files(self, files: list[dict[str, Any]]) -> None:
        for each in files:
            path = Path(self._orders.root + each["path"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_content(each))
            path.chmod(int(str(each.get("permissions", "0644")), 8))

    def _record_packages(self, names: list[object]) -> None:
        say(f"packages are not installed on an instance of the embedded cloud: {', '.join(map(str, names))}")


def _content(file: Mapping[str, Any]) -> bytes:
    content = str(file.get("content", ""))
    if file.get("encoding", "text/plain") in _BASE64:
        try:
            return base64.b64decode(content, validate=True)
        except binascii.Error as error:
            raise ValueError(f"{file['path']}: {error}") from error
    return content.encode()


def main() -> None:
    """Be cloud-init, at one boot."""
    given = json.loads(sys.argv[1])
    orders = Orders(**given | {"done": Path(given["done"])})
    os.umask(0o022)
    data = user_data(orders.environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{METADATA_ADDRESS}"))
    CloudInit(orders).run(data)
    say("finished")


if __name__ == "__main__":
    main()
