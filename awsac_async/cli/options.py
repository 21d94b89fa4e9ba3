"""The options of the command line as a whole: they may stand before a verb or behind it.

Owns what each of them changes for this process, and their precedence: the command line, then the environment, then the
configuration file, then what AWS's own files say. Region, profile and endpoint reach the client as every AWS tool takes
them, through the environment.
"""

import copy
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from awsac_async.cli.main import DEBUG_VARIABLE
from awsac_async.cli.remarks import Volume, set_volume
from awsac_async.session.errors import AwsacError, InputError
from awsac_async.session.redaction import secrets
from awsac_async.session.wording import clipped, printable

# What the command line itself says, by the option's name: it wins over a file of the user's, and contradicts --local.
given: dict[str, str | bool] = {}

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_THIS_MACHINE = ("http://127.", "http://localhost")  # as far as `awsac local env` names it
_REGIONS = ("AWS_DEFAULT_REGION", "AWS_REGION")


_UsageError: Any = typer.BadParameter.__base__  # which typer has under no name of its own
_MOST_REFUSAL = 300  # characters: typer puts the name of the option before it


class Verbs(TyperGroup):
    """A group of verbs, listed in sections, that take the options of the command line as a whole as well."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Let no word of the command line make a refusal long or unreadable: here for the options before the verb."""
        with _short_refusals():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Do the same for the verb and what follows it."""
        with _short_refusals():
            return super().invoke(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Begin with nothing given if this is the command line itself."""
        if ctx.parent is None:
            given.clear()
            set_volume(Volume.QUIET if ctx.resilient_parsing else Volume.NORMAL)  # nothing is said after Tab
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the verb, which now knows the options of the command line as well."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            _adopt(command, ctx.find_root().command.params)
            command.help = _unwrapped_example(command.help or "")
        if command is not None and ctx.resilient_parsing:
            _tolerate(command)
        return name, command, rest

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the verbs in sections, in the order in which the sections and the verbs were registered."""
        verbs: list[tuple[str, Any]] = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        column = max(len(name) for name, _ in verbs)
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, command in verbs:
            section = command.rich_help_panel or "Commands"  # rich's name for it; nothing here is drawn by rich
            text = command.get_short_help_str(formatter.width - 6 - column)
            sections.setdefault(section, []).append((name.ljust(column), text))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)


@contextmanager
def _short_refusals() -> Iterator[None]:
    try:
        yield
    except _UsageError as error:
        error.message = clipped(printable(secrets.redact(error.message)), _MOST_REFUSAL)
        raise


def _adopt(command: Any, options: Iterable[Any]) -> None:
    """Let a verb take these options too; its help does not repeat them."""
    known = {name for param in command.params for name in param.opts}
    for option in options:
        if option.expose_value and option.name != "version" and known.isdisjoint(option.opts):
            command.params.append(_hidden(option))


def _unwrapped_example(text: str) -> str:
    """Let an example be one line, whatever the width of the terminal: it is to be copied."""
    paragraphs = text.split("\n\n")
    for place, each in enumerate(paragraphs):
        if each.startswith("Example:"):
            paragraphs[place] = f"\b\n{' '.join(each.split())}"
    return "\n\n".join(paragraphs)


def _hidden(option: Any) -> Any:
    twin = copy.copy(option)
    twin.hidden, twin.expose_value, twin.required = True, False, False
    return twin


def _tolerate(command: Any) -> None:
    """Let a default that cannot be found be nothing: after Tab the rest of the line counts."""
    for param in command.params:
        if callable(find := param.default):
            param.default = lambda find=find: _found(find)


def _found(find: Callable[[], Any]) -> Any:
    try:
        return find()
    except AwsacError:
        return None


def _set_volume(param: typer.CallbackParam, value: bool) -> bool:
    if value:
        given[str(param.name)] = value
        if {"quiet", "verbose"} <= given.keys():
            raise InputError("--quiet and --verbose contradict each other: give one of them")
        set_volume(Volume.QUIET if param.name == "quiet" else Volume.VERBOSE)
    return value


def _set_traceback(value: bool) -> bool:
    if value:
        os.environ[DEBUG_VARIABLE] = "1"
    return value


def _set_region(value: str | None) -> str | None:
    if value:
        given["region"] = value
        _set(dict.fromkeys(_REGIONS, value))
    return value


def _set_profile(value: str | None) -> str | None:
    """Choose a profile; keys in the environment would go before it.

    Raises:
        InputError: the environment is that of `awsac local env`: what signs for AWS must not be sent there.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    if value and "endpoint_url" not in given and endpoint.startswith(_THIS_MACHINE):
        raise InputError(
            f"--profile is for AWS, and AWS_ENDPOINT_URL in the environment is {endpoint}: "
            "unset it, or name the address with --endpoint-url if it is meant"
        )
    if value:
        given["profile"] = value
        _set({"AWS_PROFILE": value}, without=_KEYS)
    return value


def _set_endpoint(value: str | None) -> str | None:
    """Choose the address of all services; that of a single service would go before it."""
    if value:
        given["endpoint_url"] = value
        single = [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL_")]
        _set({"AWS_ENDPOINT_URL": value}, without=[*single, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"])
    return value


def _set(variables: dict[str, str], *, without: Iterable[str] = ()) -> None:
    for name in without:
        os.environ.pop(name, None)
    os.environ.update(variables)


def configure(values: dict[str, Any]) -> None:
    """Use what a configuration file says of these options, where neither command line nor environment says anything."""
    if not given.keys() & {"quiet", "verbose"} and (values.get("quiet") or values.get("verbose")):
        set_volume(Volume.QUIET if values.get("quiet") else Volume.VERBOSE)
    environment = os.environ
    if "region" in values and not any(environment.get(name) for name in _REGIONS):
        _set(dict.fromkeys(_REGIONS, values["region"]))
    if "profile" in values and not any(environment.get(name) for name in ("AWS_PROFILE", *_KEYS)):
        _set({"AWS_PROFILE": values["profile"]})
    if "endpoint_url" in values and not any(name.startswith("AWS_ENDPOINT_URL") for name in environment):
        _set({"AWS_ENDPOINT_URL": values["endpoint_url"]})


def refuse_with_local() -> None:
    """Raise InputError if the command line names another place than the cloud on this machine."""
    for name in ("profile", "endpoint_url"):
        if name in given:
            option = "--" + name.replace("_", "-")
            raise InputError(
                f"--local means the cloud on this machine, {option} another one: give one of them "
                "(local may be set in the configuration file; AWSAC_CONFIG= leaves that out)"
            )


def given_region() -> str | None:
    """Return the region that the command line names: it wins over that of a session.ini."""
    region = given.get("region")
    return None if region is None else str(region)


Quiet = Annotated[bool, typer.Option("-q", "--quiet", callback=_set_volume, help="Say nothing but results and errors.")]
Verbose = Annotated[
    bool,
    typer.Option("-v", "--verbose", callback=_set_volume, help="Say each call of the cloud, and how long it took."),
]
Traceback = Annotated[
    bool, typer.Option("--traceback", callback=_set_traceback, help="Show where an error comes from (AWSAC_DEBUG=1).")
]
Region = Annotated[
    str | None,
    typer.Option(metavar="NAME", callback=_set_region, help="AWS region of a new session, and where ls and gc look."),
]
Profile = Annotated[
    str | None, typer.Option(metavar="NAME", callback=_set_profile, help="Profile of your AWS configuration.")
]
EndpointUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", callback=_set_endpoint, is_eager=True, help="Address of every service, not AWS's."),
]
