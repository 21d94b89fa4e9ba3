"""What a job leaves behind goes to S3: its results as they are, its output packed, and at the end the agent's own log.

Packing and uploading run beside the jobs, never in their way. An upload that fails is tried again until the session's
deadline: an instance is not given up over results that exist nowhere else.
"""

import asyncio
import logging
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from awsac_async.agent.retry import Hurry, foreseen, keep_trying
from awsac_async.cloud.bucket import Bucket, Upload
from awsac_async.session.errors import CloudError, InputError
from awsac_async.session.names import ARCHIVE_SUFFIX, RESULTS_FILE, output_file, output_key, results_key

_log = logging.getLogger(__name__)
_LONGEST_PAUSE_SECONDS = 300.0
_INTERRUPTED_SECONDS = 100.0  # a spot instance is taken away two minutes after its notice


class SaveError(Exception):
    """Something could not be saved in time; the text is the reason."""


class Saver:
    """Saves for one instance of a session.

    Args:
        bucket: the session's bucket.
        session_id: the session.
        directory: where packed files are made, on the instance.
        deadline: the loop's time after which nothing is tried again.
    """

    def __init__(self, *, bucket: Bucket, session_id: str, directory: Path, deadline: float) -> None:
        self._bucket, self._session_id, self._directory = bucket, session_id, directory
        self._deadline = deadline
        self._hurry = Hurry()

    def hurry(self) -> None:
        """The instance is being taken away: what is being saved, or will be, is tried for a minute or so at most."""
        self._hurry.request(by=asyncio.get_running_loop().time() + _INTERRUPTED_SECONDS)

    async def save_job(
        self, job: int, directory: Path, output: BinaryIO, *, on_trouble: Callable[[CloudError], None]
    ) -> str:
        """Upload a job's results, if it made any, and its packed output; returns what could not be results, or "".

        Args:
            job: the job's number.
            directory: its working directory, where the results are.
            output: its output, open since before it began: the job may have removed the file.
            on_trouble: told of each failed try.

        Raises:
            SaveError: the deadline came first, or a file cannot be read or packed.
        """
        results, remark = directory / RESULTS_FILE, ""
        if await asyncio.to_thread(results.is_file):
            await self._upload(results, results_key(self._session_id, job), on_trouble)
        elif await asyncio.to_thread(_is_there, results):
            remark = f"{RESULTS_FILE} is not a file"
            _log.warning("job %d: %s: not saved", job, remark)
        packed = await self._pack(output, output_file(job))
        await self._upload(packed, output_key(self._session_id, job), on_trouble)
        return remark

    async def save_file(self, file: Path, key: str, *, within: float = float("inf")) -> None:
        """Pack one file into a ``.tar.bz2`` that holds it by its name, and upload that.

        Args:
            file: the file.
            key: where it goes.
            within: after so many seconds nothing is tried again, even if the deadline is later.

        Raises:
            SaveError: it took too long, or the file cannot be read or packed.
        """
        try:
            source = await asyncio.to_thread(file.open, "rb")
        except OSError as error:
            raise SaveError(f"reading {file}: {error.strerror}") from error
        with source:
            packed = await self._pack(source, file.name)
        await self._upload(packed, key, lambda _: None, within)

    async def _pack(self, source: BinaryIO, name: str) -> Path:
        """Return a new archive that holds what is in ``source`` now, by this name."""
        packed = self._directory / (Path(name).stem + ARCHIVE_SUFFIX)
        try:
            await asyncio.to_thread(_pack, source, name, packed)
        except OSError as error:
            raise SaveError(f"packing {name}: {error.strerror or error}") from error
        return packed

    async def _upload(
        self, file: Path, key: str, on_trouble: Callable[[CloudError], None], within: float = float("inf")
    ) -> None:
        try:
            await keep_trying(
                f"upload {key}",
                lambda: foreseen("upload", key, self._bucket.upload([Upload(source=file, key=key)])),
                until=min(self._deadline, asyncio.get_running_loop().time() + within),
                hurry=self._hurry,
                again=_may_be_mended,
                longest=_LONGEST_PAUSE_SECONDS,
                on_trouble=on_trouble,
            )
        except CloudError as error:
            raise SaveError(f"not saved in time: {error}") from error


def _may_be_mended(error: CloudError) -> bool:
    """Whatever it is, somebody may mend it meanwhile; but not a file that is gone or cannot be read."""
    return not isinstance(error.__cause__, InputError)


def _is_there(file: Path) -> bool:
    return file.is_symlink() or file.exists()  # a link may lead nowhere


def _pack(source: BinaryIO, name: str, archive: Path) -> None:
    """Write ``archive`` whole or not at all; a file that is still growing is packed as long as it is now."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_name(archive.name + ".part")
    with tarfile.open(part, "w:bz2") as tar:
        source.seek(0)
        tar.addfile(tar.gettarinfo(arcname=name, fileobj=source), source)
    part.replace(archive)
