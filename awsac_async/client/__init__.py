"""What runs on the workstation: the verbs of a session as a Python API that never prints.

A name is imported when it is first asked for, since no verb should wait until all the others are loaded; its type is
said in ``__init__.pyi``. Some verbs and their modules have one name, ``check`` for one: of this package it names the
verb.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

_NAMES = {
    "awsac_async.client.attach": "Attached attach",
    "awsac_async.client.booting": "Booting booting",
    "awsac_async.client.check": "SessionStatus check watch",
    "awsac_async.client.cleanup": "Cleaned CleanupEvent Deleted DomainQuestion ObjectsQuestion cleanup",
    "awsac_async.client.console": "Console console consoles",
    "awsac_async.client.costs": "InstanceTime cost_so_far instance_times",
    "awsac_async.client.gc": "Collection Garbage GarbageKind collect_garbage find_garbage",
    "awsac_async.client.image": (
        "BuildEvent BuildOrder BuilderPrinted BuilderStarted BuilderState ImageState NotCleared "
        "build_image delete_image find_image list_images"
    ),
    "awsac_async.client.init": "init",
    "awsac_async.client.kill": "Killed kill stop",
    "awsac_async.client.lastlines": "LAST_LINES_SECONDS LastLines last_lines",
    "awsac_async.client.leftovers": "Left",
    "awsac_async.client.logchunks": "LogBytes LogSource",
    "awsac_async.client.logs": "log_sources logs",
    "awsac_async.client.outcome": "Outcome outcome",
    "awsac_async.client.plan": "Plan PriceSource plan",
    "awsac_async.client.release": "Made MakingEvent ReleaseSnapshot Shared build_release delete_release list_releases "
    "making pack_release share_release",
    "awsac_async.client.report": "Report format_report make_report report",
    "awsac_async.client.results": "FileState Missing Only Overwrite ResultFile Results get_results",
    "awsac_async.client.retry": "RetryEvent RetryKept RetryLaunched RetryUndone retry",
    "awsac_async.client.retryplan": "RetryPlan",
    "awsac_async.client.sessions": "SessionState SessionSummary list_sessions",
    "awsac_async.client.setup": "Part PartState SetUp remove_setup setup",
    "awsac_async.client.ssh": "WayIn job_instance way_in",
    "awsac_async.client.start": "StartEvent events start",
    "awsac_async.client.wait": "Ended notice notify wait",
    "awsac_async.cloud.objects": "Progress",
    "awsac_async.cloud.ownimages": "OwnImage",
    "awsac_async.session.archive": "pack",
    "awsac_async.session.policies": "Holder Scope policy",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_HOMES)  # noqa: PLE0605  type checkers read the stub


class _Client(ModuleType):
    """This package: finds its names where they are defined."""

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=self)
        found = self.__dict__[name] = getattr(importlib.import_module(_HOMES[name]), name)
        return found

    def __setattr__(self, name: str, value: object) -> None:
        # Python names each module of a package in it, as soon as somebody has imported it.
        if name not in _HOMES or not isinstance(value, ModuleType):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_HOMES})


sys.modules[__name__].__class__ = _Client
