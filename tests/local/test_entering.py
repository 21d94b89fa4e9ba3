"""An instance is entered where it is, also when the cloud that it belongs to runs in a chroot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# In the chroot: an instance's init, with a mount that only its namespace has, and a look at that from outside.
LOOK = """
import subprocess
from pathlib import Path
from awsac_async.local.entering import entering_command
from awsac_async.local.settings import Isolation

own = 'mount -t tmpfs own /mnt && mkdir /mnt/inside && read -r pid rest < /proc/self/stat && echo $pid && exec sleep 60'
command = ['unshare', '--mount', '--pid', '--uts', '--ipc', '--fork', '--kill-child', 'sh', '-c', own]
with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as instance:
    init = int(instance.stdout.readline())
    way = entering_command(Isolation.NAMESPACES, init=init, folder=Path('/mnt'), own_network=False,
                           variables={}, command=['ls', '/mnt'])
    print(subprocess.run(way, stdout=subprocess.PIPE, text=True, timeout=20).stdout, end='')
    instance.kill()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a chroot needs root")
def test_an_instance_of_a_cloud_in_a_chroot_is_entered_in_its_own_root(tmp_path: Path) -> None:
    into = 'mount --make-rprivate / && mount --rbind / "$0" && exec chroot "$0" "$@"'
    command = ["unshare", "--mount", "sh", "-c", into, tmp_path, sys.executable, "-P", "-c", LOOK]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}
    looked = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (looked.stdout, looked.stderr) == ("inside\n", "")
