"""The session file of a session that no ``start`` has made."""

from awsac_async.local.settings import ACCOUNT, IMAGE, REGION
from awsac_async.session.model import SessionRecord
from awsac_async.session.times import format_time, now


def record(session_id: str, bucket: str, *, n_jobs: int, cores: int) -> SessionRecord:
    """Return what ``start`` would have remembered of a session that began now."""
    return SessionRecord(
        session_id=session_id,
        ec2_reservation_id="r-0123456789abcdef0",
        n_instances=-(-n_jobs // cores),
        unused_cores=-n_jobs % cores,
        cores_per_instance=cores,
        user_data="none",
        shortdescr="bench",
        bucket=bucket,
        n_jobs=n_jobs,
        ami_id=IMAGE,
        ec2_uid=ACCOUNT,
        instance_type="c5.4xlarge",
        client_token="bench",  # noqa: S106  no secret
        input_digest="",
        region=REGION,
        started=format_time(now()),
    )
