"""What can go wrong, by name.

Every error that a person may see derives from AwsacError and reads as one clear sentence. The exit code belongs to
the kind of error, so that every verb and every script agrees on it.
"""

from collections.abc import Sequence

from awsac_async.session.wording import clipped, printable

_MOST_FIELD = 100  # characters of a key or column in a sentence
EXIT_OK = 0
EXIT_JOB_FAILED = 1
EXIT_INPUT = 2
EXIT_CLOUD = 3
EXIT_INFRASTRUCTURE = 4
EXIT_TIMED_OUT = 5
EXIT_KILLED = 6


class AwsacError(Exception):
    """Anything awsac can explain in one sentence; ``next_step`` says what to do where the sentence does not."""

    exit_code: int = EXIT_CLOUD
    next_step: str = ""


class InputError(AwsacError):
    """What the user gave is missing, malformed, or names something that does not exist; nothing was started."""

    exit_code = EXIT_INPUT


class UnwritableError(InputError):
    """One file cannot be written, for its name or what stands there; others can."""


class FormatError(InputError):
    """A file does not follow its format: says where, what was found, and what was expected.

    Args:
        file: the file, as the user named it.
        found: what stands there.
        expected: what should stand there.
        line: line number from 1, if the place has one.
        field: key or column, if the place has one.
    """

    def __init__(
        self, *, file: str, found: str, expected: str, line: int | None = None, field: str | None = None
    ) -> None:
        self.file, self.line, self.field, self.found, self.expected = file, line, field, found, expected
        key = clipped(printable(field), _MOST_FIELD) if field else ""  # whoever wrote the file has named it
        place = file + (f", line {line}" if line is not None else "") + (f", {key}" if key else "")
        super().__init__(clipped(f"{printable(place)}: found {found}, expected {expected}"))


class ProblemsError(AwsacError):
    """Several things are wrong at once: each has its own line, and the exit code is that of bad input if one is.

    A line ends with what to do next, as the error alone would be shown.
    """

    def __init__(self, problems: Sequence[AwsacError]) -> None:
        self.problems = tuple(problems)
        self.exit_code = EXIT_INPUT if any(isinstance(each, InputError) for each in problems) else EXIT_CLOUD
        super().__init__("\n".join("; ".join(filter(None, (str(each), each.next_step))) for each in problems))


class CloudError(AwsacError):
    """A call to the cloud failed.

    Args:
        operation: what was asked, in the service's own words (``RunInstances``).
        resource: what it was asked of (a key, an ID), or "".
        cause: the service's or the network's message.
        code: the service's error code, or "".
        temporary: whether the same call may succeed later.
    """

    temporary_by_default = False

    def __init__(
        self, operation: str, resource: str, cause: str, *, code: str = "", temporary: bool | None = None
    ) -> None:
        self.operation, self.resource, self.cause, self.code = operation, resource, cause, code
        self.temporary = self.temporary_by_default if temporary is None else temporary
        what = f"{operation} {resource}".strip()
        super().__init__(f"{what} failed: {cause}" + (f" ({code})" if code and code not in cause else ""))


class NotFoundError(CloudError):
    """The named thing does not exist (or not yet: EC2 is eventually consistent)."""

    next_step = "look at the name, at the region, and at whose credentials these are"


class DeniedError(CloudError):
    """The credentials do not allow this call."""

    next_step = "awsac policy client prints the rights that awsac needs, docs/permissions.md says what for"


class CredentialsError(CloudError):
    """There are no credentials, or they are not valid."""

    next_step = (
        "choose a profile with --profile, renew it, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
        "the cloud on this machine, which needs none, is meant only with --local"
    )


class ConflictError(CloudError):
    """A conditional request found another state than it expected."""


class DamagedError(CloudError):
    """What was received is not what was saved: its size or its checksum differs."""


class DeviceNameInUseError(ConflictError):
    """The name under which a volume should be attached is taken; another one may do."""


class CapacityError(CloudError):
    """The account's quota or the zone's capacity does not allow what was asked."""

    next_step = "try again later, or with another instance_type, another subnet_id or fewer jobs at once"


class NoPlaceError(CapacityError):
    """None of the places that a session names, nor all of them together, have room for its instances."""


class AttachmentLimitError(CapacityError):
    """The instance holds as many volumes as it can; one must go before another can come."""

    next_step = ""


class ThrottledError(CloudError):
    """The service asks for fewer calls."""

    next_step = "run the same command again in a minute"
    temporary_by_default = True


class UnavailableError(CloudError):
    """The service failed, or could not be reached, for now."""

    next_step = "it may pass: run the same command again"
    temporary_by_default = True


class EndpointError(CloudError):
    """Nothing answers at the service's address."""

    next_step = (
        "look at the network, the region and --endpoint-url; awsac local status tells of the cloud on this machine"
    )
    temporary_by_default = True


class ProxyError(EndpointError):
    """The proxy on the way to a service cannot be reached, or does not do what it was asked."""

    next_step = "look at HTTPS_PROXY, HTTP_PROXY and NO_PROXY, and at what the proxy asks for"
