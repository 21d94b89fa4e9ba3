"""What faults have to know of the account, from the back ends' records: who calls, what is young, what has expired."""

from collections.abc import Iterator
from datetime import timedelta

from moto.core.utils import utcnow
from moto.ec2.models.instances import Instance
from moto.sts.models import AssumedRole, sts_backends

from awsac_async.local.ec2 import InstanceBackend
from awsac_async.local.facts import PARTITION
from awsac_async.local.faults.calls import Caller


def as_caller(instance: Instance) -> Caller:
    """Return an instance as a fault may name it."""
    tags = (str(tag["value"]) for tag in instance.get_tags())
    return Caller(instance_id=instance.id, launch_index=int(instance.ami_launch_index), names=(instance.id, *tags))


class Records:
    """The records of one account."""

    def __init__(self, backend: InstanceBackend) -> None:
        self._backend = backend
        self._sts = sts_backends[backend.account_id][PARTITION]

    def caller(self, access_key: str) -> Caller | None:
        """Return the instance whose role was given these credentials; None if they are somebody else's."""
        role = self._role(access_key)
        with self._backend.lock:
            found = [one for one in self._backend.all_instances() if role and one.id == role.session_name]
            return as_caller(found[0]) if found else None

    def running(self) -> list[tuple[Caller, timedelta]]:
        """Return the instances that have a machine now, and how long ago each was launched."""
        now, machines = utcnow(), self._backend.hardware.hypervisor
        with self._backend.lock:
            instances = [one for one in self._backend.all_instances() if machines.runs(one.id)]
            return [(as_caller(one), now - one.launch_time) for one in instances]

    def console(self, instance_id: str) -> str:
        """Return the end of what an instance has printed."""
        return self._backend.hardware.hypervisor.console(instance_id).decode(errors="replace")

    def expire(self, access_key: str) -> None:
        """Let temporary credentials end now: the metadata service gives new ones from then on."""
        if role := self._role(access_key):
            role.expiration = utcnow()

    def expired(self, access_key: str) -> bool:
        """Say whether these are temporary credentials that have ended."""
        role = self._role(access_key)
        return role is not None and role.expiration <= utcnow()

    def younger_than(self, seconds: float) -> set[str]:
        """Return the IDs of the instances, volumes and snapshots that were made within the last seconds."""
        with self._backend.lock:
            return {found for found, age in self._ages() if age < timedelta(seconds=seconds)}

    def _ages(self) -> Iterator[tuple[str, timedelta]]:
        now = utcnow()
        for instance in self._backend.all_instances():
            yield instance.id, now - instance.launch_time
        for volume in self._backend.volumes.values():
            yield volume.id, now - volume.create_time
        for snapshot in self._backend.snapshots.values():
            yield snapshot.id, now - snapshot.start_time

    def _role(self, access_key: str) -> AssumedRole | None:
        return self._sts.get_assumed_role_from_access_key(access_key)
