"""What attach does where the session file is to be."""

import os
from pathlib import Path

import pytest

from awsac_async import client
from awsac_async.session.errors import InputError
from awsac_async.session.names import session_copy_key
from tests.cli.conftest import BUCKET, Account
from tests.cli.test_interrupts import session_file


async def test_a_pipe_in_the_place_of_the_session_file_is_refused_and_not_waited_for(
    account: Account, tmp_path: Path
) -> None:
    file = session_file(tmp_path)
    session_id = file.stem.removeprefix("session-")
    account.s3.put_object(Bucket=BUCKET, Key=session_copy_key(session_id), Body=file.read_bytes())
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(InputError, match="is no session file: move it away first"):
        await client.attach(session_id, bucket=BUCKET, directory=tmp_path)
    account.s3.delete_object(Bucket=BUCKET, Key=session_copy_key(session_id))
