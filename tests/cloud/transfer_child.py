"""One transfer in a process of its own: ``transfer_child.py ENDPOINT BUCKET upload|download PATH``.

Prints by how many MiB the process grew at its largest, or ``stopped`` after Ctrl-C.
"""

import asyncio
import re
import sys
from pathlib import Path

from awsac_async.cloud.aws import connect
from awsac_async.cloud.bucket import Bucket, Download, Progress, Upload


def peak() -> int:
    # Not getrusage: its largest size is that of the process that started this one, if that was larger.
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) >> 10


def begun(progress: Progress) -> None:
    if 0 < progress.bytes_done < progress.bytes_total:
        print("begun", flush=True)


async def main(endpoint: str, name: str, verb: str, path: Path) -> None:
    async with connect(endpoint_url=endpoint) as aws:
        bucket = Bucket(aws, name)
        await bucket.upload([Upload(source=b"small", key="small")])  # whatever is loaded once is loaded now
        before = peak()
        if verb == "upload":
            await bucket.upload([Upload(source=path, key="large")])
        else:
            [info] = await bucket.list("large")
            item = Download(key=info.key, target=path, size=info.size, etag=info.etag)
            await bucket.download([item], on_progress=begun)
        print(peak() - before)


try:
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])))
except KeyboardInterrupt:
    print("stopped")
