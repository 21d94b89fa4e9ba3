"""What users install is the wheel, not the checkout: the quickstart must run from it alone."""

import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from awsac_async.local import cloud

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a program that must succeed; one that takes too long is told to end, with all that it has started."""
    ours = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("PIP_")}
    environment = ours | {"HOME": str(cwd), "LANG": "C.UTF-8"} | variables
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=240)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    return next(folder.glob("*.whl"))


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Give a folder for temporary files with a short name; a cloud that is left there goes down."""
    with tempfile.TemporaryDirectory(prefix="awsac-test-") as folder:
        yield Path(folder)
        for directory in Path(folder).glob("*/cloud"):
            cloud.down(directory)


@pytest.fixture
def binaries(wheel: Path, tmp_path: Path) -> Path:
    """Give the programs of an environment that holds the wheel, and of all else only what the wheel declares."""
    environment = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=tmp_path)
    python = environment / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index")
    run(*pip, wheel, cwd=tmp_path)
    (packages,) = environment.glob("lib/python*/site-packages")
    (information,) = packages.glob("awsac_async-*.dist-info")
    # From this environment, into which `make` has let pip install them: that need not be done again.
    link_what_is_required(Distribution.at(information), "local", packages=packages, seen=set())
    return environment / "bin"


def link_what_is_required(
    installed: Distribution, *extras: str, packages: Path, seen: set[tuple[str, frozenset[str]]]
) -> None:
    """Make all that a distribution says it requires, and what that requires in turn, importable from a folder."""
    for requirement in map(Requirement, installed.requires or ()):
        marker, key = requirement.marker, (requirement.name, frozenset(requirement.extras))
        wanted = marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))
        if not wanted or key in seen:
            continue
        seen.add(key)
        found = distribution(requirement.name)
        for entry in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            if not (packages / entry).exists():
                (packages / entry).symlink_to(str(found.locate_file(entry)))
        link_what_is_required(found, *requirement.extras, packages=packages, seen=seen)


def test_the_wheel_holds_the_boot_files_the_page_and_the_type_marker_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    boot = {f"awsac_async/boot/{file.name}" for file in (ROOT / "boot").iterdir() if file.is_file()}
    page = {f"awsac_async/client/report/template/report.{kind}" for kind in ("html", "css", "js")}
    assert boot | page | {"awsac_async/py.typed"} <= {*names}
    assert not [name for name in names if name.startswith(("tests/", "examples/", "docs/", "boot/"))]


def test_the_quickstart_runs_from_the_wheel_in_a_fresh_environment_and_leaves_nothing(
    binaries: Path, tmp_path: Path, temporary: Path
) -> None:
    demo = ROOT / "examples" / "quickstart" / "demo"
    output = run(demo, cwd=tmp_path, PATH=f"{binaries}:{os.defpath}", TMPDIR=str(temporary))
    assert "78498 primes" in output
    assert list(temporary.iterdir()) == []
