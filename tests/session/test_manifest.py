"""A manifest is the document that docs/protocol.md tells other programs to expect."""

import json
from typing import Any

from awsac_async.session.manifest import Manifest, SavedFile, format_manifest

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
