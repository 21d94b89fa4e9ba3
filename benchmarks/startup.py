"""From the start of the agent to the first job, with 1, 2 and 8 releases; beside it, the order of work of 2008.

EC2 answers as the real one does: a volume is ready after 2 s, attached after 2 s more, and a call takes 40 ms. The
critical path is what no agent can avoid: find the archive, fetch it, create, wait, see it, attach, wait, see it.
"""

import time
from typing import Any

from awsac_async.local.settings import IMAGE
from benchmarks.sessions import Bench, embedded, finish, first
from benchmarks.slow import CALL, slow

READY = ATTACHED = 2.0  # seconds
CRITICAL_PATH = READY + ATTACHED + 6 * CALL
POLL_2008 = 3.0  # seconds


async def run() -> list[tuple[str, ...]]:
    """Return the table."""
    rows = [("releases", "critical path", "this agent", "ratio", "order of 2008", "ratio")]
    with embedded(slow(volume_delay=READY, attachment_delay=ATTACHED)) as bench:
        snapshots = [bench.snapshot(f"release-{number}") for number in range(8)]
        for count in (1, 2, 8):
            ours = await _to_first_job(bench, snapshots[:count])
            theirs = _in_the_order_of_2008(bench.aws("ec2"), snapshots[:count])
            rows.append(
                (
                    str(count),
                    f"{CRITICAL_PATH:.2f} s",
                    f"{ours:.2f} s",
                    f"{ours / CRITICAL_PATH:.2f}",
                    f"{theirs:.1f} s",
                    f"{theirs / CRITICAL_PATH:.1f}",
                )
            )
    return rows


async def _to_first_job(bench: Bench, snapshots: list[str]) -> float:
    session = await bench.start([f"{each};true.sh;1" for each in snapshots], {"true.sh": "true\n"})
    await finish(session)
    log = bench.agent_log(session)
    return (first(log, r"job \d+: running") - first(log, "launch index 0, session")).total_seconds()


def _in_the_order_of_2008(ec2: Any, snapshots: list[str]) -> float:
    """Create, wait, attach, wait, one release after another, and only then begin with the jobs."""
    launched = ec2.run_instances(ImageId=IMAGE, InstanceType="c5.large", MinCount=1, MaxCount=1)
    instance = launched["Instances"][0]["InstanceId"]
    ec2.get_waiter("instance_running").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1})
    zone = launched["Instances"][0]["Placement"]["AvailabilityZone"]
    began = time.monotonic()
    for number, snapshot in enumerate(snapshots, 1):
        volume = ec2.create_volume(SnapshotId=snapshot, AvailabilityZone=zone)["VolumeId"]
        _poll(ec2, volume, lambda found: found["State"] == "available")
        ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device=f"/dev/sdh{number}")
        _poll(ec2, volume, lambda found: [each["State"] for each in found["Attachments"]] == ["attached"])
    took = time.monotonic() - began
    ec2.terminate_instances(InstanceIds=[instance])
    return took


def _poll(ec2: Any, volume: str, reached: Any) -> None:
    while not reached(ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]):
        time.sleep(POLL_2008)
