"""A bucket as `awsac setup` makes it: private, encrypted, and rid of uploads that were given up.

Owns the calls that make, change and delete a bucket itself; what is in it is the business of ``bucket``.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from awsac_async.cloud.aws import Aws, translated
from awsac_async.session.errors import DeniedError, InputError, NotFoundError
from awsac_async.session.names import SETUP_TAG

ABORT_DAYS = 7
_RULE = "awsac-abort-uploads"
_BLOCKED = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
_ENCRYPTED = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
_US_EAST_1 = "us-east-1"  # the one region that is not named when a bucket is made there


@dataclass(frozen=True, kw_only=True)
class BucketFacts:
    """How a bucket is set up; ``ours``: setup has made it."""

    ours: bool
    private: bool
    encrypted: bool
    aborts_uploads: bool


class BucketSettings:
    """The settings of one bucket."""

    def __init__(self, aws: Aws, name: str) -> None:
        self._aws, self._name = aws, name

    async def read(self) -> BucketFacts | None:
        """Return how the bucket is set up, or None if there is none.

        Raises:
            InputError: it is somebody else's or may not be looked at, or it is in another region.
        """
        s3 = await self._aws.client("s3")
        try:
            with translated("HeadBucket", self._name):
                region = (await s3.head_bucket(Bucket=self._name)).get("BucketRegion") or self._aws.region
        except NotFoundError:
            return None
        except DeniedError as error:
            whose = f"the bucket {self._name} is somebody else's, or not for these credentials to look at"
            raise InputError(f"{whose}: choose another name, or use others ({error})") from error
        if region != self._aws.region:
            raise InputError(f"the bucket {self._name} is in {region}: set it up there, with --region {region}")
        public = await self._ask("GetPublicAccessBlock", s3.get_public_access_block)
        return BucketFacts(
            ours=await self._is_ours(),
            private=public.get("PublicAccessBlockConfiguration", {}) == _BLOCKED,
            encrypted=bool(await self._ask("GetBucketEncryption", s3.get_bucket_encryption)),
            aborts_uploads=any(map(_aborts, await self._rules())),
        )

    async def create(self) -> None:
        """Make the bucket in this connection's region, with our tag."""
        s3 = await self._aws.client("s3")
        region = self._aws.region
        place = {} if region == _US_EAST_1 else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        with translated("CreateBucket", self._name):
            await s3.create_bucket(Bucket=self._name, **place)
        tags = [{"Key": SETUP_TAG, "Value": "setup"}]
        with translated("PutBucketTagging", self._name):
            await s3.put_bucket_tagging(Bucket=self._name, Tagging={"TagSet": tags})

    async def make_private(self) -> None:
        """Block all public access."""
        s3 = await self._aws.client("s3")
        with translated("PutPublicAccessBlock", self._name):
            await s3.put_public_access_block(Bucket=self._name, PublicAccessBlockConfiguration=_BLOCKED)

    async def encrypt(self) -> None:
        """Let S3 encrypt objects with keys of its own."""
        s3 = await self._aws.client("s3")
        with translated("PutBucketEncryption", self._name):
            await s3.put_bucket_encryption(Bucket=self._name, ServerSideEncryptionConfiguration=_ENCRYPTED)

    async def abort_uploads(self) -> None:
        """Let S3 drop the parts of uploads that are not completed within days; other rules stay."""
        rule = {
            "ID": _RULE,
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABORT_DAYS},
        }
        rules = [each for each in await self._rules() if each.get("ID") != _RULE]
        s3 = await self._aws.client("s3")
        with translated("PutBucketLifecycleConfiguration", self._name):
            await s3.put_bucket_lifecycle_configuration(
                Bucket=self._name, LifecycleConfiguration={"Rules": [*rules, rule]}
            )

    async def delete(self) -> None:
        """Delete the bucket, which must be empty. Raises ConflictError if it is not."""
        s3 = await self._aws.client("s3")
        with translated("DeleteBucket", self._name):
            await s3.delete_bucket(Bucket=self._name)

    async def _is_ours(self) -> bool:
        s3 = await self._aws.client("s3")
        tags = (await self._ask("GetBucketTagging", s3.get_bucket_tagging)).get("TagSet", [])
        return any(tag["Key"] == SETUP_TAG for tag in tags)

    async def _rules(self) -> list[dict[str, Any]]:
        s3 = await self._aws.client("s3")
        answer = await self._ask("GetBucketLifecycleConfiguration", s3.get_bucket_lifecycle_configuration)
        return list(answer.get("Rules", []))

    async def _ask(self, operation: str, call: Callable[..., Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Return a setting, empty if the bucket has none."""
        try:
            with translated(operation, self._name):
                return await call(Bucket=self._name)
        except NotFoundError:
            return {}


def _aborts(rule: dict[str, Any]) -> bool:
    everything = not rule.get("Prefix") and rule.get("Filter", {}) in ({}, {"Prefix": ""})
    return everything and rule["Status"] == "Enabled" and "AbortIncompleteMultipartUpload" in rule
