"""The agent's log: one record a line, in UTC, on the console and in two files, as text and as JSON lines.

The console is what ``GetConsoleOutput`` shows while the instance lives; the files are uploaded when it departs. Threads
write, so that no slow disk or console holds up the event loop, and what cannot be written is left out. Nothing here may
ever write a credential: every line goes through the redactor.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from awsac_async.agent.logwriter import JsonLine, LineFile, TextLine, Writer, console
from awsac_async.agent.stopping import StoppedError
from awsac_async.session.names import AGENT_JSON_LOG_FILE
from awsac_async.session.redaction import secrets

_log = logging.getLogger(__name__)
_FLUSH_SECONDS = 5.0  # a console that nobody reads must not hold up the end of the instance
_writers: list[Writer] = []


def start_log(file: Path) -> None:
    """Send the log to standard output and, appending, to ``file`` and its like in JSON (their folder is made).

    What of it cannot be opened is said to the rest.
    """
    files, trouble = _open(file)
    targets = {"log to console": console(sys.stdout), "log to files": files}
    _writers[:] = [Writer(group, name=name) for name, group in targets.items() if group]
    root = logging.getLogger()
    root.handlers[:] = _writers
    root.setLevel(logging.WARNING)
    logging.getLogger("awsac_async").setLevel(logging.INFO)
    sys.excepthook = _log_fault  # Python's own would print it on the console, with whatever is in its text
    if trouble:
        _log.error("no log file, only this console: %s", trouble)


async def flush_log() -> None:
    """Wait until what was logged before is written, as far as it can be: for a few seconds at most."""
    await asyncio.gather(*(asyncio.to_thread(writer.drain, _FLUSH_SECONDS) for writer in _writers))


def log_files(file: Path) -> list[Path]:
    """Return the files that `start_log` writes."""
    return [file, file.with_name(AGENT_JSON_LOG_FILE)]


def _open(file: Path) -> tuple[list[LineFile], OSError | None]:
    text, json = log_files(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return [LineFile.append(text, TextLine()), LineFile.append(json, JsonLine())], None
    except OSError as error:
        return [], error


def _log_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _log.critical("the agent ends by a fault of its own", exc_info=(kind, error, trace))


@contextmanager
def step(what: str, **resources: str) -> Iterator[None]:
    """Name and time a step in the log: its start, its end, how long it took, and why it failed if it did.

    Args:
        what: the step, ``attach``.
        resources: the IDs of what it touches by their kind, ``volume="vol-…", instance="i-…"``. The line of text shows
            those that ``what`` does not.
    """
    unsaid = {kind: resource for kind, resource in resources.items() if not _says(what, kind, resource)}
    named = ", ".join(f"{kind}={resource}" for kind, resource in unsaid.items())
    of = f" ({named})" if named else ""
    began = time.monotonic()
    _log.info("%s: start%s", what, of, extra=_facts(what, "start", resources))
    try:
        yield
    except BaseException as error:
        seconds = time.monotonic() - began
        facts = _facts(what, "failed", resources, seconds)
        _log.warning("%s: %s%s", what, _how_ended(error, seconds), of, extra=facts)
        raise
    seconds = time.monotonic() - began
    _log.info("%s: done in %.3f s%s", what, seconds, of, extra=_facts(what, "end", resources, seconds))


def _says(what: str, kind: str, resource: str) -> bool:
    """Say whether the name of a step has a resource in it: an ID, or a number behind its kind, as in ``job 2``."""
    return f"{kind} {resource}" in what or (resource in what and not resource.isdigit())


def _how_ended(error: BaseException, seconds: float) -> str:
    if isinstance(error, StoppedError):
        return f"stopped after {seconds:.3f} s: {error}"
    return f"ended after {seconds:.3f} s by {describe(error)}"


def _facts(what: str, event: str, resources: dict[str, str], seconds: float | None = None) -> dict[str, object]:
    """Return what a line of JSON says of a step, as a record's attribute ``facts``."""
    facts: dict[str, object] = {"step": what, "event": event}
    if seconds is not None:
        facts["seconds"] = round(seconds, 3)
    return {"facts": {**facts, "resources": resources}}


def describe(error: BaseException) -> str:
    """Say an error in one line, with the causes below it, and without credentials."""
    causes = [f"{type(error).__name__}: {error}".rstrip(": ")]
    while (cause := error.__cause__) is not None:
        causes.append(f"{type(cause).__name__}: {cause}".rstrip(": "))
        error = cause
    return secrets.redact(", from ".join(causes).replace("\n", " "))
