"""The example for notebooks runs as it stands, by the Python API alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Embedded

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.py"


def test_the_notebook_starts_awaits_and_plots_a_session_and_leaves_nothing(embedded: Embedded, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawing = {"MPLBACKEND": "agg", "MPLCONFIGDIR": str(tmp_path / "matplotlib")}

    done = subprocess.run(
        [sys.executable, NOTEBOOK, "first"],
        cwd=tmp_path,
        env=os.environ | drawing | {"AWSAC_LOCAL_DIR": str(embedded.directory)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "succeeded: 4 jobs, 0 failed" in done.stdout
    assert "4 jobs say that pi is about 3.14" in done.stdout
    assert (tmp_path / "first" / "timeline.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.glob("first/session-*/results_job_*"))) == 4
    assert not list(tmp_path.glob("first/session-*.cfg"))
