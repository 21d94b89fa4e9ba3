"""EC2 instances as a moto back end: states that take time, and a machine behind each instance.

    pending -> running -> shutting-down -> terminated          terminated instances stay visible
       ^          |
       |          v
    stopped <- stopping

An instance's own ``poweroff`` terminates or stops it, as its shutdown behaviour says. What EC2 does to instances by
itself (takes back a spot instance, loses hardware) is done here when somebody asks for it. Machines are started and
stopped by ``hypervisor``; each has a metadata service for as long as it runs.
"""

import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_block_store import VolumeAttachment
from moto.ec2.models.instances import Instance, InstanceState, Reservation, StateReason

from awsac_async.local.ebs import BUSY_POLL, VolumeBackend, after
from awsac_async.local.facts import facts_of
from awsac_async.local.listening import Server
from awsac_async.local.metadata import MetadataService
from awsac_async.local.volumes import VolumeError

log = logging.getLogger(__name__)

CONTENT_TIMEOUT = 600.0  # s: from CreateVolume to the volume's content being there
CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
LEAVING = {"terminated": "shutting-down", "stopped": "stopping"}
LEAVES_FOR = {"terminated": {"pending", "running", "stopping", "stopped"}, "stopped": {"pending", "running"}}

USER_SHUTDOWN = StateReason("Client.UserInitiatedShutdown: User initiated shutdown", "Client.UserInitiatedShutdown")
OWN_SHUTDOWN = StateReason(
    "Client.InstanceInitiatedShutdown: Instance initiated shutdown", "Client.InstanceInitiatedShutdown"
)

NO_BOOT = StateReason("Server.InternalError: Internal error on launch", "Server.InternalError")
LOST = StateReason("Server.InternalError: Hardware failure", "Server.InternalError")
SPOT_END = StateReason("Server.SpotInstanceTermination: Spot instance termination", "Server.SpotInstanceTermination")


_room: ContextVar[float] = ContextVar("room", default=math.inf)


@contextmanager
def room_for(instances: int) -> Iterator[None]:
    """Let whatever is launched inside find room for so many instances only."""
    token = _room.set(instances)
    try:
        yield
    finally:
        _room.reset(token)


def launchable(least: int, most: int) -> int:
    """Return how many instances a call gets that wants at least and at most so many; refuses it if there is no room."""
    if least > _room.get():
        message = "We currently do not have sufficient capacity in the Availability Zone you requested."
        raise EC2ClientError("InsufficientInstanceCapacity", message)
    return int(min(most, _room.get()))


@dataclass(kw_only=True)
class Running:
    """What stands behind an instance."""

    lock: threading.Lock = field(default_factory=threading.Lock)  # see VolumeBackend.instance_lock
    metadata: MetadataService | None = None
    api: Server | None = None  # the AWS APIs in the instance's own network


class InstanceBackend(VolumeBackend):
    """EC2 with instances that run."""

    endpoint = ""  # where instances find the AWS APIs; set before the first launch
    serve_api: Callable[[socket.socket], Server]  # answers them on a socket of an instance; set before the first launch

    def __init__(self, region_name: str, account_id: str) -> None:
        self._running: dict[str, Running] = {}
        self._answers: dict[tuple[str, str], tuple[str, Any]] = {}
        self.around_metadata: Callable[[Instance, Any], Any] = lambda _, service: service  # what stands before it
        super().__init__(region_name, account_id)

    @property
    def _url_module(self) -> Any:
        from awsac_async.local import ec2_requests  # it needs this module

        return ec2_requests

    def instance_lock(self, instance_id: str) -> threading.Lock:
        """Return the lock of what an instance does with its machine."""
        return self._running[instance_id].lock

    def once(self, operation: str, token: str | None, request: str, perform: Callable[[], Any]) -> Any:
        """Perform a request once for each client token, and give its answer again to the same request."""
        with self.lock:
            if token is None:
                return perform()
            if (operation, token) in self._answers:
                first, answer = self._answers[operation, token]
                if first != request:
                    raise EC2ClientError("IdempotentParameterMismatch", f"The client token {token} was used before.")
                return answer
            answer = perform()
            self._answers[operation, token] = (request, answer)
            return answer

    # --- launching ---

    def run_instances(self, *arguments: Any, **options: Any) -> Reservation:
        """Launch instances: they are pending, and boot after the delay."""
        self._check_launch(options)
        with self.lock:
            before = set(self.reservations)
            try:
                reservation = super().run_instances(*arguments, **options)
            except EC2ClientError:
                for reservation_id in self.reservations.keys() - before:
                    del self.reservations[reservation_id]
                raise
            for instance in reservation.instances:
                self._launch(instance, options.get("tags", {}).get("volume", {}))
        return reservation

    def _check_launch(self, options: dict[str, Any]) -> None:
        """Refuse what moto would accept."""
        self.check_type_and_key(options["instance_type"], options.get("key_name"))
        for mapping in options.get("block_device_mappings", []):
            if snapshot_id := mapping["Ebs"].get("SnapshotId"):
                self.get_snapshot(snapshot_id)

    def check_type_and_key(self, instance_type: str, key_name: str | None) -> None:
        """Refuse an instance type or a key pair that is not there."""
        if all(known["InstanceType"] != instance_type for known in self.instance_types):
            raise EC2ClientError("InvalidParameterValue", f"Invalid value '{instance_type}' for InstanceType.")
        if key_name and key_name not in self.key_pairs:
            raise EC2ClientError("InvalidKeyPair.NotFound", f"The key pair '{key_name}' does not exist")

    def _launch(self, instance: Instance, volume_tags: dict[str, str]) -> None:
        if instance.root_device_name not in instance.block_device_mapping:
            instance.setup_defaults()
            root = instance.block_device_mapping[instance.root_device_name]
            self.get_volume(root.volume_id).add_tags(volume_tags)
        _enter(instance, "pending", StateReason("pending", "pending"))
        self._running[instance.id] = Running()
        after(self.hardware.settings.instance_delay, self._boot, instance)

    def attach_volume(
        self, volume_id: str, instance_id: str, device_path: str, delete_on_termination: bool = False
    ) -> VolumeAttachment | None:
        """Attach a volume; one that belongs to a launch is made visible when the instance boots."""
        if instance_id in self._running:
            return super().attach_volume(volume_id, instance_id, device_path, delete_on_termination)
        return self.record_attachment(volume_id, instance_id, device_path, delete_on_termination)

    def _boot(self, instance: Instance) -> None:
        """Start the machine of a pending instance."""
        running = self._running[instance.id]
        with running.lock:
            with self.lock:  # a launch is complete when this can be had
                if instance.state != "pending":
                    return
                running.metadata = MetadataService(facts_of(instance), partial(self.around_metadata, instance))
                _enter(instance, "running", StateReason())
            try:
                self._start_machine(instance, running, running.metadata)
            except (VolumeError, OSError):
                log.exception("cannot boot %s", instance.id)
                self.machine_ended(instance.id, booted=False)

    def _start_machine(self, instance: Instance, running: Running, metadata: MetadataService) -> None:
        devices = {}
        for attachment in self._data_volumes(instance):
            self.get_volume(attachment.volume_id).created.wait(CONTENT_TIMEOUT)
            devices[attachment.volume_id] = self.hardware.storage.attach(attachment.volume_id)
        environment = {"AWS_ENDPOINT_URL": self.endpoint}
        if not self.hardware.hypervisor.own_network:  # else it is where every AWS library looks for it
            metadata.start()
            environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = metadata.endpoint

        def answer(metadata_socket: socket.socket, api_socket: socket.socket) -> None:
            metadata.start(metadata_socket)
            running.api = self.serve_api(api_socket)

        hostname = instance.private_dns_name.partition(".")[0]
        self.hardware.hypervisor.start(
            instance.id,
            hostname=hostname,
            environment=environment,
            devices=devices,
            answer=answer,
            disk=self.disk_of(instance),
        )

    def disk_of(self, instance: Instance) -> Path | None:  # noqa: ARG002  for who knows of images
        """Return what is on the disk of an instance when it boots first; None if it has none of its own."""
        return None

    def _data_volumes(self, instance: Instance) -> list[VolumeAttachment]:
        """Return the attachments of an instance other than its root volume, which is this machine's own disk."""
        volumes = [
            self.get_volume(block.volume_id)
            for device, block in instance.get_block_device_mapping
            if device != instance.root_device_name
        ]
        return [volume.attachment for volume in volumes if volume.attachment]

    # --- shutting down ---

    def terminate_instances(self, instance_ids: list[str]) -> list[tuple[Instance, InstanceState]]:
        """Begin to terminate instances; those that are terminated already stay so."""
        with self.lock:
            instances = self.get_multi_instances_by_id(instance_ids)
            for instance in instances:
                if instance.disable_api_termination:
                    raise EC2ClientError(
                        "OperationNotPermitted", f"The instance '{instance.id}' may not be terminated."
                    )
            return [(instance, self._leave(instance, "terminated", USER_SHUTDOWN)) for instance in instances]

    def stop_instances(self, instance_ids: list[str]) -> list[tuple[Instance, InstanceState]]:
        """Begin to stop instances."""
        with self.lock:
            instances = self.get_multi_instances_by_id(instance_ids)
            return [(instance, self._leave(instance, "stopped", USER_SHUTDOWN)) for instance in instances]

    def start_instances(self, instance_ids: list[str]) -> list[tuple[Instance, InstanceState]]:
        """Begin to start instances that were stopped."""
        with self.lock:
            instances = self.get_multi_instances_by_id(instance_ids)
            previous = []
            for instance in instances:
                if instance.state not in {"stopped", "running"}:
                    raise EC2ClientError("IncorrectInstanceState", f"The instance '{instance.id}' is not 'stopped'.")
                previous.append((instance, instance.instance_state))
                if instance.state == "stopped":
                    _enter(instance, "pending", StateReason("pending", "pending"))
                    after(self.hardware.settings.instance_delay, self._boot, instance)
            return previous

    def reboot_instances(self, instance_ids: list[str]) -> list[Instance]:
        """Refuse: the embedded cloud does not restart an instance in place."""
        self.get_multi_instances_by_id(instance_ids)
        raise EC2ClientError("UnsupportedOperation", "Instances of the embedded cloud cannot be rebooted.")

    def _leave(self, instance: Instance, final: str, reason: StateReason) -> InstanceState:
        """Begin the way to a final state, unless the instance is on one; return the state before."""
        previous = instance.instance_state
        if instance.state in LEAVES_FOR[final]:
            _enter(instance, LEAVING[final], reason)
            after(self.hardware.settings.instance_delay, self._shut_down, instance, final)
        return previous

    # --- what happens to instances ---

    def spot_notice(self, instance_id: str) -> None:
        """Tell a running spot instance that it is taken away, and take it away when the warning is over."""
        warning = self.hardware.settings.spot_warning
        with self.lock:
            instance = self.get_instance(instance_id)
            metadata = self._running[instance_id].metadata
            if instance.lifecycle != "spot" or instance.state != "running" or metadata is None:
                raise EC2ClientError("IncorrectInstanceState", f"{instance_id} is not a spot instance that runs")
            metadata.give_spot_notice(utcnow() + timedelta(seconds=warning))
        after(warning, self._take_away, instance)

    def _take_away(self, instance: Instance) -> None:
        with self.lock:
            self._leave(instance, "terminated", SPOT_END)

    def lose(self, instance_id: str) -> None:
        """Let an instance's hardware fail: it is dead at once, and terminated without having been shut down."""
        with self.lock:
            self._leave(self.get_instance(instance_id), "terminated", LOST)
        self.hardware.hypervisor.cut_power(instance_id)

    def kill_agent(self, instance_id: str) -> None:
        """Kill what the instance booted into, and nothing else of it."""
        self.hardware.hypervisor.kill_agent(self.get_instance(instance_id).id)

    def machine_ended(self, instance_id: str, booted: bool) -> None:
        """Follow a machine that has ended by itself (called by the hypervisor)."""
        with self.lock:
            instance = self.get_instance(instance_id)
            if instance.state == "running":
                stops = booted and instance.instance_initiated_shutdown_behavior == "stop"
                self._leave(instance, "stopped" if stops else "terminated", OWN_SHUTDOWN if booted else NO_BOOT)

    def _shut_down(self, instance: Instance, final: str) -> None:
        """End the machine and give back what the instance had."""
        running = self._running[instance.id]
        with running.lock:
            self.hardware.hypervisor.stop(instance.id)
            if running.metadata:
                running.metadata.stop()
            if running.api:
                running.api.stop()
            running.metadata = running.api = None
            if final == "stopped":
                for attachment in self._data_volumes(instance):
                    self.hardware.storage.detach(attachment.volume_id)
            else:
                self._release_all(instance)
                self.hardware.hypervisor.discard(instance.id)
            with self.lock:
                if instance.state == LEAVING[final]:  # else it was terminated while it stopped
                    _enter(instance, final, instance.state_reason)

    def _release_all(self, instance: Instance) -> None:
        """Detach all volumes, delete those that go with the instance, and free its addresses and profile."""
        for _, block in instance.get_block_device_mapping:
            volume = self.get_volume(block.volume_id)
            volume.created.wait(CONTENT_TIMEOUT)
            while volume.attachment and not self.release(volume.attachment):
                time.sleep(BUSY_POLL)  # the kernel is still taking the instance's mounts apart
            if block.delete_on_termination:
                self.delete_volume(volume.id)
        with self.lock:
            for interface in instance.nics.values():
                interface.stop()
                if interface.delete_on_termination:
                    interface.delete()
            if association := self.iam_instance_profile_associations.get(instance.id):
                self.disassociate_iam_instance_profile(association.association_id)


def _enter(instance: Instance, state: str, reason: StateReason) -> None:
    instance._state = InstanceState(state, CODES[state])
    instance.state_reason = reason
    initiator = {USER_SHUTDOWN.code: "User", OWN_SHUTDOWN.code: "Instance"}.get(reason.code)
    instance._reason = f"{initiator} initiated ({utcnow():%Y-%m-%d %H:%M:%S} GMT)" if initiator else ""
