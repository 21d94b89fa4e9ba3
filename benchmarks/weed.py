"""SeaweedFS's S3 server in memory, for one benchmark: ``pip install '.[bench]'`` brings its program ``weed``.

Owns the server's process and folder; both are gone when the block ends, however it ends. Its telemetry is off, and in
the benchmark's network namespace nobody could be told anyhow.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEY, SECRET = "bench", "benchsecret"
PORT, TLS_PORT = 8333, 8334
CERTIFICATE = "ca.pem"  # in the folder: what vouches for the server
_START_SECONDS = 30.0
# Its parts find each other by sockets in /tmp that are named by port: those of another server would answer.
_PRIVATE_TMP = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /tmp && exec "$@"', "sh")
_IDENTITY = {
    "name": "bench",
    "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
    "actions": ["Admin", "Read", "Write", "List", "Tagging"],
}


@contextmanager
def serving(folder: Path) -> Iterator[None]:
    """Serve S3 on `PORT`, and with TLS on `TLS_PORT`, by its own certificate."""
    (folder / "data").mkdir()
    (folder / "s3.json").write_text(json.dumps({"identities": [_IDENTITY]}))
    _certify(folder)
    with (folder / "weed.log").open("wb") as log:
        command = [*_PRIVATE_TMP, "setpriv", "--pdeathsig", "KILL", *_command(folder)]
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(server, folder / "weed.log")
        yield
    finally:
        server.kill()  # asked to end it would take ten seconds, and there is nothing to save
        server.wait()


def _certify(folder: Path) -> None:
    """Make a certificate for 127.0.0.1, signed by itself."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=bench"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / CERTIFICATE)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)


def _command(folder: Path) -> list[str]:
    here = "-ip=127.0.0.1 -ip.bind=127.0.0.1 -master.telemetry=false -volume.max=100 -master.volumeSizeLimitMB=1024"
    return [
        str(Path(sys.executable).with_name("weed")),
        *f"server -dir={folder / 'data'} {here} -s3 -s3.port={PORT} -s3.config={folder / 's3.json'}".split(),
        *f"-s3.port.https={TLS_PORT} -s3.cert.file={folder / CERTIFICATE} -s3.key.file={folder / 'key.pem'}".split(),
        *f"-s3.localSocket={folder / 's3.sock'} -filer.localSocket={folder / 'filer.sock'}".split(),
    ]


def _wait(server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until it listens."""
    end = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", PORT)) == 0:
                return
        time.sleep(0.1)  # it tells nobody
    raise SystemExit("weed does not start:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-10:]))
