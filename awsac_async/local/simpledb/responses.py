"""The ten operations of SimpleDB over HTTP: parameters in, results out, one method an operation."""

from collections.abc import Iterable
from dataclasses import asdict

from moto.core.common_types import TYPE_RESPONSE
from moto.core.responses import ActionResult, BaseResponse, EmptyResult
from moto.core.utils import get_service_model

from . import limits
from .exceptions import InvalidAction, MissingAction
from .models import SimpleDBBackend, sdb_backends
from .parameters import Parameters


class SimpleDBResponse(BaseResponse):
    """Answers one request; moto calls the method that the parameter ``Action`` names."""

    def __init__(self) -> None:
        super().__init__(service_name="sdb")

    def call_action(self) -> TYPE_RESPONSE:
        """Answer the request, with an error if it names no operation that SimpleDB has."""
        action = self._parameters.optional("Action")
        if action is None:
            return self.serialized(ActionResult(MissingAction()))
        if action not in get_service_model("sdb").operation_names:
            return self.serialized(ActionResult(InvalidAction(action=action)))
        return super().call_action()

    @property
    def _backend(self) -> SimpleDBBackend:
        return sdb_backends[self.current_account][self.region]

    @property
    def _parameters(self) -> Parameters:
        return Parameters({name: values[0] for name, values in self.querystring.items()})

    def create_domain(self) -> ActionResult:
        """CreateDomain."""
        self._backend.create_domain(self._parameters.required("DomainName"))
        return EmptyResult()

    def delete_domain(self) -> ActionResult:
        """DeleteDomain."""
        self._backend.delete_domain(self._parameters.required("DomainName"))
        return EmptyResult()

    def list_domains(self) -> ActionResult:
        """ListDomains."""
        names, next_token = self._backend.list_domains(
            maximum=self._parameters.integer("MaxNumberOfDomains", default=limits.DOMAINS_PER_PAGE),
            next_token=self._parameters.optional("NextToken"),
        )
        return ActionResult({"DomainNames": names, "NextToken": next_token})

    def domain_metadata(self) -> ActionResult:
        """DomainMetadata."""
        metadata = self._backend.domain_metadata(self._parameters.required("DomainName"))
        return ActionResult(asdict(metadata))

    def put_attributes(self) -> ActionResult:
        """PutAttributes."""
        parameters = self._parameters
        self._backend.put_attributes(
            parameters.required("DomainName"),
            parameters.required("ItemName"),
            parameters.put_pairs(),
            parameters.expected(),
        )
        return EmptyResult()

    def batch_put_attributes(self) -> ActionResult:
        """BatchPutAttributes."""
        parameters = self._parameters
        batch = [(name, item.put_pairs()) for name, item in parameters.items()]
        self._backend.batch_put_attributes(parameters.required("DomainName"), batch)
        return EmptyResult()

    def get_attributes(self) -> ActionResult:
        """GetAttributes."""
        parameters = self._parameters
        parameters.flag("ConsistentRead")  # only checked: every read is consistent
        pairs = self._backend.get_attributes(
            parameters.required("DomainName"), parameters.required("ItemName"), parameters.attribute_names()
        )
        return ActionResult({"Attributes": _attributes(pairs)})

    def delete_attributes(self) -> ActionResult:
        """DeleteAttributes."""
        parameters = self._parameters
        self._backend.delete_attributes(
            parameters.required("DomainName"),
            parameters.required("ItemName"),
            parameters.delete_pairs(),
            parameters.expected(),
        )
        return EmptyResult()

    def batch_delete_attributes(self) -> ActionResult:
        """BatchDeleteAttributes."""
        parameters = self._parameters
        batch = [(name, item.delete_pairs()) for name, item in parameters.items()]
        self._backend.batch_delete_attributes(parameters.required("DomainName"), batch)
        return EmptyResult()

    def select(self) -> ActionResult:
        """Select."""
        parameters = self._parameters
        parameters.flag("ConsistentRead")
        page = self._backend.select(
            parameters.required("SelectExpression"), next_token=parameters.optional("NextToken")
        )
        items = [{"Name": item.name, "Attributes": _attributes(item.pairs)} for item in page.items]
        return ActionResult({"Items": items, "NextToken": page.next_token})


def _attributes(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in pairs]
