"""Claims and leases as texts, and which word counts where several agents have had a job."""

import pytest

from awsac_async.session.claims import (
    Claim,
    claim_attribute,
    claim_of,
    format_claim,
    lease_index,
    new_lease,
    parse_claim,
)
from awsac_async.session.model import JobRecord, JobState
from awsac_async.session.names import claim_key
from awsac_async.session.statusdocs import StatusDocument, StatusWriter, latest

EARLIER, LATER = Claim(pool=1, count=1, lease="3-aa"), Claim(pool=1, count=2, lease="0-bb")


@pytest.mark.parametrize(
    "claim", [EARLIER, LATER, Claim(pool=2, count=0), Claim(pool=1, count=4, lease="3-c", losses=2)]
)
def test_a_claim_reads_back(claim: Claim) -> None:
    assert parse_claim(format_claim(claim)) == claim
    assert claim_of(JobRecord(number=1, extra=claim_attribute(claim))) == claim


@pytest.mark.parametrize("text", ["", "1", "1.", "1.2:", "1.2:x", "-1.2:0-a", "1.2:0-a b", "1.2:0-a\n", "1.2.:0-a"])
def test_what_is_no_claim_is_none(text: str) -> None:
    assert parse_claim(text) is None
    assert claim_of(JobRecord(number=1, extra={"x_claim": text})) is None


def test_a_lease_tells_whose_it_is() -> None:
    assert lease_index(new_lease(12, "9f3a")) == 12
    assert lease_index("nobody") is None


def test_the_keys_of_claims_sort_by_job() -> None:
    keys = [claim_key("s", 1, job, 1) for job in (2, 10, 100, 99_999, 100_000)]
    assert keys == sorted(keys)


@pytest.mark.parametrize("first", [0, 1])
def test_of_agents_that_share_jobs_the_latest_claim_counts(first: int) -> None:
    """The later holder may have the smaller launch index, or the larger."""
    records = [
        JobRecord(number=7, state=JobState.RUNNING, extra=claim_attribute(EARLIER)),
        JobRecord(number=7, state=JobState.FINISHED, extra=claim_attribute(LATER)),
    ]
    documents = [
        StatusDocument(writer=StatusWriter(launch_index=index), records=(record,))
        for index, record in zip((first, 1 - first), records, strict=True)
    ]
    pending = StatusDocument(writer=StatusWriter(), records=(JobRecord(number=7),))
    assert [job.state for job in latest([*documents, pending])] == [JobState.FINISHED]
