"""What surrounds a client, made wrong: variables, files and caches of AWS tools, credential processes, streams.

Every round is made of the seed and its number. Whatever it holds, the client ends in bounded time, with what was asked
for or with a sentence and the exit code of bad input or of the cloud, and tells no secret. All traffic goes to
127.0.0.1: other names are for a proxy that is not there. ``python -m tests.attack surroundings``.
"""

import asyncio
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.attack.mutation import NASTY, Mutator
from tests.proxies import bare_s3

AWSAC = str(Path(sys.executable).with_name("awsac"))
LONGEST = 20.0  # s of a round, on a machine that does much else
SECRET = "a-secret-that-nobody-may-print"
_START_URL = "https://sso.test.invalid/start"
_CONFIG = f"""[default]
region = us-east-1
s3 =
  addressing_style = path
[profile process]
credential_process = cat process.json
[profile role]
role_arn = arn:aws:iam::123456789012:role/x
source_profile = process
[profile sso]
sso_session = mine
sso_account_id = 123456789012
sso_role_name = x
[sso-session mine]
sso_region = us-east-1
sso_start_url = {_START_URL}
[profile old-sso]
sso_region = us-east-1
sso_start_url = {_START_URL}
sso_account_id = 123456789012
sso_role_name = x
[profile login]
login_session = arn:aws:iam::123456789012:user/x
[profile services]
services = mine
[services mine]
s3 =
  endpoint_url = http://127.0.0.1:9
"""
_CREDENTIALS = f"[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = {SECRET}\n[keys]\n"
_PROCESS = f'{{"Version": 1, "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "{SECRET}", "SessionToken": "t", '
_PROCESS += '"Expiration": "2099-01-01T00:00:00Z"}'
_TOKEN = f'{{"startUrl": "{_START_URL}", "region": "us-east-1", "accessToken": "{SECRET}", '
_TOKEN += '"expiresAt": "2099-01-01T00:00:00Z"}'
_PROFILES = ("default", "process", "role", "sso", "old-sso", "login", "services", "keys", "nobody")
# Of a name of SSO's caches: the hash of the session's name, or of the address.
_CACHES = [f".aws/sso/cache/{hashlib.sha1(name.encode()).hexdigest()}.json" for name in ("mine", _START_URL)]  # noqa: S324
# Values that are special to one of them; each gets the nasty ones of all, too.
_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "AWS_MAX_ATTEMPTS": ("abc", "0", "-3"),
    "AWS_RETRY_MODE": ("x", "adaptive"),
    "AWS_ENDPOINT_URL": ("garbage", "ftp://x", "http://", "http://[::1", "http://127.0.0.1:99999", "http://a b"),
    "AWS_ENDPOINT_URL_S3": ("garbage", "//127.0.0.1"),
    "AWS_CA_BUNDLE": ("/nowhere", "/", "/dev/null"),
    "AWS_DEFAULT_REGION": ("us-east-1\n", "nowhere", "US EAST", "a/b"),
    "AWS_PROFILE": _PROFILES,
    "AWS_ACCESS_KEY_ID": ("AKID\n", "schl\u00fcssel", " "),
    "AWS_SECRET_ACCESS_KEY": ("x\r\n",),
    "AWS_SESSION_TOKEN": ("token\n", "\u00a0"),
    "AWS_DEFAULTS_MODE": ("x", "auto"),
    "AWS_STS_REGIONAL_ENDPOINTS": ("x", "legacy"),
    "AWS_METADATA_SERVICE_TIMEOUT": ("abc",),
    "AWS_METADATA_SERVICE_NUM_ATTEMPTS": ("abc",),
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": ("x",),
    "AWS_USE_DUALSTACK_ENDPOINT": ("x", "true"),
    "AWS_USE_FIPS_ENDPOINT": ("x", "true"),
    "AWS_SDK_UA_APP_ID": ("x" * 200, "a b\n"),
    "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES": ("abc", "-1"),
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": ("x",),
    "AWS_REQUEST_CHECKSUM_CALCULATION": ("x",),
    "AWS_RESPONSE_CHECKSUM_VALIDATION": ("x",),
    "AWS_SIGV4A_SIGNING_REGION_SET": ("x", "*"),
    "AWS_AUTH_SCHEME_PREFERENCE": ("x", ","),
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": ("x", "true"),
    "AWS_WEB_IDENTITY_TOKEN_FILE": ("/nowhere", "/dev/null"),
    "AWS_ROLE_ARN": ("x", "arn:aws:iam::123456789012:role/x"),
    "AWS_DATA_PATH": ("/nowhere",),
    "REQUESTS_CA_BUNDLE": ("/nowhere",),
    "SSL_CERT_FILE": ("/nowhere",),
    "NO_PROXY": ("127.0.0.1",),
}
_FILES: Mapping[str, bytes] = {
    "config": _CONFIG.encode(),
    "credentials": _CREDENTIALS.encode(),
    "process.json": _PROCESS.encode(),
    **{cache: _TOKEN.encode() for cache in _CACHES},
}


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a client finds: variables, and files in its home."""

    variables: Mapping[str, str]
    files: Mapping[str, bytes]


def made(seed: int, number: int) -> Surroundings:
    """Return the surroundings of this number: right ones, of which one to three things are changed."""
    numbers = random.Random(f"{seed}/surroundings/{number}")  # noqa: S311
    mutator = Mutator(numbers)
    variables, files = {"AWS_PROFILE": numbers.choice(_PROFILES[:-2])}, dict(_FILES)
    for _ in range(numbers.choice([1, 1, 2, 3])):
        if numbers.random() < 0.5:
            name = numbers.choice([*_VARIABLES])
            variables[name] = _possible(numbers.choice([*_VARIABLES[name], *_VARIABLES[name], *NASTY]))
        else:
            name = numbers.choice([*files])
            files[name] = mutator.content([_FILES[name]])
    return Surroundings(variables=variables, files=files)


def _possible(value: str) -> str:
    """Return a value as there can be one in an environment."""
    return os.fsdecode(value.replace("\0", "").encode("utf-8", "surrogatepass")[:100_000])


@contextmanager
def _around(surroundings: Surroundings, home: Path, endpoint: str) -> Iterator[None]:
    """Give this process such surroundings, in which everything that is not 127.0.0.1 is behind a dead proxy."""
    shutil.rmtree(home, ignore_errors=True)
    for name, content in surroundings.files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(content)
    before, folder = dict(os.environ), os.getcwd()  # noqa: PTH109
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        del os.environ[name]
    dead = "http://127.0.0.1:9"
    os.environ.update(
        {
            "AWS_CONFIG_FILE": str(home / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(home / "credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "HTTP_PROXY": dead,
            "HTTPS_PROXY": dead,
            "NO_PROXY": "127.0.0.1",
            "PATH": str(home.parent / "bin"),  # a changed command can start nothing but cat
        }
        | dict(surroundings.variables)
    )
    os.chdir(home)
    try:
        yield
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(before)


async def _ask() -> None:
    """Ask S3 by a call, and in bulk."""
    from awsac_async.cloud.aws import connect
    from awsac_async.cloud.bucket import Bucket
    from awsac_async.cloud.objects import Upload

    async with connect() as aws:
        bucket = Bucket(aws, "bucket")
        await bucket.check()
        await bucket.upload([Upload(source=b"x", key="key")])


def tried(surroundings: Surroundings, home: Path, endpoint: str) -> str:
    """Return what is wrong with how a client took its surroundings; "" if nothing is."""
    from awsac_async.cli.main import EXIT_FAULT, _explained

    began = time.monotonic()
    sentence, code = "", 0
    with _around(surroundings, home, endpoint):
        try:
            asyncio.run(_ask())
        except Exception as error:
            sentence, code = _explained(error)
    if code == EXIT_FAULT or "Traceback" in sentence or "\n" in sentence:
        return sentence
    if SECRET in sentence:
        return f"a secret is told: {sentence}"
    if code and not 0 < len(sentence) <= 400:
        return f"a sentence of {len(sentence)} characters: {sentence}"
    if (took := time.monotonic() - began) > LONGEST:
        return f"{took:.0f} s: {sentence}"
    return ""


def streams(seed: int, count: int) -> list[str]:
    """Run some verbs with streams that are closed, full, or of another encoding; return what was wrong."""
    from tests.cli.document import commands

    numbers = random.Random(f"{seed}/streams")  # noqa: S311
    verbs = [[*words, "--help"] for words in commands()] + [["--version"], ["policy", "client"], ["local", "status"]]
    found = []
    for _ in range(count):
        words = numbers.choice(verbs)
        redirections = numbers.sample(["<&-", ">&-", "2>&-", ">/dev/full", "2>/dev/full", "| head -c 1"], 2)
        if any(each.startswith("|") for each in redirections):
            redirections = ["| head -c 1"]
        encoding = numbers.choice(["ascii", "iso-8859-1", "utf-8", "cp1252", "koi8-r"])
        command = f'"$0" "$@" {" ".join(redirections)}'
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command, AWSAC, *words],
            env=os.environ | {"PYTHONIOENCODING": encoding, "AWSAC_CONFIG": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        expected = (
            2 if ">/dev/full" in redirections and ">&-" not in redirections[redirections.index(">/dev/full") :] else 0
        )
        if done.returncode != expected or b"Traceback" in done.stderr:
            found.append(f"awsac {' '.join(words)} {redirections} {encoding}: {done.returncode} {done.stderr!r}")
    return found


def main(*, seed: int, seconds: float, rounds: int, number: int | None = None, processes: int = 4) -> int:
    """Run, print what was found, and return an exit code; with a number, try one round again."""
    with tempfile.TemporaryDirectory(prefix="awsac-test-") as parent, bare_s3() as server:
        home = Path(parent) / "home"
        os.environ["HOME"] = str(home)  # before the SDK is imported, which looks for its caches then
        (Path(parent) / "bin").mkdir()
        (Path(parent) / "bin" / "cat").symlink_to(shutil.which("cat") or "/bin/cat")
        endpoint, until, tries = f"http://{server}", time.monotonic() + seconds, 0
        findings = [] if number is not None else streams(seed, processes)
        while number is not None or tries < rounds or time.monotonic() < until:
            each = tries if number is None else number
            surroundings = made(seed, each)
            if wrong := tried(surroundings, home, endpoint):
                changed = [name for name, content in surroundings.files.items() if content != _FILES[name]]
                findings.append(f"round {each}, {dict(surroundings.variables)!r:.300}, changed {changed}: {wrong}")
            tries += 1
            if number is not None:
                print(surroundings)
                break
    for finding in findings:
        print(finding)
    print(f"surroundings, seed {seed}: {tries} rounds, {len(findings)} findings")
    return int(bool(findings))
