"""How lines of the log are made and written: by a thread, whole lines or none, and never an error to who logs.

Owns the queue between those who log and what they log to. The queue is bounded: if a console stands still, it is the
console that misses lines, not the agent that runs out of memory.
"""

import atexit
import json
import logging
import os
import threading
import time
from collections.abc import Sequence
from logging.handlers import QueueHandler
from pathlib import Path
from queue import Full, Queue
from typing import Any, Self, TextIO

from awsac_async.session.redaction import secrets

_MOST_WAITING = 10_000  # records
_EXIT_SECONDS = 2.0
_Entry = logging.LogRecord | threading.Event


class TextLine(logging.Formatter):
    """UTC times, and one line a record: a message or a traceback of several lines is folded with ``|``."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        return secrets.redact(" | ".join(super().format(record).splitlines()))


class JsonLine(logging.Formatter):
    """An object: ``time``, ``level``, for a step ``step, event, seconds, resources``, and ``message``."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{record.msecs:03.0f}Z",
            "level": record.levelname,
            **getattr(record, "facts", {}),
            "message": record.getMessage(),
        }
        return json.dumps(_clean(line), ensure_ascii=False)


def _clean(value: Any) -> Any:
    """Redact each text by itself: redacting the line as a whole could take a quote with it, and be no JSON."""
    match value:
        case str():
            return secrets.redact(value)
        case dict():
            return {key: _clean(inner) for key, inner in value.items()}
    return value


class LineFile:
    """Writes lines to a descriptor. One that cannot be written is left out; a half one is ended first."""

    def __init__(self, descriptor: int, formatter: logging.Formatter) -> None:
        self._descriptor, self._formatter, self._torn = descriptor, formatter, False

    @classmethod
    def append(cls, file: Path, formatter: logging.Formatter) -> Self:
        """Open a file, which only root may read. Raises OSError."""
        return cls(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640), formatter)

    def write(self, record: logging.LogRecord) -> None:
        """Write a record's line; never raises OSError."""
        line = ("\n" if self._torn else "") + self._formatter.format(record) + "\n"
        data = line.encode(errors="backslashreplace")
        try:
            written = os.write(self._descriptor, data)
        except OSError:  # a full disk, a closed console: there is no better place to say it
            return
        if written:
            self._torn = written < len(data)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


def console(stream: TextIO | None) -> list[LineFile]:
    """Return what writes to a standard stream, by a descriptor of its own: nothing, if the stream is closed."""
    try:
        return [LineFile(os.dup(stream.fileno()), TextLine())] if stream else []
    except (OSError, ValueError):
        return []


class Writer(QueueHandler):
    """Hands records to files in a thread of its own."""

    def __init__(self, files: Sequence[LineFile], *, name: str) -> None:
        self._entries: Queue[_Entry | None] = Queue(_MOST_WAITING)
        super().__init__(self._entries)
        self._files, self._closing = files, False
        self._thread = threading.Thread(target=self._write, name=name, daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def enqueue(self, record: logging.LogRecord) -> None:
        """Hand a record over, or leave it out: who logs must not wait for who writes."""
        try:
            self._entries.put_nowait(record)
        except Full:
            return

    def drain(self, within: float) -> bool:
        """Wait, for so many seconds at most, until what was logged before is written; returns whether it is."""
        written = threading.Event()
        until = time.monotonic() + within
        try:
            self._entries.put(written, timeout=within)
        except Full:
            return False
        return written.wait(until - time.monotonic())

    def close(self) -> None:
        """Write what is waiting and end the thread; one that stands still is left behind after some seconds."""
        atexit.unregister(self.close)
        closed, self._closing = self._closing, True
        if not closed and self.drain(_EXIT_SECONDS):
            self._entries.put_nowait(None)
            self._thread.join()
            for file in self._files:
                file.close()
        super().close()

    def _write(self) -> None:
        while (entry := self._entries.get()) is not None:
            if isinstance(entry, threading.Event):
                entry.set()
            else:
                for file in self._files:
                    file.write(entry)
