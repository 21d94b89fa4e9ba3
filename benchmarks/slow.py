"""An embedded cloud that is as far away as the real one."""

from typing import Any

from awsac_async.local.settings import Settings

CALL = 0.04  # seconds that a call takes; the metadata service is on the machine itself


def slow(**settings: Any) -> Settings:
    """Return settings of a cloud whose every call takes 40 ms."""
    return Settings(faults=f"[latency]\nseconds = {CALL}\nmetadata = 0.0\n", **settings)
