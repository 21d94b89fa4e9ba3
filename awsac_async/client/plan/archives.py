"""The releases in S3 that a session names: whether they are there, may be read, and how large they are.

Owns the sentence for each that cannot be used. Asks by the way on which the instances will fetch them, so a bucket of
another region is found as well; with the rights of whoever starts the session, which need not be those of the agent.
"""

import asyncio
from collections.abc import Mapping, Sequence

from awsac_async.cloud.aws import Aws
from awsac_async.cloud.bucket import Bucket
from awsac_async.session.errors import CloudError, CredentialsError, FormatError, ProblemsError
from awsac_async.session.model import JobDefinition
from awsac_async.session.releases import ReleaseArchive, archive_of

_EXPECTED = "an object that is there and that you may read"


async def find_archives(aws: Aws, definitions: Sequence[JobDefinition], *, file: str) -> Mapping[str, int]:
    """Return the size in bytes of each release in S3, by its address; ``file`` is the name of ``jobs.cfg`` in errors.

    Raises:
        FormatError, ProblemsError: some cannot be used; each is told at the first line that names it.
        CloudError: S3 could not be asked.
    """
    named = {archive.address: (archive, each.line) for each in reversed(definitions) if (archive := _archive(each))}
    looks = {
        address: asyncio.create_task(_size(aws, archive, file=file, line=line), name=f"look at {address}")
        for address, (archive, line) in sorted(named.items(), key=lambda item: item[1][1])
    }
    if looks:
        await asyncio.wait(looks.values())
    errors = [error for look in looks.values() if (error := look.exception())]
    problems = [error for error in errors if isinstance(error, FormatError)]
    if problems:
        raise ProblemsError(problems)
    if errors:
        raise errors[0]
    return {address: look.result() for address, look in looks.items()}


def _archive(definition: JobDefinition) -> ReleaseArchive | None:
    return archive_of(definition.release)


async def _size(aws: Aws, archive: ReleaseArchive, *, file: str, line: int) -> int:
    try:
        info = await Bucket(aws, archive.bucket).head(archive.key)
    except CloudError as error:
        if error.temporary or isinstance(error, CredentialsError):
            raise
        found = f"{archive.address} ({error.cause})"
        raise FormatError(file=file, line=line, field="snapshotID", found=found, expected=_EXPECTED) from error
    return info.size
