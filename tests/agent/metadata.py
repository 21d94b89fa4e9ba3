"""The embedded cloud's metadata service for an instance without a role."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from awsac_async.local.metadata import Facts, MetadataService


@contextmanager
def serving(
    values: Mapping[str, str], *, user_data: bytes | None = None, tokens_required: bool = True
) -> Iterator[MetadataService]:
    facts = Facts(
        document={},
        values=values,
        user_data=user_data,
        tokens_required=tokens_required,
        role=None,
        profile={},
        credentials=dict,
    )
    service = MetadataService(facts)
    service.start()
    try:
        yield service
    finally:
        service.stop()
