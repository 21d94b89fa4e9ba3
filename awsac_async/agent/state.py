"""What the agent keeps on disk so that its successor can go on: how each job stands, and how the agent was called.

Owns ``run.json``, ``launch``, ``unpacked``, ``data``, ``handed-over``, ``faults`` and each job's ``record.json``,
``holding.json``, ``told`` and ``manifest.json`` in the state directory; the claims of jobs' processes there are
``process``'s. Everything is written atomically and small enough to be written on the loop. A write that fails, on a
full disk say, is logged and never fails the agent: a successor then knows less.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from awsac_async.agent.kept import natural, read_kept
from awsac_async.agent.log import describe
from awsac_async.session.atomic import replacing
from awsac_async.session.claims import Claim, format_claim, parse_claim
from awsac_async.session.items import from_attributes, to_attributes
from awsac_async.session.launches import LaunchDocument, format_launch, parse_launch
from awsac_async.session.model import JobRecord, JobState
from awsac_async.session.names import item_name

_log = logging.getLogger(__name__)
_MAX_FAULTS = 5


@dataclass(frozen=True, kw_only=True)
class End:
    """How a job is going to end once it is saved, other than finished."""

    state: JobState
    reason: str


@dataclass(frozen=True, kw_only=True)
class KeptJob:
    """A job as its agent last knew it.

    ``part`` is the part of its life it was in (one of ``names.PARTS``, or "") and ``since`` when that began, in
    seconds of CLOCK_BOOTTIME; ``end`` is how it is to end when its end is decided already.
    """

    record: JobRecord
    part: str = ""
    since: float = 0.0
    end: End | None = None


@dataclass(frozen=True, kw_only=True)
class Holding:
    """A job that this instance has claimed, or was about to claim: on which claim it has it, and how it begins here.

    ``log_begin`` is None as long as nobody has found out behind which byte of its log it goes on.
    """

    claim: Claim
    attempt: int
    log_begin: int | None
    replaces: bool


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The options of ``awsac-agent run``; None is the default of each."""

    session_info_file: Path | None = None
    jobs_file: Path | None = None
    instance_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class State:
    """The state directory of an instance."""

    directory: Path

    def keep_job(self, job: KeptJob) -> None:
        """Keep how a job stands."""
        document: dict[str, Any] = {"attributes": to_attributes(job.record), "part": job.part, "since": job.since}
        if job.end:
            document["end"] = {"state": job.end.state, "reason": job.end.reason}
        self._write(self._record_file(job.record.number), document)

    def job(self, number: int) -> KeptJob | None:
        """Return how a job stood, or None if nothing that can be read was kept."""
        return read_kept(self._record_file(number), partial(_kept_job, number))

    def keep_holding(self, job: int, holding: Holding) -> None:
        """Keep that this instance has a job, before it is claimed. Raises OSError: a claim must not be forgotten."""
        file = self._holding_file(job)
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file, mode=0o644) as part:
            part.write_text(json.dumps({**asdict(holding), "claim": format_claim(holding.claim)}) + "\n")

    def holdings(self) -> dict[int, Holding]:
        """Return what ``keep_holding`` kept, by the jobs' numbers. Blocks."""
        names = (file.parent.name for file in self.directory.glob("jobs/*/holding.json"))
        numbers = sorted(int(name) for name in names if name.isdecimal())
        return {number: found for number in numbers if (found := read_kept(self._holding_file(number), _holding))}

    def drop_job(self, number: int) -> None:
        """Forget a job that is somebody else's, and of which nothing runs here: all at once. Blocks."""
        folder, dropped = self._holding_file(number).parent, self.directory / f"dropped-{number}"
        shutil.rmtree(dropped, ignore_errors=True)
        with suppress(OSError):
            folder.rename(dropped)
        shutil.rmtree(dropped, ignore_errors=True)

    def keep_options(self, options: RunOptions) -> None:
        """Keep how ``run`` was called; that it was called is known from then on."""
        written = {"sessioninfofile": options.session_info_file, "jobsfile": options.jobs_file}
        self._write(
            self.directory / "run.json",
            {name: str(path.absolute()) for name, path in written.items() if path}
            | ({"instanceID": options.instance_id} if options.instance_id else {}),
        )

    def options(self) -> RunOptions:
        """Return how ``run`` was first called, or defaults."""
        document = read_kept(self.directory / "run.json", dict) or {}
        texts = {name: str(text) for name, text in document.items()}
        return RunOptions(
            session_info_file=_path(texts, "sessioninfofile"),
            jobs_file=_path(texts, "jobsfile"),
            instance_id=texts.get("instanceID"),
        )

    def keep_launch(self, document: LaunchDocument, log_begins: Mapping[int, int]) -> None:
        """Keep of which launch this instance is, and where in its log each of its jobs goes on, by number."""
        begins = {str(number): begin for number, begin in log_begins.items()}
        self._write(self.directory / "launch", {"document": format_launch(document).decode(), "log_begins": begins})

    def launch(self) -> tuple[LaunchDocument, dict[int, int]] | None:
        """Return what ``keep_launch`` kept, or None if nothing that can be read was."""
        file = self.directory / "launch"

        def read(kept: Mapping[str, Any]) -> tuple[LaunchDocument, dict[int, int]]:
            begins = {int(number): natural(begin) for number, begin in kept["log_begins"].items()}
            return parse_launch(str(kept["document"]).encode(), file=str(file)), begins

        return read_kept(file, read)

    def keep_told(self, job: int) -> None:
        """Keep that the end of a job stands in the status store, where a later launch may have begun it anew."""
        self._write(self._told_file(job), {})

    def told(self, job: int) -> bool:
        """Whether the end of a job stands in the status store."""
        return self._told_file(job).exists()

    def keep_manifest(self, job: int, content: bytes) -> None:
        """Keep the manifest of a job as it was uploaded."""
        self._write_text(self._manifest_file(job), content.decode())

    def manifests(self) -> list[bytes]:
        """Return the manifests that were kept by any agent of this instance; raises OSError. Blocks."""
        return [file.read_bytes() for file in sorted(self.directory.glob("jobs/*/manifest.json"))]

    def keep_unpacked(self, *, seconds: float) -> None:
        """Keep that the session archive is fetched and unpacked, and how long that took."""
        self._write(self.directory / "unpacked", {"seconds": round(seconds, 3)})

    def unpacked(self) -> float | None:
        """Return how many seconds it took to fetch and unpack the session archive; None if that is not done."""
        return read_kept(self.directory / "unpacked", lambda kept: float(kept["seconds"]))

    def keep_data(self) -> None:
        """Keep that the input data are all there."""
        self._write(self.directory / "data", {})

    def has_data(self) -> bool:
        """Whether the input data are all there."""
        return (self.directory / "data").exists()

    def keep_handed_over(self) -> None:
        """Keep that the session's own script has its turn, for ``awsac-autorun``: it must not have it twice."""
        self._write(self.directory / "handed-over", {})

    def may_try_again(self) -> bool:
        """Count a fault of the agent; whether a successor is to try again, rather than this one to give up.

        A fault that cannot be counted is one too many: nothing may go on for ever.
        """
        file = self.directory / "faults"
        faults = (read_kept(file, dict) or {}).get("faults", 0)
        faults = faults + 1 if isinstance(faults, int) else _MAX_FAULTS
        return self._write(file, {"faults": faults}) and faults < _MAX_FAULTS

    def _record_file(self, number: int) -> Path:
        return self.directory / "jobs" / str(number) / "record.json"

    def _holding_file(self, number: int) -> Path:
        return self.directory / "jobs" / str(number) / "holding.json"

    def _told_file(self, number: int) -> Path:
        return self.directory / "jobs" / str(number) / "told"

    def _manifest_file(self, job: int) -> Path:
        return self.directory / "jobs" / str(job) / "manifest.json"

    def _write(self, file: Path, document: Mapping[str, Any]) -> bool:
        return self._write_text(file, json.dumps(document) + "\n")

    def _write_text(self, file: Path, text: str) -> bool:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file, mode=0o644) as part:
                part.write_text(text)
        except OSError as error:
            _log.error("a successor will not know what is now in %s: %s", file, describe(error))
            return False
        return True


def _kept_job(number: int, document: Mapping[str, Any]) -> KeptJob:
    record = from_attributes(item_name(number), document["attributes"])
    if record is None:
        raise ValueError(f"no record of job {number}")
    end = document.get("end")
    return KeptJob(
        record=record,
        part=str(document["part"]),
        since=float(document["since"]),
        end=End(state=JobState(end["state"]), reason=str(end["reason"])) if end else None,
    )


def _holding(document: Mapping[str, Any]) -> Holding:
    claim = parse_claim(document["claim"])
    if claim is None:
        raise ValueError("no claim")
    begin = document["log_begin"]
    return Holding(
        claim=claim,
        attempt=natural(document["attempt"]),
        log_begin=None if begin is None else natural(begin),
        replaces=bool(document["replaces"]),
    )


def _path(texts: Mapping[str, str], name: str) -> Path | None:
    return Path(texts[name]) if name in texts else None
