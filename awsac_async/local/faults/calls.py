"""What a request asks: of which service, for which operation, about what, and by which instance.

Reads a request as WSGI gives it, and leaves it as it was for the service that answers.
"""

import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl

from awsac_async.local.faults.operations import METADATA, s3_operation
from awsac_async.local.jsonapi import TARGET_HEADER

LONGEST_BODY = 2 << 20  # bytes: more than any service takes as a form or a document
_CALL = "local.call"  # where a request's environment has what was read of it
_SCOPE = re.compile(r"Credential=(?P<key>[^/]+)/\d+/[^/]+/(?P<service>[^/]+)/aws4_request")
_OLD_SIGNATURE = re.compile(r"AWS (?P<key>[^:]+):")  # version 2, of S3
_BY_VERSION = {"2009-04-15": "sdb", "2010-05-08": "iam", "2011-06-15": "sts", "2016-11-15": "ec2"}


@dataclass(frozen=True, kw_only=True)
class Caller:
    """An instance, as a fault may name it."""

    instance_id: str
    launch_index: int
    names: tuple[str, ...]  # its ID and the values of its tags


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request. ``operation`` is its API name; for the metadata service its path below ``/latest/``."""

    service: str
    operation: str
    names: tuple[str, ...]  # what it names: bucket/key, or the values of all parameters
    parameters: Mapping[str, str] = field(default_factory=dict)  # of a query API, or of the address
    method: str = "POST"
    access_key: str = ""
    caller: Caller | None = None

    def about(self, patterns: Iterable[str]) -> bool:
        """Say whether each of these is a part of a name in the call or of its caller, or as a pattern fits one."""
        names = self.names + (self.caller.names if self.caller else ())
        return all(any(pattern in name or fnmatchcase(name, pattern) for name in names) for pattern in patterns)

    def is_by(self, launch_index: int | None) -> bool:
        """Say whether an instance with this launch index asks; None: whoever asks."""
        return launch_index is None or (self.caller is not None and self.caller.launch_index == launch_index)


def is_s3(environ: Mapping[str, Any]) -> bool:
    """Say whether a request is one to S3 by what its headers and its address say: its body is an object, or may be."""
    scope = _scope(environ, _query(environ))
    return scope["service"] == "s3" if scope else _is_old_s3(environ)


def read_call(environ: dict[str, Any]) -> Call:
    """Read a request to one of the AWS services; who asks is not known from it but for the access key."""
    if _CALL not in environ:
        environ[_CALL] = _read_call(environ)
    call: Call = environ[_CALL]
    return call


def _read_call(environ: dict[str, Any]) -> Call:
    parameters = _query(environ)
    scope = _scope(environ, parameters)
    if not is_s3(environ):
        parameters = {**_form(environ), **parameters}
    old = "s3" if _is_old_s3(environ) else _BY_VERSION.get(parameters.get("Version", ""), "s3")
    service = scope["service"] if scope else old
    access_key = _access_key(environ, parameters, scope)
    if service == "s3":
        return _s3_call(environ, parameters, access_key)
    return Call(
        service=service,
        operation=parameters.get("Action", "") or environ.get(TARGET_HEADER, "").rpartition(".")[2],
        names=tuple(value for name, value in parameters.items() if name not in _NO_NAMES),
        parameters=parameters,
        method=environ["REQUEST_METHOD"],
        access_key=access_key,
    )


def _scope(environ: Mapping[str, Any], parameters: Mapping[str, str]) -> re.Match[str] | None:
    """Return access key and service of a signature of version 4."""
    found = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    return found or _SCOPE.search(f"Credential={parameters.get('X-Amz-Credential', '')}")


def _is_old_s3(environ: Mapping[str, Any]) -> bool:
    return _OLD_SIGNATURE.match(environ.get("HTTP_AUTHORIZATION", "")) is not None


_NO_NAMES = {"Action", "Version", "Signature", "SignatureMethod", "SignatureVersion", "SecurityToken"}


def read_metadata_call(environ: Mapping[str, Any], caller: Caller) -> Call:
    """Read a request to the metadata service of an instance."""
    path = environ["PATH_INFO"].removeprefix("/latest/").strip("/")
    return Call(service=METADATA, operation=path, names=(), method=environ["REQUEST_METHOD"], caller=caller)


def _s3_call(environ: Mapping[str, Any], parameters: Mapping[str, str], access_key: str) -> Call:
    path = environ["PATH_INFO"].encode("latin-1").decode(errors="replace").lstrip("/")
    bucket, _, key = path.partition("/")
    headers = {name[5:].replace("_", "-").lower() for name in environ if name.startswith("HTTP_")}
    method = environ["REQUEST_METHOD"]
    operation = s3_operation(method=method, depth=bool(bucket) + bool(key), query=parameters, headers=headers)
    names = (path, *(parameters[name] for name in ("prefix", "uploadId") if name in parameters))
    return Call(
        service="s3", operation=operation, names=names, parameters=parameters, method=method, access_key=access_key
    )


def _access_key(environ: Mapping[str, Any], parameters: Mapping[str, str], scope: re.Match[str] | None) -> str:
    found = scope or _OLD_SIGNATURE.match(environ.get("HTTP_AUTHORIZATION", ""))
    return found["key"] if found else parameters.get("AWSAccessKeyId", "")


def _query(environ: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of the address; of those that are given twice the first, as the services do."""
    return _first(environ.get("QUERY_STRING", ""))


def _form(environ: dict[str, Any]) -> dict[str, str]:
    """Return the parameters of the body, if it is a form."""
    if not environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return {}
    body = environ["wsgi.input"].read(min(int(environ.get("CONTENT_LENGTH") or 0), LONGEST_BODY))
    environ["wsgi.input"] = io.BytesIO(body)
    return _first(body.decode(errors="replace"))


def _first(text: str) -> dict[str, str]:
    return dict(reversed(parse_qsl(text, keep_blank_values=True)))
