"""The agent that instances of a stock image install: which package it is, and how this very awsac becomes a wheel.

An awsac from an index names itself by its version, and the instances ask the index for the same. One that was
installed from anywhere else, a checkout above all, is on no index: it is packed into a wheel as it is, by nothing but
the standard library, so that it needs neither the tools nor the network of a build.
"""

import base64
import hashlib
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import awsac_async
from awsac_async.client.bootfiles import BOOT_FOLDER
from awsac_async.cloud.objects import address
from awsac_async.session.errors import FormatError, InputError
from awsac_async.session.names import PACKAGE, agent_wheel_key

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same content makes the same bytes
_WHEEL_NAME = re.compile(rf"{PACKAGE}-[A-Za-z0-9_.+!]+(-[0-9][A-Za-z0-9_.]*)?-py3-none-any\.whl")
_NEEDED = frozenset({f"{PACKAGE}/__init__.py", f"{PACKAGE}/boot/awsac-autorun"})
_WHEEL = "Wheel-Version: 1.0\nGenerator: awsac\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@dataclass(frozen=True, kw_only=True)
class AgentPackage:
    """What the instances of a stock image install: ``requirement``, from the index they are set to, or ``wheel``."""

    requirement: str = ""
    wheel: Path | None = None

    @property
    def version(self) -> str:
        """Return its version."""
        return self.wheel.name.split("-")[1] if self.wheel else self.requirement.partition("==")[2]

    def for_session(self, bucket: str, session_id: str) -> str:
        """Return what ``awsac-install`` takes: a wheel stands among the session's objects."""
        if self.wheel is None:
            return self.requirement
        return address(bucket, agent_wheel_key(session_id, self.wheel.name))

    def __str__(self) -> str:
        """Say what it is, to a person."""
        return f"{self.requirement} from PyPI" if self.wheel is None else f"{self.wheel.name}, uploaded from here"


def agent_package(chosen: Path | None, place: Callable[[], Path]) -> AgentPackage:
    """Return the wheel that the user has chosen, else this awsac: by its version, or as a wheel made in a ``place``.

    Raises:
        FormatError: what was chosen is no wheel of awsac.
        InputError: this awsac cannot be packed.
    """
    if chosen is not None:
        _check(chosen)
        return AgentPackage(wheel=chosen)
    try:
        return package_of(distribution(PACKAGE), place)
    except PackageNotFoundError:
        raise InputError(f"{PACKAGE} is not installed, only imported: name a wheel of it by agent_wheel") from None


def package_of(installed: Distribution, place: Callable[[], Path]) -> AgentPackage:
    """Return what an installed awsac is to other machines. Raises InputError if it cannot be packed."""
    if _is_on_an_index(installed):
        return AgentPackage(requirement=f"{PACKAGE}=={installed.version}")
    return AgentPackage(wheel=_pack(installed, place()))


def _is_on_an_index(installed: Distribution) -> bool:
    """Whether it came from an index: what did not says where it came from (PEP 610)."""
    return installed.read_text("direct_url.json") is None and not re.search(r"dev|\+", installed.version)


def _check(wheel: Path) -> None:
    expected = f"a wheel of awsac, named {PACKAGE}-<version>-py3-none-any.whl"
    found = ""
    try:
        with zipfile.ZipFile(wheel) as archive:
            missing = _NEEDED - {*archive.namelist()}
        found = f"no {min(missing)} in it" if missing else ""
    except FileNotFoundError:
        found = "no such file"
    except (OSError, zipfile.BadZipFile):
        found = "what is none"
    if not _WHEEL_NAME.fullmatch(wheel.name):
        found = found or f"the name {wheel.name!r}"
    if found:
        raise FormatError(file=str(wheel), found=found, expected=expected)


def _pack(installed: Distribution, place: Path) -> Path:
    """Write this awsac as a wheel into a folder; return its file."""
    information = f"{PACKAGE}-{installed.version}.dist-info"
    wheel = place / f"{PACKAGE}-{installed.version}-py3-none-any.whl"
    try:
        members = dict(_members(installed, information))
        record = f"{information}/RECORD"
        rows = [f"{name},sha256={_digest(content)},{len(content)}" for name, (content, _) in members.items()]
        members[record] = ("\n".join([*rows, f"{record},,", ""]).encode(), 0o644)
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, (content, mode) in members.items():
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.external_attr = (0o100000 | mode) << 16
                archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    except OSError as error:
        raise InputError(f"this awsac cannot be packed into a wheel for the instances: {error}") from error
    return wheel


def _members(installed: Distribution, information: str) -> Iterator[tuple[str, tuple[bytes, int]]]:
    """Yield name, content and mode of each member but the list of all."""
    package = Path(awsac_async.__file__).parent
    for folder, inside in ((package, PACKAGE), (BOOT_FOLDER, f"{PACKAGE}/boot")):
        for file in sorted(folder.rglob("*")):
            within = file.relative_to(folder)
            again = inside == PACKAGE and within.parts[0] == "boot"  # in a wheel it is a folder of the package
            if file.is_file() and "__pycache__" not in within.parts and not again:
                yield f"{inside}/{within.as_posix()}", (file.read_bytes(), file.stat().st_mode & 0o755 | 0o644)
    yield f"{information}/METADATA", ((installed.read_text("METADATA") or "").encode(), 0o644)
    yield f"{information}/entry_points.txt", ((installed.read_text("entry_points.txt") or "").encode(), 0o644)
    yield f"{information}/WHEEL", (_WHEEL.encode(), 0o644)


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
