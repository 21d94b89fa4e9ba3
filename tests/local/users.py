"""Runs Python as an ordinary user of this machine, who may not read the checkout's environment by himself."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from awsac_async.local import trees

NOBODY = 65534
CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class OrdinaryUser:
    """A user without rights, and a folder of that user's own."""

    uid: int
    home: Path

    def environment(self) -> list[str]:
        """Return what lets that user's Python find this environment's packages, as env takes it."""
        packages = [str(CHECKOUT), *(path for path in sys.path if path.endswith("site-packages"))]
        return [f"PYTHONPATH={':'.join(packages)}", "PYTHONDONTWRITEBYTECODE=1", f"HOME={self.home}"]

    @property
    def command(self) -> list[str]:
        """Return what runs Python as that user."""
        identity = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
        python = shutil.which("python3", path="/usr/local/bin:/usr/bin") if os.geteuid() == 0 else sys.executable
        return ["setpriv", *identity, "--inh-caps=-all", str(python)]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python with this environment's packages."""
        command = ["env", *self.environment(), *self.command, *arguments]
        return subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)


@contextmanager
def as_ordinary_user() -> Iterator[OrdinaryUser]:
    """Give an ordinary user: nobody if this is root. Skips the test where no Python of that user finds the packages."""
    home = Path(tempfile.mkdtemp(prefix="awsac-test-", dir="/tmp"))
    user = OrdinaryUser(uid=NOBODY if os.geteuid() == 0 else os.geteuid(), home=home)
    try:
        os.chown(home, user.uid, user.uid if os.geteuid() == 0 else -1)
        if user.run("-c", "import sys, boto3, pytest, awsac_async; assert sys.version_info >= (3, 11)").returncode:
            pytest.skip("no Python that an ordinary user of this machine may run finds these packages")
        yield user
    finally:
        trees.remove(home)
