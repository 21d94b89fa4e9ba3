"""What can be chosen about an embedded cloud, and the account that it comes with.

Owns the values that cross from ``up`` to the daemon. Reads no file and starts nothing.
"""

import dataclasses
import enum
import json
import os
from dataclasses import dataclass
from pathlib import Path

from awsac_async.local.place import LocalCloudError

REGION = "us-east-1"
ACCOUNT = "123456789012"
IMAGE = "ami-0a35ac00000000001"  # runs the boot script
STOCK_IMAGE = "ami-0a35ac00000000002"  # runs cloud-init, and what that has installed on the instance's own disk
ROLE = "awsac-agent"  # also the name of its instance profile
USER, ADMINISTRATOR = "user", "administrator"  # there is an administrator only where policies are enforced
BUCKET = "awsac-sessions"
NETWORK_VARIABLE = "AWSAC_LOCAL_NETWORK"  # the network of clouds for which none is chosen

# How ``cloud`` asks the daemon, beside the AWS APIs: no bucket can be called so.
CONTROL_PREFIX = "/_local/"
SECRET_HEADER = "X-Local-Secret"  # noqa: S105 (a header's name)


class Isolation(enum.StrEnum):
    """How an instance is kept apart from the machine that it runs on."""

    NAMESPACES = "namespaces"  # as root: own mounts, processes, devices; volumes are block devices
    USER_NAMESPACES = "user-namespaces"  # the same as an ordinary user; volumes are directories
    PLAIN = "plain"  # own directories and session only


class Network(enum.StrEnum):
    """What an instance reaches beside its metadata service and the cloud's endpoint."""

    NAT = "nat"  # what is outside of this machine, as the machine itself does
    NONE = "none"  # nothing
    HOST = "host"  # all that this machine reaches, and the machine itself: it has no network of its own


class StorageKind(enum.StrEnum):
    """What a volume is."""

    IMAGES = "images"  # an ext4 file system in a file, on a loop device
    DIRECTORIES = "directories"


def _boot_script() -> Path:
    """Return the boot script: beside this package in a wheel, beside its folder in a checkout."""
    package = Path(__file__).resolve().parents[1]
    places = (package / "boot", package.parent / "boot")
    return next((place for place in places if place.is_dir()), places[0]) / "awsac-autorun"


def _network() -> Network | None:
    """Return the network that the environment chooses.

    Raises LocalCloudError if it names none that there is.
    """
    chosen = os.environ.get(NETWORK_VARIABLE)
    if chosen and chosen not in set(Network):
        raise LocalCloudError(f"{NETWORK_VARIABLE} is {chosen[:40]!r}, but it can be nat, none or host")
    return Network(chosen) if chosen else None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How an embedded cloud behaves. Delays and grace are seconds."""

    port: int = 0  # 0: one that the kernel chooses
    forwarded: tuple[str, ...] = ()  # further names, at any port: of what forwards requests to it
    boot: Path = dataclasses.field(default_factory=_boot_script)  # what an instance runs when it starts
    isolation: Isolation | None = None  # None: the best that this machine allows
    network: Network | None = dataclasses.field(default_factory=_network)  # None: nat where it can be had, else none
    instance_delay: float = 0.2  # pending, and shutting-down, each last this long
    volume_delay: float = 0.2  # creating
    attachment_delay: float = 0.2  # attaching, and detaching
    snapshot_delay: float = 0.2  # pending
    attachment_limit: int = 27  # volumes that an instance can have, its root volume among them: as Nitro
    shutdown_grace: float = 2.0  # from SIGTERM to SIGKILL when an instance is shut down
    disk_size: int | None = None  # bytes that an instance has below /mnt; None: what the machine has
    instance_memory: int | None = None  # bytes that an instance may use; None: what this machine can do without
    instance_processes: int | None = None  # processes and threads that it may have; None: half of what there may be
    spot_warning: float = 120.0  # from the notice to the end of a spot instance
    iam: bool = False  # whether policies are enforced; else everybody may do everything
    user_policy: str = ""  # what the user may, as JSON; "": everything
    role_policy: str = ""  # what the role of instances may, as JSON; "": everything
    faults: str = ""  # the text of a file that says how it misbehaves, as ``faults.file`` reads it

    def to_json(self) -> str:
        """Return a text that ``from_json`` reads."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """Read what ``to_json`` wrote."""
        values = json.loads(text)
        isolation = Isolation(values["isolation"]) if values["isolation"] else None
        network = Network(values["network"]) if values["network"] else None
        own = {"boot": Path(values["boot"]), "isolation": isolation, "forwarded": tuple(values["forwarded"])}
        return cls(**values | own | {"network": network})
