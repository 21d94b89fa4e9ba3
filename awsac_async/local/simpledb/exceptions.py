"""What SimpleDB refuses, by the codes, messages and HTTP statuses of its developer guide ("API Error Codes").

botocore's model lacks several of these codes, so each class carries its own status. Nothing here decides when.
"""
# ruff: noqa: N818  # each class bears the name of the code that it answers with

from typing import ClassVar

from moto.core.exceptions import ServiceException


class SimpleDBError(ServiceException):
    """An answer other than success; its code is the name of its class, ``status`` its HTTP status."""

    status: ClassVar[int] = 400

    def __init_subclass__(cls) -> None:
        cls.code = cls.__name__


class MissingAction(SimpleDBError):
    """The request names no operation."""

    message = "No action was supplied with this request."


class InvalidAction(SimpleDBError):
    """The request names an operation that SimpleDB does not have."""

    message = "The action {action} is not valid for this web service."


class MissingParameter(SimpleDBError):
    """A parameter that the operation needs is absent."""

    message = "The request must contain the parameter {parameter}."


class InvalidParameterValue(SimpleDBError):
    """A parameter is malformed, too long or out of range."""

    message = "Value ({value}) for parameter {parameter} is invalid. {reason}"


class NoSuchDomain(SimpleDBError):
    """The domain was never created, or was deleted."""

    message = "The specified domain does not exist."


class NumberDomainsExceeded(SimpleDBError):
    """The account has as many domains as it may have."""

    message = "The domain limit was exceeded."
    status = 409


class NumberSubmittedItemsExceeded(SimpleDBError):
    """A batch holds too many items."""

    message = "Too many items in a single call. Up to {limit} items per call allowed."
    status = 409


class NumberSubmittedAttributesExceeded(SimpleDBError):
    """One item of a call holds too many name-value pairs."""

    message = "Too many attributes for item in a single call. Up to {limit} attributes per call allowed."
    status = 409


class NumberItemAttributesExceeded(SimpleDBError):
    """The write would leave an item with too many name-value pairs."""

    message = "Too many attributes in this item."
    status = 409


class DuplicateItemName(SimpleDBError):
    """A batch names an item twice."""

    message = "Item {name} was specified more than once."


class ConditionalCheckFailed(SimpleDBError):
    """The attribute is not as the condition expects."""

    status = 409


class AttributeDoesNotExist(SimpleDBError):
    """A condition expects a value of an attribute that the item lacks."""

    message = "Attribute ({name}) does not exist"
    status = 404


class MultiValuedAttribute(SimpleDBError):
    """A condition expects one value of an attribute that has several."""

    message = "Attribute ({name}) is multi-valued. Conditional check can only be performed on a single-valued attribute"
    status = 409


class IncompleteExpectedExpression(SimpleDBError):
    """A condition names an attribute but not what is expected of it."""

    message = "If Expected.Exists=true or unspecified, then Expected.Value has to be specified"


class ExistsAndExpectedValue(SimpleDBError):
    """A condition expects an attribute to be absent and to have a value."""

    message = "Expected.Exists=false and Expected.Value cannot be specified together"


class MultipleExpectedNames(SimpleDBError):
    """An operation carries more than one condition."""

    message = "Only one Expected.Name can be specified"


class InvalidNextToken(SimpleDBError):
    """The token is not one that this query gave out."""

    message = "The specified next token is not valid."


class InvalidQueryExpression(SimpleDBError):
    """The select expression breaks the grammar."""

    message = "The specified query expression syntax is not valid."


class InvalidSortExpression(SimpleDBError):
    """The order names an attribute that the where clause does not constrain."""

    message = (
        "Invalid sort expression. The sort attribute must be present in at least one of the predicates, "
        "and the predicate cannot contain the is null operator."
    )


class InvalidNumberPredicates(SimpleDBError):
    """The where clause compares too many different attributes."""

    message = "Too many predicates in the query expression."


class InvalidNumberValueTests(SimpleDBError):
    """The where clause makes too many comparisons."""

    message = "Too many value tests per predicate in the query expression."


class TooManyRequestedAttributes(SimpleDBError):
    """The caller asks for too many attributes by name."""

    message = "Too many attributes requested."
