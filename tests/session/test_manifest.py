"""A manifest is the document that docs/protocol.md tells other programs to expect, and is not trusted."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsac_async.session.errors import FormatError
from awsac_async.session.manifest import (
    Manifest,
    SavedFile,
    format_copies,
    format_manifest,
    parse_copies,
    parse_manifest,
)
from tests.session.outcomes import outcome

SESSION = "261122_1500--test--1a2b"

FILE: dict[str, Any] = {
    "key": "261122_1500--test--1a2b/results_job_7.tar.bz2",
    "name": "results_job_7.tar.bz2",
    "size": 0,
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}


def test_a_manifest_is_a_json_object_with_a_version_the_job_and_its_files() -> None:
    manifest = Manifest(session_id="261122_1500--test--1a2b", job=7, attempt=2, files=(SavedFile(**FILE),))

    assert json.loads(format_manifest(manifest)) == {
        "version": 1,
        "session_id": "261122_1500--test--1a2b",
        "job": 7,
        "attempt": 2,
        "files": [FILE],
    }


def document(**members: Any) -> bytes:
    whole = {"version": 1, "session_id": SESSION, "job": 7, "attempt": 2, "files": [FILE]}
    return json.dumps(whole | members).encode()


def parsed(content: bytes) -> Manifest:
    return parse_manifest(content, session_id=SESSION, job=7, file="job_7.json")


@given(attempt=st.integers(1, 10**6), sizes=st.lists(st.integers(0, 1 << 44), max_size=5))
def test_what_is_written_is_read_back(attempt: int, sizes: list[int]) -> None:
    files = tuple(
        SavedFile(key=f"{SESSION}/file{n}", name=f"file{n}", size=size, sha256=f"{n:064x}")
        for n, size in enumerate(sizes)
    )
    manifest = Manifest(session_id=SESSION, job=7, attempt=attempt, files=files)
    assert parsed(format_manifest(manifest)) == manifest


def test_members_of_a_later_version_of_the_writer_are_passed_over() -> None:
    assert parsed(document(packed="zstd", files=[FILE | {"mode": 1}])) == parsed(document())


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", None),
        (b"[]", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        (document(version=2), "version"),
        (document(version=True), "version"),
        (document(session_id="261122_1500--test--ffff"), "session_id"),
        (document(job=8), "job"),
        (document(attempt=0), "attempt"),
        (document(files={}), "files"),
        (document(files=["results"]), None),
        (document(files=[FILE, FILE]), "files"),
        (document(files=[FILE | {"key": ""}]), "key"),
        (document(files=[FILE | {"name": "../../.bashrc"}]), "name"),
        (document(files=[FILE | {"size": -1}]), "size"),
        (document(files=[FILE | {"size": 1e999}]), "size"),
        (document(files=[FILE | {"sha256": FILE["sha256"].upper()}]), "sha256"),
        (document(files=[FILE | {"sha256": None}]), "sha256"),
    ],
)
def test_nonsense_and_the_manifest_of_another_job_are_refused_with_their_place(
    content: bytes, field: str | None
) -> None:
    with pytest.raises(FormatError) as caught:
        parsed(content)
    assert (caught.value.file, caught.value.field) == ("job_7.json", field)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_read_or_refused_with_a_format_error(content: bytes) -> None:
    assert isinstance(outcome(lambda: parsed(content)), Manifest | FormatError)


def copies(*values: Any, **members: Any) -> bytes:
    return json.dumps({"version": 1, "copies": list(values)} | members).encode()


COPY = json.loads(document()) | {"md5": "0" * 32}


def test_copies_of_manifests_are_found_by_the_md5_of_what_was_copied() -> None:
    content = document()
    read = parse_copies(format_copies([content]), session_id=SESSION, file="instance_0.json")
    assert read == {hashlib.md5(content, usedforsecurity=False).hexdigest(): parsed(content)}


@pytest.mark.parametrize(
    "content",
    [
        b"\xff",
        b"[]",
        copies(version=2),
        copies(copies={}),
        copies("copy"),
        copies(COPY | {"md5": 1}),
        copies(COPY | {"job": "7"}),
        copies(COPY | {"session_id": "261122_1500--test--ffff"}),
        copies(COPY | {"files": None}),
    ],
)
def test_what_are_no_copies_of_manifests_of_this_session_is_refused(content: bytes) -> None:
    with pytest.raises(FormatError):
        parse_copies(content, session_id=SESSION, file="instance_0.json")
