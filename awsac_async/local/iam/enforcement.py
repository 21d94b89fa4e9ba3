"""Stands before the services, as a WSGI application, and refuses what nobody has allowed to who asks.

Keeps of each right that was asked for who asked and what was answered, so that a policy can be compared with what its
holder does.
"""

import io
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from moto.s3.models import s3_backends

from awsac_async.local.ec2 import InstanceBackend
from awsac_async.local.facts import PARTITION
from awsac_async.local.faults.acts import Application
from awsac_async.local.faults.answers import Refusal, worded
from awsac_async.local.faults.calls import Call, read_call
from awsac_async.local.iam import refusals
from awsac_async.local.iam.authentication import PRINCIPAL
from awsac_async.local.iam.deletions import deleting
from awsac_async.local.iam.documents import Need, Verdict, decide
from awsac_async.local.iam.needs import READS_OBJECT, Needs, Request, Tags, s3_arn
from awsac_async.local.iam.principals import Principal, Principals

_Asked = tuple[str, str, str, bool]  # who, which action, by which statement of a policy, whether it was allowed


class Enforcement:
    """IAM of one account. Off until told otherwise: then every call needs a right."""

    def __init__(self, backend: InstanceBackend, principals: Principals, *, on: bool) -> None:
        self._backend, self._on = backend, on
        self._needs = Needs(self._tags_of, self._mapped_to, self._default_subnet, principals.role_of)
        self._lock = threading.Lock()
        self._asked: Counter[_Asked] = Counter()
        self._last: dict[_Asked, str] = {}

    def report(self) -> list[dict[str, Any]]:
        """Tell which rights were asked for since the cloud came up: by whom, how often, the last time on what.

        What several statements allow is told of each of them.
        """
        names = ("who", "action", "statement", "allowed")
        with self._lock:
            return [
                dict(zip(names, key, strict=True)) | {"times": times, "resource": self._last[key]}
                for key, times in self._asked.items()
            ]

    def around(self, services: Application) -> Application:
        """Return the services with this before them."""
        if not self._on:
            return services

        def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            call = read_call(environ)
            request = Request(call=call, headers=_headers(environ), body=_body(environ, call))
            return self._answer(environ[PRINCIPAL], request, services)(environ, start_response)

        return application

    def _answer(self, principal: Principal, request: Request, services: Application) -> Application:
        call = request.call
        decided = [(need, self._decide(principal, need)) for need in self._needs.of(request)]
        refused = [
            (need, refusals.not_allowed(call.service, principal.arn, need, verdict.decision))
            for need, verdict in decided
            if not verdict.allowed
        ]
        if refused and call.operation == "DeleteObjects":
            return deleting(request, {request.key_of(need): refusal for need, refusal in refused}, services)
        if refused:
            return worded(refused[0][1], call)
        if call.operation in READS_OBJECT and (refusal := self._hidden(principal, request)):
            return worded(refusal, call)
        return services

    def _decide(self, principal: Principal, need: Need) -> Verdict:
        context = {"aws:PrincipalArn": (principal.arn,), "aws:SecureTransport": ("false",), **need.context}
        if principal.instance_arn:
            context["ec2:SourceInstanceARN"] = (principal.instance_arn,)
        if ":user/" in principal.arn:
            context["aws:username"] = (principal.name,)
        verdict = decide(principal.policies, replace(need, context=context))
        with self._lock:
            for statement in verdict.by or ("",):
                key = (principal.name, need.action, statement, verdict.allowed)
                self._asked[key] += 1
                self._last[key] = need.resource
        return verdict

    def _hidden(self, principal: Principal, request: Request) -> Refusal | None:
        """Return a refusal in the place of a 404, if who asks may not know what there is in the bucket."""
        bucket, key = request.path
        found = s3_backends[self._backend.account_id][PARTITION].buckets.get(bucket)
        if found is None or found.keys.get(key) is not None:
            return None
        need = Need(action="s3:ListBucket", resource=s3_arn(bucket))
        verdict = self._decide(principal, need)
        return None if verdict.allowed else refusals.not_allowed("s3", principal.arn, need, verdict.decision)

    def _tags_of(self, resource_id: str) -> Tags | None:
        with self._backend.lock:
            known = {each.id for each in self._backend.all_instances()}
            known |= {*self._backend.volumes, *self._backend.snapshots, *self._backend.amis}
            if resource_id.startswith(("i-", "vol-", "snap-", "ami-")) and resource_id not in known:
                return None
            return dict(self._backend.tags.get(resource_id, {}))

    def _mapped_to(self, instance_id: str) -> Mapping[str, str]:
        with self._backend.lock:
            return {
                attachment.device: volume.id
                for volume in self._backend.volumes.values()
                if (attachment := volume.attachment) and attachment.instance.id == instance_id
            }

    def _default_subnet(self) -> str:
        with self._backend.lock:
            return next((subnet.id for subnet in self._backend.get_default_subnets().values()), "")


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    return {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}


def _body(environ: dict[str, Any], call: Call) -> bytes:
    """Return the body, which the service can still read, of what says in it what it is about; S3 streams others."""
    if call.service == "s3" and call.operation != "DeleteObjects":
        return b""
    body = bytes(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
    environ["wsgi.input"] = io.BytesIO(body)
    return body
