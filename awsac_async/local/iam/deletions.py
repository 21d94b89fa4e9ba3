"""A DeleteObjects of which not all may be done: S3 deletes what it may, and names the others in its answer."""

from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

from awsac_async.local.faults.acts import Application
from awsac_async.local.faults.answers import Refusal
from awsac_async.local.iam.needs import Request, keys_to_delete

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def deleting(request: Request, refused: Mapping[str, Refusal], services: Application) -> Application:
    """Return what answers a request some of whose keys may not be deleted."""
    errors = "".join(
        f"<Error><Key>{escape(key)}</Key><Code>{each.code}</Code><Message>{escape(each.message)}</Message></Error>"
        for key, each in refused.items()
    )
    if not set(keys_to_delete(request.body)) - set(refused):
        return Response(f'<DeleteResult xmlns="{_NAMESPACE}">{errors}</DeleteResult>', content_type="application/xml")
    body = _without(request.body, refused)

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        rest = environ | {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        answer = Response.from_app(services, rest)
        answer.set_data(answer.get_data().replace(b"</DeleteResult>", f"{errors}</DeleteResult>".encode()))
        return answer(environ, start_response)

    return application


def _without(body: bytes, refused: Mapping[str, Refusal]) -> bytes:
    document = ElementTree.fromstring(body)  # noqa: S314  from a client on this machine
    for child in list(document):
        if any(each.tag.endswith("Key") and each.text in refused for each in child):
            document.remove(child)
    namespace = document.tag.rpartition("}")[0].removeprefix("{")
    return ElementTree.tostring(document, default_namespace=namespace or None)
