"""Upload a folder as ``awsac start -d`` does: ``python -m benchmarks.uploading BUCKET PREFIX FOLDER``."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from awsac_async.cloud.aws import connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.objects import Upload


async def main(bucket: str, items: Sequence[Upload]) -> None:
    """Upload, and say how many files they were."""
    async with connect() as aws:
        await Bucket(aws, bucket).upload(items)
    print(len(items))


if __name__ == "__main__":
    bucket, prefix, folder = sys.argv[1:]
    paths = sorted(Path(folder).iterdir())
    asyncio.run(main(bucket, [Upload(source=path, key=prefix + path.name) for path in paths]))
