"""A manifest is read as it was written, and nothing else is taken for one."""

import json

import pytest

from awsac_async.session.errors import FormatError
from awsac_async.session.manifest import Manifest, SavedFile, format_manifest, parse_manifest

MANIFEST = Manifest(
    session_id="261122_1500--test--1a2b",
    job=7,
    attempt=2,
    files=(
        SavedFile(
            key="261122_1500--test--1a2b/results_job_7.tar.bz2",
            name="results_job_7.tar.bz2",
            size=0,
            sha256="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
    ),
)


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert parse_manifest(format_manifest(MANIFEST), file="manifest") == MANIFEST


def test_what_a_later_version_adds_is_ignored() -> None:
    document = json.loads(format_manifest(MANIFEST))
    document |= {"version": 2, "more": "to say"}
    document["files"][0]["more"] = "to say"
    assert parse_manifest(json.dumps(document).encode(), file="manifest") == MANIFEST


@pytest.mark.parametrize(
    "change",
    [
        {"version": 0},
        {"version": "1"},
        {"job": "7"},
        {"attempt": -1},
        {"session_id": None},
        {"files": {}},
        {"files": [{}]},
        {"files": [{"key": "k", "name": "n", "size": True, "sha256": "0" * 64}]},
        {"files": [{"key": "k", "name": "n", "size": 1, "sha256": "0" * 63 + "G"}]},
    ],
    ids=str,
)
def test_a_document_that_is_no_manifest_is_refused_by_its_name(change: dict[str, object]) -> None:
    document = json.loads(format_manifest(MANIFEST)) | change
    with pytest.raises(FormatError, match=r"^job_7\.json: found no manifest"):
        parse_manifest(json.dumps(document).encode(), file="job_7.json")


@pytest.mark.parametrize("document", [b"", b"\xff", b"[]", b"7", b"{}", b'{"version": 1'])
def test_bytes_that_are_no_manifest_are_refused(document: bytes) -> None:
    with pytest.raises(FormatError):
        parse_manifest(document, file="job_7.json")
