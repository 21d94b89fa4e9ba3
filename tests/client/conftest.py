"""The Python API, as a program that runs on a workstation uses it: its AWS is the embedded cloud."""

import pytest

from tests.cli.conftest import account
from tests.conftest import Embedded

__all__ = ["account"]


@pytest.fixture(autouse=True)
def workstation(embedded: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in embedded.environment.items():
        monkeypatch.setenv(name, value)
