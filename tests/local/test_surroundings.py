"""Nothing of the process that brings a cloud up reaches its instances: they have what a machine has after its boot."""

import os
import subprocess
import sys
from pathlib import Path

from awsac_async.local import cloud
from tests.conftest import Embedded
from tests.local.account import BOOT, Account

# A shell of somebody who keeps his files to himself, and started this in the background of a bounded batch job.
ODD_SHELL = """
umask 077; ulimit -S -c 100; ulimit -S -f 300000; ulimit -S -s 1024; ulimit -S -n 500
trap '' INT HUP QUIT USR1
exec nice -n 7 "$0" -c "$1" "$2" "$3"
"""
UP = """
import signal, sys
from pathlib import Path
from awsac_async.local import cloud
from awsac_async.local.settings import Settings
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})
cloud.up(Path(sys.argv[1]), Settings(boot=Path(sys.argv[2])))
"""
SHOW = """
echo "umask $(umask), nice $(nice), in $(pwd)"
while read -r name value; do
    case $name in SigBlk:|SigIgn:) echo "$name $(( 0x$value & 0x4207 ))" ;; esac  # HUP INT QUIT USR1 TERM
done </proc/self/status
echo "core $(ulimit -S -c), file size $(ulimit -f), stack $(ulimit -S -s)"
echo "secret ${MY_SECRET-none}"; echo done
"""


def test_the_shell_in_which_a_cloud_is_brought_up_does_not_reach_its_instances(tmp_path: Path) -> None:
    directory = tmp_path / "cloud"
    subprocess.run(
        ["/bin/bash", "-c", ODD_SHELL, sys.executable, UP, directory, BOOT],
        env={**os.environ, "MY_SECRET": "mine"},
        check=True,
    )
    try:
        environment = cloud.environment(directory)
        running = Embedded(directory=directory, endpoint=environment["AWS_ENDPOINT_URL"], environment=environment)
        account = Account(cloud=running, isolation="")
        instance_id = account.launch(SHOW)
        console = account.printed(instance_id, "done")
        nice = 0 if os.geteuid() == 0 else 7  # an ordinary user cannot take it back
        for line in (
            f"umask 0022, nice {nice}, in /",
            "SigBlk: 0",
            "SigIgn: 0",
            "secret none",
        ):
            assert f"{line}\n" in console
        assert "core 0, file size unlimited, stack 8192\n" in console
        account.terminate(instance_id)
    finally:
        cloud.down(directory)
