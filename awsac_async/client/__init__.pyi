# What `__init__.py` gives, for type checkers and editors.
from awsac_async.client.attach import Attached, attach
from awsac_async.client.booting import Booting, booting
from awsac_async.client.check import SessionStatus, check, watch
from awsac_async.client.cleanup import Cleaned, CleanupEvent, Deleted, DomainQuestion, ObjectsQuestion, cleanup
from awsac_async.client.console import Console, console, consoles
from awsac_async.client.costs import InstanceTime, cost_so_far, instance_times
from awsac_async.client.gc import Collection, Garbage, GarbageKind, collect_garbage, find_garbage
from awsac_async.client.image import (
    BuilderPrinted,
    BuilderStarted,
    BuilderState,
    BuildEvent,
    BuildOrder,
    ImageState,
    NotCleared,
    build_image,
    delete_image,
    find_image,
    list_images,
)
from awsac_async.client.init import init
from awsac_async.client.kill import Killed, kill, stop
from awsac_async.client.lastlines import LAST_LINES_SECONDS, LastLines, last_lines
from awsac_async.client.leftovers import Left
from awsac_async.client.logchunks import LogBytes, LogSource
from awsac_async.client.logs import log_sources, logs
from awsac_async.client.outcome import Outcome, outcome
from awsac_async.client.plan import Plan, PriceSource, plan
from awsac_async.client.release import (
    Made,
    MakingEvent,
    ReleaseSnapshot,
    Shared,
    build_release,
    delete_release,
    list_releases,
    making,
    pack_release,
    share_release,
)
from awsac_async.client.report import Report, format_report, make_report, report
from awsac_async.client.results import FileState, Missing, Only, Overwrite, ResultFile, Results, get_results
from awsac_async.client.retry import RetryEvent, RetryKept, RetryLaunched, RetryUndone, retry
from awsac_async.client.retryplan import RetryPlan
from awsac_async.client.sessions import SessionState, SessionSummary, list_sessions
from awsac_async.client.setup import Part, PartState, SetUp, remove_setup, setup
from awsac_async.client.ssh import WayIn, job_instance, way_in
from awsac_async.client.start import StartEvent, events, start
from awsac_async.client.wait import Ended, notice, notify, wait
from awsac_async.cloud.objects import Progress
from awsac_async.cloud.ownimages import OwnImage
from awsac_async.session.archive import pack
from awsac_async.session.policies import Holder, Scope, policy

__all__ = [
    "LAST_LINES_SECONDS",
    "Attached",
    "Booting",
    "BuildEvent",
    "BuildOrder",
    "BuilderPrinted",
    "BuilderStarted",
    "BuilderState",
    "Cleaned",
    "CleanupEvent",
    "Collection",
    "Console",
    "Deleted",
    "DomainQuestion",
    "Ended",
    "FileState",
    "Garbage",
    "GarbageKind",
    "Holder",
    "ImageState",
    "InstanceTime",
    "Killed",
    "LastLines",
    "Left",
    "LogBytes",
    "LogSource",
    "Made",
    "MakingEvent",
    "Missing",
    "NotCleared",
    "ObjectsQuestion",
    "Only",
    "Outcome",
    "Overwrite",
    "OwnImage",
    "Part",
    "PartState",
    "Plan",
    "PriceSource",
    "Progress",
    "ReleaseSnapshot",
    "Report",
    "ResultFile",
    "Results",
    "RetryEvent",
    "RetryKept",
    "RetryLaunched",
    "RetryPlan",
    "RetryUndone",
    "Scope",
    "SessionState",
    "SessionStatus",
    "SessionSummary",
    "SetUp",
    "Shared",
    "StartEvent",
    "WayIn",
    "attach",
    "booting",
    "build_image",
    "build_release",
    "check",
    "cleanup",
    "collect_garbage",
    "console",
    "consoles",
    "cost_so_far",
    "delete_image",
    "delete_release",
    "events",
    "find_garbage",
    "find_image",
    "format_report",
    "get_results",
    "init",
    "instance_times",
    "job_instance",
    "kill",
    "last_lines",
    "list_images",
    "list_releases",
    "list_sessions",
    "log_sources",
    "logs",
    "make_report",
    "making",
    "notice",
    "notify",
    "outcome",
    "pack",
    "pack_release",
    "plan",
    "policy",
    "remove_setup",
    "report",
    "retry",
    "setup",
    "share_release",
    "start",
    "stop",
    "wait",
    "watch",
    "way_in",
]
