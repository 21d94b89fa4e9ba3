"""What the jobs of one instance share, so that a job knows neither the agent nor its phases.

Owns nothing: whoever makes it ends what is in it.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from awsac_async.agent.data import DataError
from awsac_async.agent.flood import FloodGuard
from awsac_async.agent.logs import LogShipper
from awsac_async.agent.products import Product
from awsac_async.agent.releases import Releases
from awsac_async.agent.reporter import StatusReporter
from awsac_async.agent.results import Saver
from awsac_async.agent.state import State
from awsac_async.session.model import JobSettings
from awsac_async.session.names import InstancePaths


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """What the jobs of one instance share. ``cores`` is how many of them run at the same time.

    ``data`` ends when the input data is there, or with why it is not. ``interrupt_at`` is the file in which jobs find
    when their instance is taken away, once that is known. ``product`` is what the session is for, if not its results.
    """

    paths: InstancePaths
    session_id: str
    n_jobs: int
    cores: int
    has_data: bool
    interrupt_at: Path
    settings: JobSettings
    state: State
    reporter: StatusReporter
    releases: Releases
    data: asyncio.Task[DataError | None]
    logs: LogShipper
    saver: Saver
    floods: FloodGuard
    product: Product | None = None
