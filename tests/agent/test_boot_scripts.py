"""The boot script as an administrator's tools read it; what it does is proven by the sessions that it boots."""

import shutil
import subprocess
from pathlib import Path

import pytest

AUTORUN = Path(__file__).parents[2] / "boot" / "awsac-autorun"


def test_the_boot_script_is_posix_shell() -> None:
    if shutil.which("dash") is None:
        pytest.skip("no dash here, which knows nothing but POSIX shell")
    subprocess.run(["dash", "-n", AUTORUN], check=True)


def test_shellcheck_finds_nothing_in_the_boot_script() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    assert subprocess.run(["shellcheck", AUTORUN], capture_output=True, text=True, check=False).stdout == ""
