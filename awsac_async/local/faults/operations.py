"""The operations of the services by their API names, from botocore's models of them, and which one an S3 request is."""

import functools
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl

METADATA = "metadata"
JSON_SERVICES = ("pricing", "servicequotas")
AWS_SERVICES = ("ec2", "s3", "sdb", "iam", "sts", *JSON_SERVICES)
SERVICES = (*AWS_SERVICES, METADATA)

_MODELS = {"servicequotas": "service-quotas"}  # what botocore calls a service that signs by another name
_PATH = re.compile(r"(/\{Bucket\})?(/\{Key\+\})?/?")


def model_name(service: str) -> str:
    """Return by which name botocore knows a service."""
    return _MODELS.get(service, service)


@functools.cache
def _model(service: str) -> dict[str, Any]:
    from botocore.loaders import Loader  # the command line answers without it

    model: dict[str, Any] = Loader().load_service_model(model_name(service), "service-2")
    return model


def exists(service: str, pattern: str) -> bool:
    """Say whether a service has an operation that the pattern fits. Those of the metadata service are its paths."""
    if pattern == "*" or service == METADATA:
        return True
    return any(fnmatchcase(name, pattern) for name in _model(service)["operations"])


@dataclass(frozen=True, kw_only=True)
class _Form:
    """What a request for an S3 operation looks like."""

    operation: str
    method: str
    depth: int  # 0: the service, 1: a bucket, 2: an object
    query: Mapping[str, str]  # names that must be there, with their values where these are fixed
    headers: Set[str]

    def fits(self, query: Mapping[str, str], headers: Set[str]) -> bool:
        """Say whether a request of the right method and depth is for this operation, or for one like it."""
        wanted = self.query.items()
        return self.headers <= headers and all(name in query and value in {"", query[name]} for name, value in wanted)


@functools.cache
def _forms() -> Mapping[tuple[str, int], list[_Form]]:
    """Return all forms by method and depth, those that ask for most first."""
    forms: dict[tuple[str, int], list[_Form]] = {}
    for name, operation in _model("s3")["operations"].items():
        form = _form(name, operation)
        forms.setdefault((form.method, form.depth), []).append(form)
    for candidates in forms.values():
        candidates.sort(key=lambda form: len(form.query) + len(form.headers), reverse=True)
    return forms


def _form(name: str, operation: Mapping[str, Any]) -> _Form:
    path, _, query = operation["http"]["requestUri"].partition("?")
    bucket, key = _parts(path)
    shape = _model("s3")["shapes"].get(operation.get("input", {}).get("shape", ""), {})
    members = [shape["members"][member] for member in shape.get("required", [])]
    needed = {place: {m["locationName"] for m in members if m.get("location") == place} for place in _PLACES}
    return _Form(
        operation=name,
        method=operation["http"]["method"],
        depth=bool(bucket) + bool(key),
        query=dict.fromkeys(needed["querystring"], "") | dict(parse_qsl(query, keep_blank_values=True)),
        headers={header.lower() for header in needed["header"]},
    )


_PLACES = ("querystring", "header")


def _parts(path: str) -> tuple[str | None, str | None]:
    found = _PATH.fullmatch(path)
    return (found[1], found[2]) if found else (None, None)


def s3_operation(*, method: str, depth: int, query: Mapping[str, str], headers: Set[str]) -> str:
    """Return which operation a request is; "" for one that S3 does not have.

    Args:
        method: of HTTP.
        depth: 0 for the service itself, 1 for a bucket, 2 for an object.
        query: the parameters of the address.
        headers: the names of the headers, in lower case.
    """
    forms = _forms().get((method, depth), [])
    return next((form.operation for form in forms if form.fits(query, headers)), "")
