"""When a multipart upload was begun, and long lists of them in pages: what moto's ``ListMultipartUploads`` leaves out.

moto says of every upload that it was begun in 2010, which whoever removes old ones would believe.
"""

from datetime import UTC, datetime
from typing import Any, cast

import moto.s3.models
from moto.core.common_types import TYPE_RESPONSE
from moto.core.responses import ActionResult
from moto.s3.models import FakeMultipart, s3_backends
from moto.s3.responses import S3Response

from awsac_async.local.facts import PARTITION
from awsac_async.local.settings import ACCOUNT

_UPLOADS_A_PAGE = 1000


class EmbeddedMultipart(FakeMultipart):
    """An upload that knows when it was begun."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.initiated = datetime.now(UTC)


def install() -> None:
    """Replace moto's uploads, and its list of them, by ours. Comes before the first request."""
    moto.s3.models.FakeMultipart = EmbeddedMultipart  # type: ignore[misc]  # moto makes uploads by this name
    setattr(S3Response, "list_multipart_uploads", _list_multipart_uploads)  # noqa: B010  # not a method by its type


def is_known(bucket_name: str, key: str, upload_id: str) -> bool:
    """Say whether there is an upload of this ID for a key, or no bucket that it could be in."""
    bucket = s3_backends[ACCOUNT][PARTITION].buckets.get(bucket_name)
    upload = bucket.multiparts.get(upload_id) if bucket else None
    return bucket is None or (upload is not None and upload.key_name == key)


def _list_multipart_uploads(response: S3Response) -> TYPE_RESPONSE:
    """Answer with one page, in the order of S3: by key, and then by when they were begun."""
    asked = {name: values[0] for name, values in response.querystring.items()}
    after = (asked.get("key-marker", ""), asked.get("upload-id-marker", ""))
    most = min(int(asked.get("max-uploads") or _UPLOADS_A_PAGE), _UPLOADS_A_PAGE)
    found = _after(_uploads(response, asked.get("prefix", "")), *after)
    page = found[:most]
    result = {
        "Bucket": response.bucket_name,
        "Prefix": asked.get("prefix", ""),
        "KeyMarker": after[0],
        "UploadIdMarker": after[1],
        "MaxUploads": most,
        "IsTruncated": len(found) > most,
        "Uploads": [_described(each) for each in page],
    }
    if len(found) > most and page:
        result |= {"NextKeyMarker": page[-1].key_name, "NextUploadIdMarker": page[-1].id}
    response.data["Action"] = "ListMultipartUploads"
    return response.serialized(ActionResult(result))


def _uploads(response: S3Response, prefix: str) -> list[EmbeddedMultipart]:
    uploads = list(response.backend.list_multipart_uploads(response.bucket_name).values())
    found = [cast("EmbeddedMultipart", each) for each in uploads if each.key_name.startswith(prefix)]
    return sorted(found, key=lambda each: (each.key_name, each.initiated))


def _after(uploads: list[EmbeddedMultipart], key: str, upload_id: str) -> list[EmbeddedMultipart]:
    """Return those behind a marker: of its key only those that come after its upload, or none if it names none."""
    for number, each in enumerate(uploads):
        if (each.key_name, each.id) == (key, upload_id):
            return uploads[number + 1 :]
    return [each for each in uploads if each.key_name > key]


def _described(upload: EmbeddedMultipart) -> dict[str, Any]:
    return {
        "Key": upload.key_name,
        "UploadId": upload.id,
        "StorageClass": "STANDARD",
        "Initiated": upload.initiated.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    }
