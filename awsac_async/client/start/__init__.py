"""The verb ``start``: from checked files to running instances, once.

``start`` has the order of the steps, ``prepare`` what stands in the cloud before any instance does, ``unfinished``
finds the start that died and is continued, and ``events`` are what the caller is told of each step.
"""

from awsac_async.client.start import events
from awsac_async.client.start.events import StartEvent
from awsac_async.client.start.start import start

__all__ = ["StartEvent", "events", "start"]
