"""What EC2 is asked for when instances of a session are started."""

from awsac_async.cloud.instances import Launch
from awsac_async.session.model import SessionRecord


def launch_of(record: SessionRecord) -> Launch:
    """Return the first launch of a session; a further one differs in count, user data, token and first launch index."""
    return Launch(
        image_id=record.ami_id,
        instance_type=record.instance_type,
        count=record.n_instances,
        user_data=record.user_data,
        client_token=record.client_token,
        session_id=record.session_id,
        instance_profile=record.instance_profile,
        key_name=record.key_name or None,
        security_group_ids=record.security_group_ids,
        subnet_id=record.subnet_id or None,
        market=record.market,
    )
