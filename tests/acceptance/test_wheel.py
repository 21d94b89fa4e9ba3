"""What users install is the wheel, not the checkout: the quickstart must run from it alone."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path, path: str = "") -> str:
    environment = {"PATH": f"{path}:{os.defpath}" if path else os.environ["PATH"], "HOME": str(cwd), "LANG": "C.UTF-8"}
    pip_settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    done = subprocess.run(
        command, cwd=cwd, env=environment | pip_settings, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_boot_files_and_the_type_marker_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    boot = {f"awsac_async/boot/{name}" for name in ("awsac-autorun", "awsac-deadline", "awsac-agent.service")}
    assert boot | {"awsac_async/py.typed"} <= {*names}
    assert not [name for name in names if name.startswith(("tests/", "examples/", "docs/", "boot/"))]


def test_the_quickstart_runs_from_the_wheel_in_a_fresh_environment_and_leaves_nothing(wheel, tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    binaries = tmp_path / "venv" / "bin"
    install = ("install", "--quiet", "--constraint", ROOT / "requirements.lock", f"{wheel}[local]")
    run(binaries / "python", "-m", "pip", *install, cwd=tmp_path)
    output = run(ROOT / "examples" / "quickstart" / "demo", cwd=tmp_path, path=str(binaries))
    assert "283146 primes" in output
