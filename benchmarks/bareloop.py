"""The least that obstore can take for a download: ``python -m benchmarks.bareloop BUCKET PREFIX FOLDER``.

Lists, and lets sixteen threads fetch whole objects, hash them by SHA-256 and write them, as they come. It resumes
nothing, checks nothing, and has its credentials from the environment: what any program over this library could at
best come to on this machine.
"""

import hashlib
import os
import sys
import threading
from collections import deque
from pathlib import Path

import obstore
from obstore.store import S3Store

_THREADS = 16
_CHUNK = 1 << 20  # bytes


def main(bucket: str, prefix: str, folder: str) -> None:
    """Download all objects below a prefix."""
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    options = {"allow_http": True, "root_certificate": Path(os.environ["AWS_CA_BUNDLE"]).read_bytes()}
    config = {"endpoint": endpoint, "region": "us-east-1", "virtual_hosted_style_request": False}
    store = S3Store(bucket, config=config, client_options=options)
    Path(folder).mkdir()
    keys = deque(meta["path"] for page in obstore.list(store, prefix=prefix, chunk_size=1000) for meta in page)

    def work() -> None:
        while True:
            try:
                key = keys.popleft()
            except IndexError:
                return
            sha256 = hashlib.sha256()
            with open(f"{folder}/{key.rpartition('/')[2]}", "wb", buffering=0) as file:  # noqa: PTH123  a string
                for chunk in obstore.get(store, key).stream(min_chunk_size=_CHUNK):
                    sha256.update(chunk)
                    file.write(chunk)

    threads = [threading.Thread(target=work) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
