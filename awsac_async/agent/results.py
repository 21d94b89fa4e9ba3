"""What a job leaves behind goes to S3: its results as they are, its output packed, and at the end the agent's own log.

Packing and uploading run beside the jobs, never in their way. An upload that fails is tried again until the session's
deadline: an instance is not given up over results that exist nowhere else.
"""

import asyncio
import tarfile
from collections.abc import Callable
from pathlib import Path

from awsac_async.agent.retry import Hurry, foreseen, keep_trying
from awsac_async.cloud.bucket import Bucket, Upload
from awsac_async.session.errors import CloudError
from awsac_async.session.names import ARCHIVE_SUFFIX, RESULTS_FILE, output_file, output_key, results_key

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

    async def save_job(self, job: int, directory: Path, *, on_trouble: Callable[[CloudError], None]) -> None:
        """Upload a job's results, if it made any, and its packed output, from its working directory.

        Args:
            job: the job's number.
            directory: its working directory.
            on_trouble: told of each failed try.

        Raises:
            SaveError: the deadline came first, or a file cannot be read or packed.
        """
        results = directory / RESULTS_FILE
        if results.is_file():
            await self._upload(results, results_key(self._session_id, job), on_trouble)
        await self.save_file(directory / output_file(job), output_key(self._session_id, job), on_trouble=on_trouble)

    async def save_file(
        self,
        file: Path,
        key: str,
        *,
        on_trouble: Callable[[CloudError], None] = lambda _: None,
        within: float = float("inf"),
    ) -> None:
        """Pack one file into a ``.tar.bz2`` that holds it by its name, and upload that.

        Args:
            file: the file.
            key: where it goes.
            on_trouble: told of each failed try.
            within: after so many seconds nothing is tried again, even if the deadline is later.

        Raises:
            SaveError: it took too long, or the file cannot be read or packed.
        """
        packed = self._directory / (file.stem + ARCHIVE_SUFFIX)
        try:
            await asyncio.to_thread(_pack, file, packed)
        except OSError as error:
            raise SaveError(f"packing {file}: {error.strerror}") from error
        await self._upload(packed, key, on_trouble, within)

    async def _upload(
        self, file: Path, key: str, on_trouble: Callable[[CloudError], None], within: float = float("inf")
    ) -> None:
        try:
            await keep_trying(
                f"upload {key}",
                lambda: foreseen("upload", key, self._bucket.upload([Upload(source=file, key=key)])),
                until=min(self._deadline, asyncio.get_running_loop().time() + within),
                hurry=self._hurry,
                again=lambda _: file.is_file(),  # whatever it is, somebody may mend it; but not a file that is gone
                longest=_LONGEST_PAUSE_SECONDS,
                on_trouble=on_trouble,
            )
        except CloudError as error:
            raise SaveError(f"not saved in time: {error}") from error


def _pack(file: Path, archive: Path) -> None:
    """Write ``archive`` whole or not at all; a file that is still growing is packed as long as it is now."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_name(archive.name + ".part")
    with tarfile.open(part, "w:bz2") as tar:
        tar.add(file, arcname=file.name)
    part.replace(archive)
