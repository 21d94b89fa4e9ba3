"""A session's status as 2008 kept it: one SimpleDB domain named by the session ID, one item a job.

Owns the calls to SimpleDB and its limits; what an item holds is said by ``session.items``.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http import HTTPStatus
from itertools import chain
from typing import Any
from xml.etree import ElementTree

from awsac_async.cloud.aws import Aws, is_aws, translated
from awsac_async.cloud.waiting import for_each, retried
from awsac_async.session.errors import DeniedError, InputError, NotFoundError
from awsac_async.session.items import ATTRIBUTES, from_attributes, to_attributes
from awsac_async.session.model import JobRecord
from awsac_async.session.names import X_ATTEMPT, item_name
from awsac_async.session.statusdocs import StatusWriter

# https://docs.aws.amazon.com/AmazonSimpleDB/latest/DeveloperGuide/SDBLimits.html
_ITEMS_A_WRITE = 25
_ITEMS_A_PAGE = 2500
_ITEMS = "AwsacItems"  # where the SDK's answer to a Select carries what `_take_items` has taken
_WRITES_AT_ONCE = 4  # a domain takes about 25 writes a second, then asks for fewer
_VISIBLE_WITHIN = 30.0  # seconds; CreateDomain may take 10

_ANYBODY = StatusWriter()
# What an account hears that has not used the service before it was closed to new ones.
CLOSED_CODES = frozenset({"OptInRequired", "SubscriptionCheckFailed", "SubscriptionRequiredException"})

# The service is closed to new accounts and regions: this list will not grow.
REGIONS = (
    "us-east-1",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "sa-east-1",
)


async def is_offered(aws: Aws) -> bool:
    """Whether there is a SimpleDB in the region; other endpoints than AWS's have one wherever they are."""
    client = await aws.client("sdb")
    return aws.region in REGIONS or not is_aws(client.meta.endpoint_url)


class SimpleDbStatus:
    """The status store of a session in SimpleDB."""

    pause = 0.0  # items cost next to nothing, and a domain asks for fewer writes by itself
    damage: Sequence[str] = ()  # what is odd of an item is said in its reason

    def __init__(self, aws: Aws, session_id: str) -> None:
        self._aws, self._domain = aws, session_id

    @property
    def place(self) -> str:
        """The name of the domain."""
        return self._domain

    async def create(self) -> None:
        """Make the domain, if it is not there, and return when it can be used."""
        client = await self._client()
        with translated("CreateDomain", self._domain):
            await client.create_domain(DomainName=self._domain)
        await retried(self._metadata, again=lambda error: isinstance(error, NotFoundError), within=_VISIBLE_WITHIN)

    async def exists(self) -> bool:
        """Whether the domain is there; an account to which SimpleDB is closed has none, nor has another cloud."""
        if not self._aws.beside_ec2("sdb"):
            return False
        try:
            await self._metadata()
        except NotFoundError:
            return False
        except DeniedError as error:
            if error.code in CLOSED_CODES:
                return False
            raise
        return True

    async def check(self) -> None:
        """Return if SimpleDB answers at all, whether or not the domain is there; nothing is changed.

        Raises:
            InputError: the region has no SimpleDB.
            DeniedError: the account may not use it.
        """
        with contextlib.suppress(NotFoundError):
            await self._metadata()

    async def read(self, *, timings: bool = True) -> list[JobRecord]:
        """Return what was last written of each job, by number; items of anything else are passed over."""
        domain, what = self._domain.replace("`", "``"), "*" if timings else ", ".join(ATTRIBUTES)
        expression = f"select {what} from `{domain}` limit {_ITEMS_A_PAGE}"  # noqa: S608  not SQL; the name is quoted
        client = await self._client()
        client.meta.events.register("before-parse.simpledb.Select", _take_items, unique_id=__name__)
        read, loop = list[asyncio.Future[list[JobRecord]]](), asyncio.get_running_loop()
        with translated("Select", self._domain):
            pages = client.get_paginator("select").paginate(SelectExpression=expression, ConsistentRead=True)
            async for page in pages:  # while one comes, those before it are read
                read.append(loop.run_in_executor(None, _records, page.get(_ITEMS, b"")))
            records = chain.from_iterable(await asyncio.gather(*read))
        return sorted(records, key=lambda record: record.number)

    async def write(
        self,
        records: Sequence[JobRecord],
        *,
        by: StatusWriter = _ANYBODY,  # noqa: ARG002  all write the same items: what is written last counts
        known: Sequence[JobRecord] = (),  # noqa: ARG002  what was written before is still there
    ) -> None:
        """Replace what is known of these jobs, 25 a call."""
        batches = [records[start : start + _ITEMS_A_WRITE] for start in range(0, len(records), _ITEMS_A_WRITE)]
        await for_each(batches, self._write_batch, at_once=_WRITES_AT_ONCE, name="write status")

    async def take_back(self, before: Sequence[JobRecord], *, by: StatusWriter) -> None:
        """Write how these jobs stood before."""
        # An attempt that was not there before would stay otherwise.
        await self.write([replace(job, extra={X_ATTEMPT: "", **job.extra}) for job in before], by=by)

    async def delete(self) -> None:
        """Remove the domain with all it holds; one that is not there is removed already."""
        client = await self._client()
        with translated("DeleteDomain", self._domain):
            await client.delete_domain(DomainName=self._domain)

    async def _write_batch(self, records: Sequence[JobRecord]) -> None:
        client = await self._client()
        with translated("BatchPutAttributes", self._domain):
            await client.batch_put_attributes(DomainName=self._domain, Items=[_item(record) for record in records])

    async def _metadata(self) -> None:
        client = await self._client()
        with translated("DomainMetadata", self._domain):
            await client.domain_metadata(DomainName=self._domain)

    async def _client(self) -> Any:
        client = await self._aws.client("sdb")
        if not await is_offered(self._aws):
            raise InputError(
                f"AWS has no SimpleDB in {self._aws.region}, and the session's status is kept there: "
                f"choose one of the regions {', '.join(REGIONS)}"
            )
        return client


def _item(record: JobRecord) -> dict[str, Any]:
    attributes = [
        {"Name": name, "Value": value, "Replace": True} for name, value in sorted(to_attributes(record).items())
    ]
    return {"Name": item_name(record.number), "Attributes": attributes}


def _take_items(*, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Take the items out of the answer to a Select: the SDK would need half a second for each megabyte of them."""
    head, begin, rest = response_dict["body"].partition(b"<Item>")
    items, end, tail = rest.rpartition(b"</Item>")
    if response_dict["status_code"] == HTTPStatus.OK and end:
        response_dict["body"] = head + tail
        customized_response_dict[_ITEMS] = begin + items + end


def _records(items: bytes) -> list[JobRecord]:
    """Read the items of a page. Takes a tenth of a second, so not on the event loop."""
    return [record for item in _items(b"<Items>" + items + b"</Items>") if (record := from_attributes(*item))]


def _items(document: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name and the attributes of each item."""
    for item in ElementTree.fromstring(document):  # noqa: S314  from AWS, and the SDK does the same
        pairs = item.iterfind("Attribute")
        yield item.findtext("Name", ""), {pair.findtext("Name", ""): pair.findtext("Value", "") for pair in pairs}
