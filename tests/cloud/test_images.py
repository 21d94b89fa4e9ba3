"""Images, instance types and instance profiles: found, or named in an error."""

import pytest

from awsac_async.cloud.images import Images
from awsac_async.session.errors import NotFoundError

IMAGE, OWNER = "ami-0a35ac00000000001", "123456789012"


async def test_an_image_is_found_by_its_owner_only(aws):
    image = await Images(aws).find_image(IMAGE, OWNER)
    assert (image.name, image.state, image.architecture) == ("awsac", "available", "x86_64")
    assert [(disk.gib, disk.volume_type) for disk in image.disks] == [(15, "standard")]
    with pytest.raises(NotFoundError, match=f"DescribeImages {IMAGE} failed: account 999999999999 owns no such image"):
        await Images(aws).find_image(IMAGE, "999999999999")


@pytest.mark.parametrize("image", ["ami-0123456789abcdef0", "nonsense"])
async def test_an_image_that_does_not_exist_is_named(aws, image):
    with pytest.raises(NotFoundError, match=image):
        await Images(aws).find_image(image, OWNER)


async def test_the_cores_of_an_instance_type_are_its_default_vcpus(aws):
    types = await Images(aws).instance_types(["c5.large", "c5.4xlarge", "m6g.large"])
    assert {each.name: each.vcpus for each in types} == {"c5.large": 2, "c5.4xlarge": 16, "m6g.large": 2}
    assert {each.name for each in types if each.architectures == ("arm64",)} == {"m6g.large"}


async def test_an_instance_type_that_does_not_exist_is_named(aws):
    with pytest.raises(NotFoundError, match=r"zz9\.gigantic"):
        await Images(aws).instance_type("zz9.gigantic")


async def test_an_instance_profile_that_does_not_exist_is_named(aws):
    await Images(aws).check_profile("awsac-agent")
    with pytest.raises(NotFoundError, match="GetInstanceProfile nobody"):
        await Images(aws).check_profile("nobody")
