"""What a job leaves behind goes to S3: its results, its output packed, a manifest of both; at the end the agent's log.

Packing and uploading run beside the jobs, never in their way, and need no room on the disk. What fails is tried again
until the session's deadline: an instance is not given up over results that exist nowhere else.
"""

import asyncio
import hashlib
import logging
import os
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from awsac_async.agent.command import JobFiles
from awsac_async.agent.jobuser import JobUserError, find_user
from awsac_async.agent.leftovers import Source, find_output, find_results
from awsac_async.agent.log import describe
from awsac_async.agent.packing import Remarks, packed_files, packed_tree, size_of_tree
from awsac_async.agent.retry import Hurry, foreseen, keep_trying, passing
from awsac_async.cloud.bucket import Bucket, Upload
from awsac_async.cloud.objects import Stream
from awsac_async.session import names
from awsac_async.session.errors import CloudError, InputError
from awsac_async.session.manifest import Manifest, SavedFile, format_copies, format_manifest
from awsac_async.session.model import JobSettings

_log = logging.getLogger(__name__)
_LONGEST_PAUSE_SECONDS = 300.0
_INTERRUPTED_SECONDS = 100.0  # a spot instance is taken away two minutes after its notice
_MANIFEST_SECONDS = 30.0  # at least: what was saved is to be listed also if the deadline came before the rest
_DROP_SECONDS = 10.0
_FIND_SECONDS = 600.0  # how long what reads results may fail, killed for one, before they are given up
_REMOVE_SECONDS = 60.0  # how long what an earlier launch has saved may resist: what this one did counts more
# How long a request may stand still: some parts of 8 MiB are sent in that time on any line of EC2, and whoever has to
# hurry waits for no longer than this until another request can be made.
_PATIENCE = timedelta(seconds=20)
OnTrouble = Callable[[CloudError], None]
OnManifest = Callable[[int, bytes], None]
_Found = tuple[Source | None, str]  # and what is to be said of it
_DEFAULTS = JobSettings()


class SaveError(Exception):
    """Something could not be saved in time; the text is the reason."""


@dataclass(frozen=True, kw_only=True)
class _Left:
    """What came of one thing that a job left: the file that was saved, what is to be said of it, why it was not."""

    file: SavedFile | None = None
    remark: str = ""
    trouble: str = ""


class Saver:
    """Saves for one instance of a session.

    Args:
        bucket: the session's bucket.
        session_id: the session.
        deadline: the loop's time after which nothing is tried again, and what is under way is given up.
        on_manifest: told of each manifest, by its job, that was uploaded.
    """

    def __init__(self, *, bucket: Bucket, session_id: str, deadline: float, on_manifest: OnManifest) -> None:
        self._bucket, self._session_id, self._deadline = bucket, session_id, deadline
        self._on_manifest = on_manifest
        self._hurry = Hurry()
        self._packing = asyncio.Semaphore(len(os.sched_getaffinity(0)))

    def hurry(self) -> None:
        """The instance is being taken away: what is being saved, or will be, is tried for a minute or so at most."""
        self._hurry.request(by=asyncio.get_running_loop().time() + _INTERRUPTED_SECONDS)

    async def save_job(
        self,
        job: int,
        attempts: Sequence[JobFiles],
        *,
        on_trouble: OnTrouble,
        settings: JobSettings = _DEFAULTS,
        again: bool = False,
        replaces: bool = False,
    ) -> str:
        """Upload a job's results, if it made any, its packed output, and then the manifest of these.

        Args:
            job: the job's number.
            attempts: the files of all its attempts, in order: the results are those of the last.
            settings: as whom it ran, and how large its results may be.
            on_trouble: told of each failed try.
            again: an agent that died may have begun to save this job.
            replaces: what an earlier launch has saved of it must not stay beside this.

        Returns:
            What is not as it should be in what was saved, or "".

        Raises:
            SaveError: the deadline came first, or a file cannot be read. What can be saved is saved all the same.
        """
        results_key, output_key = names.results_key(self._session_id, job), names.output_key(self._session_id, job)
        if again:
            for key in (results_key, output_key):
                await self._drop_parts(key)
        if replaces:  # from now on the objects are no more those that it lists
            await self._remove([names.manifest_key(self._session_id, job)])
        directory = attempts[-1].directory
        # Each on its own: whatever there is to say of results, or keeps them, the output is saved.
        left = await asyncio.gather(
            self._save_found(results_key, self._find_results(job, directory, settings), on_trouble),
            self._save_found(output_key, asyncio.to_thread(_found_output, job, attempts), on_trouble),
        )
        saved, remarks = [each.file for each in left if each.file], [each.remark for each in left]
        troubles = [each.trouble for each in left if each.trouble]
        if saved:
            if replaces:
                remarks.append(await self._remove({results_key, output_key} - {each.key for each in saved}))
            try:
                await self._save_manifest(job, attempts[-1].attempt, saved, on_trouble)
            except SaveError as error:
                troubles.append(str(error))
        if troubles:
            raise SaveError("; ".join(troubles))
        return "; ".join(filter(None, remarks))

    async def save_files(self, files: Sequence[Path], key: str, *, within: float = float("inf")) -> None:
        """Pack files by their names into a ``.tar.bz2``, as long as they are now, and upload that.

        Args:
            files: the files; of those that are not there nothing is packed.
            key: where it goes.
            within: after so many seconds nothing is tried again, even if the deadline is later.

        Raises:
            SaveError: it took too long.
        """
        source = Source(
            read=lambda remarks: packed_files([(file.name, [file]) for file in files], remarks),
            about=await asyncio.to_thread(lambda: sum(map(size_of_tree, files))),
            remarks=Remarks(of=key),
        )
        until = min(self._deadline, asyncio.get_running_loop().time() + within)
        await self._save(source, key, lambda _: None, until=until)

    async def save_tree(self, directory: Path, key: str) -> None:
        """Pack all that is in a folder into a ``.tar.zst``, and upload that.

        Raises:
            SaveError: the deadline came first, or something in it cannot be packed as it is.
        """
        source = Source(
            read=lambda remarks: packed_tree(directory, remarks),
            about=await asyncio.to_thread(size_of_tree, directory),
            remarks=Remarks(of=str(directory)),
        )
        await self._save(source, key, lambda _: None, until=self._deadline)

    async def save_copies(self, manifests: Sequence[bytes], key: str, *, within: float) -> None:
        """Upload one document with copies of manifests.

        Raises:
            SaveError: it took longer than ``within`` seconds.
        """
        upload = Upload(source=format_copies(manifests), key=key)
        await self._keep_trying(upload, lambda _: None, until=asyncio.get_running_loop().time() + within)

    async def _save_found(self, key: str, finding: Awaitable[_Found], on_trouble: OnTrouble) -> _Left:
        """Upload what is found, if anything is, and return what came of it."""
        try:
            source, remark = await finding
            if source is None:
                return _Left(remark=remark)
            file = await self._save(source, key, on_trouble, until=self._deadline)
        except SaveError as error:
            return _Left(trouble=str(error))
        except Exception as fault:
            _log.exception("%s: fault of the agent", key)
            return _Left(trouble=f"not saved: {describe(fault)}")
        if source.remarks.count:
            _log.warning(
                "%s: %d not packed as they are: %s", key, source.remarks.count, ", ".join(source.remarks.names)
            )
        remark = "; ".join(filter(None, (remark, str(source.remarks))))
        return _Left(file=replace(file, remark=remark), remark=remark)

    async def _find_results(self, job: int, directory: Path, settings: JobSettings) -> _Found:
        """Find a job's results, and try again what may pass. Raises SaveError."""

        def find() -> _Found:
            try:
                user = find_user(settings.job_user, job=job)
            except JobUserError as error:
                raise InputError(str(error)) from error
            return find_results(directory, user=user, seconds=seconds, most=settings.max_results)

        async def try_once() -> _Found:
            async with self._hurry.bounding(self._deadline), self._packing:
                return await foreseen("find", f"the results of job {job}", asyncio.to_thread(find))

        seconds = self._deadline - asyncio.get_running_loop().time()
        until = min(self._deadline, asyncio.get_running_loop().time() + _FIND_SECONDS)
        try:
            return await keep_trying(f"find the results of job {job}", try_once, until=until, again=_may_be_mended)
        except TimeoutError as error:
            raise SaveError("not saved in time: the results, which could not be looked at") from error
        except CloudError as error:
            why = error.__cause__ if isinstance(error.__cause__, InputError) else error
            raise SaveError(f"not saved: {why}") from error

    async def _save(self, source: Source, key: str, on_trouble: OnTrouble, *, until: float) -> SavedFile:
        measured = _Measured(source)
        upload = Upload(source=Stream(read=measured.read, about=source.about), key=key)
        await self._keep_trying(upload, on_trouble, until=until)
        return SavedFile(key=key, name=key.rpartition("/")[2], size=measured.size, sha256=measured.sha256)

    async def _save_manifest(self, job: int, attempt: int, files: list[SavedFile], on_trouble: OnTrouble) -> None:
        manifest = Manifest(session_id=self._session_id, job=job, attempt=attempt, files=tuple(files))
        content = format_manifest(manifest)
        upload = Upload(source=content, key=names.manifest_key(self._session_id, job))
        until = max(self._deadline, asyncio.get_running_loop().time() + _MANIFEST_SECONDS)
        await self._keep_trying(upload, on_trouble, until=until)
        self._on_manifest(job, content)

    async def _keep_trying(self, upload: Upload, on_trouble: OnTrouble, *, until: float) -> None:
        last = ""

        def note(trouble: CloudError) -> None:
            nonlocal last
            last = f"; before that, {trouble}"
            on_trouble(trouble)

        try:
            await keep_trying(
                f"upload {upload.key}",
                partial(self._try, upload, until),
                until=until,
                hurry=self._hurry,
                again=_may_be_mended,
                longest=_LONGEST_PAUSE_SECONDS,
                on_trouble=note,
            )
        except CloudError as error:
            raise SaveError(_reason(error, last)) from error
        finally:
            if last:
                await self._drop_parts(upload.key)

    async def _try(self, upload: Upload, until: float) -> None:
        """Make one try, given up when time is up; as many at once as this machine can pack."""
        try:
            async with self._hurry.bounding(until), self._packing:
                await foreseen("upload", upload.key, self._bucket.upload([upload], patience=_PATIENCE))
        except TimeoutError as error:
            raise CloudError("upload", upload.key, "it was not complete when time was up") from error

    async def _remove(self, keys: Collection[str]) -> str:
        """Delete what an earlier launch has saved under these keys; returns what could not be, or ""."""

        async def remove() -> None:
            found = [each.key for key in keys for each in await self._bucket.list(key) if each.key == key]
            await self._bucket.delete(found)

        try:
            until = min(self._deadline, asyncio.get_running_loop().time() + _REMOVE_SECONDS)
            await keep_trying(f"delete {' '.join(keys)}", remove, until=until, hurry=self._hurry, again=passing)
        except CloudError as error:
            _log.warning("what an earlier launch has saved may be left: %s", describe(error))
            return f"what an earlier attempt has saved may be left: {error}"
        return ""

    async def _drop_parts(self, key: str) -> None:
        """Drop the parts that a try left which could not, or an agent that died: they cost some cents until cleanup."""
        try:
            async with asyncio.timeout(_DROP_SECONDS):
                dropped = await self._bucket.abort_uploads(key)
        except (CloudError, TimeoutError) as error:
            _log.warning("parts of an earlier upload of %s may be left: %s", key, describe(error))
            return
        if dropped:
            _log.info("%d unfinished uploads of %s dropped", dropped, key)


class _Measured:
    """Passes a source on, and knows the size and checksum of what went through in the last try."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.size, self.sha256 = 0, ""

    def read(self) -> Iterator[bytes]:
        size, digest = 0, hashlib.sha256()
        for chunk in self._source.read_anew():
            size += len(chunk)
            digest.update(chunk)
            yield chunk
        self.size, self.sha256 = size, digest.hexdigest()


def _found_output(job: int, attempts: Sequence[JobFiles]) -> _Found:
    return find_output(job, attempts), ""


def _reason(error: CloudError, last: str) -> str:
    match error.__cause__:
        case InputError() as unreadable:
            return f"not saved: {unreadable}"
        case TimeoutError():
            return f"not saved in time: {error}{last}"
    return f"not saved in time: {error}"


def _may_be_mended(error: CloudError) -> bool:
    """Whatever it is, somebody may mend it meanwhile; but not a file that is gone or cannot be read."""
    return not isinstance(error.__cause__, InputError)
