"""The last line of a job's log, as it is found among what its agent has sent."""

from pathlib import Path

import pytest

from awsac_async.client.lastlines import last_line, last_lines
from awsac_async.session.names import job_log_prefix, log_chunk_key
from awsac_async.session.record import read_record
from tests.cli.conftest import BUCKET, Account
from tests.cli.test_interrupts import session_file


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"one\ntwo\n", "two"),
        (b"one\ntwo\n\n  \n", "two"),
        (b"no end", "no end"),
        (b"10 %\r20 %\r30 %", "30 %"),
        (b"\x1b[31mred\x1b[0m\x07 alert\x1b[2J\n", "red  alert"),
        (b"\xff\xfe\n", "\N{REPLACEMENT CHARACTER}" * 2),
        (b"", ""),
    ],
)
def test_the_last_line_is_the_last_one_that_shows_something_and_nothing_a_terminal_obeys(
    written: bytes, shown: str
) -> None:
    assert last_line(written) == shown


async def test_a_look_reads_the_newest_chunk_and_a_job_is_not_looked_at_again_at_once(
    account: Account, tmp_path: Path
) -> None:
    file = session_file(tmp_path)
    prefix = job_log_prefix(read_record(file).session_id, 1)

    def send(offset: int, data: bytes) -> None:
        account.s3.put_object(Bucket=BUCKET, Key=log_chunk_key(prefix, offset), Body=data)

    send(0, b"event 1\n")
    send(8, b"x" * 5000 + b"\nevent 2\n")
    async with last_lines(file) as lines:
        before = lines.of(1)
        await lines.look([1, 2])
        send(5017, b"event 3\n")
        await lines.look([1, 2])

        assert (before, lines.of(1), lines.of(2)) == ("", "event 2", "")
