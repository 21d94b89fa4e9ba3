"""A whole session, whose job finds out the role's credentials: nothing else of what it leaves holds them."""

import json
from pathlib import Path

from tests.agent.account import BUCKET, Account, session_of

# Where instances have no network of their own, a job of root reads in the agent's environment where their metadata
# service is. Where they have no processes of their own, those of others are there as well.
ASK = """
import json, os, pathlib, urllib.request

def variables():
    for file in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            found = file.read_bytes().decode(errors="replace").split("\\0")
            if "ATLASworkingDir=" + os.environ["ATLASworkingDir"] in found:
                yield from found
        except OSError:
            pass

name = "AWS_EC2_METADATA_SERVICE_ENDPOINT="
found = (each.removeprefix(name) for each in variables() if each.startswith(name))
address = next(found, "http://169.254.169.254").rstrip("/") + "/latest/"

def ask(path, method="GET", **headers):
    request = urllib.request.Request(address + path, method=method, headers=headers)
    return urllib.request.urlopen(request, timeout=60).read().decode()

token = ask("api/token", "PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "600"})
headers = {"X-aws-ec2-metadata-token": token}
role = ask("meta-data/iam/security-credentials/", **headers).strip()
os.mkdir("results")
with open("results/role.json", "w") as file:
    file.write(ask(f"meta-data/iam/security-credentials/{role}", **headers))
"""


def test_the_credentials_of_the_role_are_in_no_log_and_no_state(account: Account) -> None:
    with session_of(account) as session:
        session.upload_archive(
            {"jobs.cfg": "-;ask.sh;1\n-;missing.sh;1\n", "ask.sh": 'python3 "$AWSACworkingDir/ask.py"\n', "ask.py": ASK}
        )
        session.run(more=";n_jobs=2;max_hours=1")
        role = json.loads(session.members("results_job_1.tar.bz2")["results/role.json"])
        log = session.members("processjobslog_LI_0.tar.bz2")
        items = [dict(item.attributes) for item in session.items().values()]
        internal = account.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"awsac/{session.id}/").get("Contents", [])
        chunks = [account.s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read().decode() for each in internal]
        said = [session.console(), *log.values(), json.dumps(items), *chunks]
    assert {Path(name).suffix for name in log} == {".log", ".jsonl"}
    assert all("phase work" in text for text in log.values())
    for secret in (role["SecretAccessKey"], role["Token"]):
        assert len(secret) >= 16
        assert not [text for text in said if secret in text]
    assert any(each["Key"].endswith("/manifests/job_1.json") for each in internal)
