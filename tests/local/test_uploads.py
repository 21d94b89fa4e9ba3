"""Multipart uploads that were not completed, as S3 lists them: when they were begun, and page by page."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from tests.conftest import Embedded

BUCKET = "unfinished-uploads"


@pytest.fixture
def s3(embedded: Embedded) -> Iterator[Any]:
    client = boto3.client("s3", endpoint_url=embedded.endpoint)
    client.create_bucket(Bucket=BUCKET)
    yield client
    for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    client.delete_bucket(Bucket=BUCKET)
    client.close()


def test_an_upload_was_begun_when_it_was_begun_and_long_lists_come_in_pages(s3: Any) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)  # S3 tells whole seconds
    keys = ["a", "b/1", "b/2", "b/2", "c"]
    begun = [s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"] for key in keys]

    pages = list(s3.get_paginator("list_multipart_uploads").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 2}))
    below = s3.list_multipart_uploads(Bucket=BUCKET, Prefix="b/")["Uploads"]

    listed = [upload for page in pages for upload in page["Uploads"]]
    assert [len(page["Uploads"]) for page in pages] == [2, 2, 1]
    assert [(upload["Key"], upload["UploadId"]) for upload in listed] == list(zip(keys, begun, strict=True))
    assert all(before <= upload["Initiated"] <= datetime.now(UTC) for upload in listed)
    assert [upload["UploadId"] for upload in below] == begun[1:4]
