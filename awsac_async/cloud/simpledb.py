"""A session's status as 2008 kept it: one SimpleDB domain named by the session ID, one item a job.

Owns the calls to SimpleDB and its limits; what an item holds is said by ``session.items``, and what a claim on a job is
by ``session.claims``.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from itertools import chain
from typing import Any
from xml.etree import ElementTree

from awsac_async.cloud.aws import Aws, is_aws, translated
from awsac_async.cloud.waiting import for_each, retried
from awsac_async.session.claims import Claim, claim_of, format_claim, parse_claim
from awsac_async.session.errors import ConflictError, DeniedError, InputError, NotFoundError
from awsac_async.session.items import ATTRIBUTES, from_attributes, job_number, to_attributes
from awsac_async.session.model import MAX_JOBS, JobRecord
from awsac_async.session.names import X_ATTEMPT, X_CLAIM, item_name
from awsac_async.session.statusdocs import StatusWriter
from awsac_async.session.wording import counted

_log = logging.getLogger(__name__)
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

    def __init__(self, aws: Aws, session_id: str, *, n_jobs: int = MAX_JOBS) -> None:
        self._aws, self._domain, self._n_jobs = aws, session_id, n_jobs
        self._told = 0  # items of no job of the session

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
        read, loop = list[asyncio.Future[tuple[list[JobRecord], int]]](), asyncio.get_running_loop()
        what = "*" if timings else ", ".join(ATTRIBUTES)
        async for page in _select(await self._client(), what, self._domain):  # while one comes, those before are read
            read.append(loop.run_in_executor(None, _records, page, self._n_jobs))
        pages = await asyncio.gather(*read)
        self._tell(sum(strangers for _, strangers in pages))
        records = chain.from_iterable(records for records, _ in pages)
        return sorted(records, key=lambda record: record.number)

    def _tell(self, strangers: int) -> None:
        if strangers and strangers != self._told:
            _log.warning(
                "the domain %s has %s that this session does not have", self._domain, counted(strangers, "job")
            )
        self._told = strangers

    async def write(
        self,
        records: Sequence[JobRecord],
        *,
        by: StatusWriter = _ANYBODY,
        known: Sequence[JobRecord] = (),  # noqa: ARG002  what was written before is still there
    ) -> None:
        """Replace what is known of these jobs, 25 a call; what is written last counts.

        An agent that shares its jobs with others writes each by itself, and only if its claim is still the last one.
        """
        if by.launch_index is not None and (claimed := [each for each in records if claim_of(each)]):
            await for_each(claimed, self._write_claimed, at_once=_WRITES_AT_ONCE, name="write status")
            records = [each for each in records if not claim_of(each)]
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

    async def _write_claimed(self, record: JobRecord) -> None:
        item = _item(record)
        expected = {"Name": X_CLAIM, "Value": record.extra[X_CLAIM]}
        try:
            await _put(await self._client(), self._domain, item["Name"], item["Attributes"], expected)
        except (ConflictError, NotFoundError) as error:
            if error.temporary or error.code == "NoSuchDomain":
                raise
            _log.warning("job %d is somebody else's by now: what became of it here is not written", record.number)

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


class SimpleDbClaims:
    """Claims as an attribute of the jobs' items; of two who change one, SimpleDB refuses one (``Expected``).

    What the first claim on a job expects is that nobody has claimed it, which the client writes at the start; what a
    further one expects is what was read or taken last.
    """

    def __init__(self, aws: Aws, domain: str, pool: int) -> None:
        self._aws, self._domain, self._pool = aws, domain, pool
        self._seen: dict[int, str] = {}
        self._unclaimed = format_claim(Claim(pool=pool, count=0))

    async def free(self, jobs: Sequence[int]) -> list[int]:
        """Return those of these jobs that nobody has claimed: a Select of the jobs that are free."""
        there = (await self._select(f"{X_CLAIM} = '{self._unclaimed}'")).keys()
        return [job for job in jobs if item_name(job) in there]

    async def last(self, jobs: Collection[int]) -> Mapping[int, Claim]:
        """Return the last claim on each of these jobs: a Select of all."""
        there = await self._select(f"{X_CLAIM} is not null")
        texts = {job: text for job in jobs if (text := there.get(item_name(job)))}
        self._seen |= texts
        claims = {job: claim for job, text in texts.items() if (claim := parse_claim(text))}
        return {job: claim for job, claim in claims.items() if claim.pool == self._pool and claim.count}

    async def take(self, job: int, claim: Claim) -> bool:
        """Change the attribute of a job."""
        text, item = format_claim(claim), item_name(job)
        attribute = {"Name": X_CLAIM, "Value": text, "Replace": True}
        before = self._unclaimed if claim.count == 1 else self._seen.get(job, self._unclaimed)
        expected = {"Name": X_CLAIM, "Value": before}
        try:
            await _put(await self._aws.client("sdb"), self._domain, item, [attribute], expected)
        except ConflictError as error:
            if error.temporary:
                raise
            # It may be ours: an answer was lost, or a predecessor died before it could note it.
            there = await self._select(f"itemName() = '{item}'")
            if there.get(item) != text:
                return False
        self._seen[job] = text
        return True

    async def _select(self, condition: str) -> dict[str, str]:
        """Return the claims on the jobs of which this is true, by the names of their items."""
        pages = _select(await self._aws.client("sdb"), X_CLAIM, self._domain, f"where {condition}")
        return {name: attributes.get(X_CLAIM, "") async for page in pages for name, attributes in _items(page)}


async def _select(client: Any, what: str, domain: str, condition: str = "") -> AsyncIterator[bytes]:
    """Yield the items that are selected, page by page, as they come."""
    quoted = domain.replace("`", "``")
    expression = f"select {what} from `{quoted}` {condition} limit {_ITEMS_A_PAGE}"  # noqa: S608  not SQL; it is quoted
    client.meta.events.register("before-parse.simpledb.Select", _take_items, unique_id=__name__)
    with translated("Select", domain):
        pages = client.get_paginator("select").paginate(SelectExpression=expression, ConsistentRead=True)
        async for page in pages:
            yield page.get(_ITEMS, b"")


async def _put(
    client: Any, domain: str, item: str, attributes: Sequence[Mapping[str, Any]], expected: Mapping[str, str]
) -> None:
    """Write attributes of an item if one of them is as expected. Raises ConflictError."""
    with translated("PutAttributes", f"{domain} {item}"):
        await client.put_attributes(DomainName=domain, ItemName=item, Attributes=attributes, Expected=expected)


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


def _records(items: bytes, n_jobs: int) -> tuple[list[JobRecord], int]:
    """Read the items of a page, and count those of further jobs. Takes a tenth of a second, so not on the loop."""
    jobs = [(number, item) for item in _items(items) if (number := job_number(item[0])) is not None]
    records = [record for number, item in jobs if number <= n_jobs and (record := from_attributes(*item))]
    return records, sum(number > n_jobs for number, _ in jobs)


def _items(page: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name and the attributes of each item."""
    document = b"<Items>" + page + b"</Items>"
    for item in ElementTree.fromstring(document):  # noqa: S314  from AWS, and the SDK does the same
        pairs = item.iterfind("Attribute")
        yield item.findtext("Name", ""), {pair.findtext("Name", ""): pair.findtext("Value", "") for pair in pairs}
