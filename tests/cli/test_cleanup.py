"""What ``cleanup`` asks: it names what is to be deleted, as much of it as a person reads."""

import pytest

from awsac_async.cli.cleanup import object_lines

KEYS = [f"session/{number}" for number in range(1, 10_001)]


@pytest.mark.parametrize("number", [1, 100])
def test_all_objects_are_named_before_they_are_deleted(number: int) -> None:
    assert object_lines("bucket", KEYS[:number], every=False) == [f"s3://bucket/{key}" for key in KEYS[:number]]


def test_of_more_than_a_hundred_objects_the_others_are_counted_unless_all_are_asked_for() -> None:
    *named, others = object_lines("bucket", KEYS, every=False)

    assert named == [f"s3://bucket/{key}" for key in KEYS[:100]]
    assert others == "and 9,900 more (--verbose names all)"
    assert object_lines("bucket", KEYS, every=True) == [f"s3://bucket/{key}" for key in KEYS]
