"""SimpleDB's own dialect of the query protocol: how answers and errors are written in XML.

Owns what moto's query serializer does not know of: BoxUsage, the shape of errors, text that XML cannot hold.
"""

import base64
import re
import uuid
from collections.abc import Mapping, MutableMapping
from typing import Any, Final
from xml.sax.saxutils import escape

from moto.core.model import Shape, StructureShape
from moto.core.serialize import QuerySerializer, ResponseDict

from .exceptions import SimpleDBError

# The machine hours an operation costs; the smallest that the developer guide's examples show.
BOX_USAGE: Final = "0.0000219907"

_RETURN: Final = {"\r": "&#13;"}  # a parser would read a bare carriage return as a line feed
_PLAIN = re.compile(r"[\w .:/-]*", re.ASCII)  # most texts, which are written as they are
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class SimpleDBSerializer(QuerySerializer):
    """Answers with ResponseMetadata that name the BoxUsage; errors as ``Response/Errors/Error``."""

    def _serialize_error(self, resp: ResponseDict, error: Exception) -> ResponseDict:
        if not isinstance(error, SimpleDBError):
            raise error
        details = {"Code": error.code, "Message": _xml_text(error.message), "BoxUsage": BOX_USAGE}
        resp["body"] = self._serialize_body(
            {"Response": {"Errors": {"Error": details}, "RequestID": str(uuid.uuid4())}}
        )
        resp["status_code"] = error.status
        resp["headers"]["Content-Type"] = self.CONTENT_TYPE
        return resp

    def _serialize_result(self, resp: ResponseDict, result: Any) -> ResponseDict:
        """Write the items of a Select without moto, which takes a second for a page."""
        if self.operation_model.name != "Select":
            return super()._serialize_result(resp, result)
        answer = super()._serialize_result(resp, {"NextToken": result["NextToken"]})
        body = str(answer["body"]).replace("<SelectResult/>", "<SelectResult></SelectResult>")
        head, begin, tail = body.partition("<SelectResult>")
        answer["body"] = head + begin + "".join(map(_item, result["Items"])) + tail
        return answer

    def _serialized_result_to_response(
        self,
        resp: ResponseDict,
        result: Any,  # noqa: ARG002  # the signature is moto's
        shape: StructureShape | None,
        serialized_result: MutableMapping[str, Any],
    ) -> ResponseDict:
        name = self.operation_model.name
        response: dict[str, Any] = {} if shape is None else {f"{name}Result": serialized_result}
        response["ResponseMetadata"] = {"RequestId": self.context.request_id, "BoxUsage": BOX_USAGE}
        self._serialize_namespace_attribute(response)
        resp["body"] = self._serialize_body({f"{name}Response": response})
        resp["headers"]["Content-Type"] = self.CONTENT_TYPE
        return resp

    def _serialize_type_string(self, serialized: MutableMapping[str, Any], value: Any, shape: Shape, key: str) -> None:
        self._default_serialize(serialized, _xml_text(str(value)), shape, key)

    def _serialize_body(self, body: MutableMapping[str, Any]) -> str:
        return super()._serialize_body(body).replace("\r", _RETURN["\r"])


def _item(item: Mapping[str, Any]) -> str:
    pairs = (
        f"<Attribute>{_element('Name', pair['Name'])}{_element('Value', pair['Value'])}</Attribute>"
        for pair in item["Attributes"]
    )
    return f"<Item>{_element('Name', item['Name'])}{''.join(pairs)}</Item>"


def _element(tag: str, text: str) -> str:
    if _PLAIN.fullmatch(text):
        return f"<{tag}>{text}</{tag}>"
    if _NOT_XML.search(text):
        return f'<{tag} encoding="base64">{_base64(text)}</{tag}>'
    return f"<{tag}>{escape(text, _RETURN)}</{tag}>"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _xml_text(text: str) -> str | dict[str, str]:
    """The text of an element; what XML cannot hold in Base64, and marked so ("XML-Restricted Characters")."""
    if _NOT_XML.search(text):
        return {"@encoding": "base64", "#text": _base64(text)}
    return text
