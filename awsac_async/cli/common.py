"""What the verbs share: options, the way into asyncio, questions at the terminal, and the embedded cloud.

A question is read from the file descriptor by a thread of its own: the loop goes on, Ctrl-C is heard at once, and no
thread holds a lock of ``sys.stdin`` when the interpreter ends.
"""

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from awsac_async.cli.completion import session_files
from awsac_async.cli.main import EXIT_INTERRUPTED
from awsac_async.cli.options import refuse_with_local
from awsac_async.cli.remarks import say
from awsac_async.session import names
from awsac_async.session.errors import AwsacError, InputError

T = TypeVar("T")


def newest_session_file() -> Path:
    """Return the only or newest session file of this folder, and say which; raises InputError if there is none."""
    found = sorted(Path().glob(names.session_file("*")), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError("there is no session file in this folder: name one with -c, or get it with awsac attach")
    say(f"session file: {found[-1]}")
    return found[-1]


def only_session_file() -> Path:
    """Return the only session file of this folder, as ``newest_session_file``; InputError if there are several."""
    if len(found := sorted(map(str, Path().glob(names.session_file("*"))))) > 1:
        raise InputError(f"there are several sessions in this folder, name one of them with -c: {', '.join(found)}")
    return newest_session_file()


def _session_file(help_text: str, default: Callable[[], Path]) -> Any:
    option = ("-c", "--session")
    return typer.Option(
        *option,
        metavar="FILE",
        readable=False,
        help=help_text,
        default_factory=default,
        show_default=False,
        autocompletion=session_files,
    )


SessionFile = Annotated[Path, _session_file("The session file; else the newest here.", newest_session_file)]
# Of verbs that end or remove something: these must not guess.
ChangedSession = Annotated[Path, _session_file("The session file; else the only one here.", only_session_file)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Raw = Annotated[bool, typer.Option("--raw", help="Write the bytes as they are, also what controls a terminal.")]
Local = Annotated[bool, typer.Option("--local", help="Use the cloud on this machine, in which it was started.")]
Yes = Annotated[bool, typer.Option("--yes", help="Answer every question with yes.")]


class UserInterruptError(AwsacError):
    """The user pressed Ctrl-C; the sentence says what that means for what was under way."""

    exit_code = EXIT_INTERRUPTED


@contextlib.contextmanager
def interruptible(sentence: Callable[[], str]) -> Iterator[None]:
    """Let Ctrl-C end a verb with one sentence, composed when it happens."""
    try:
        yield
    except KeyboardInterrupt:
        raise UserInterruptError(f"interrupted: {sentence()}") from None


def run(verb: Coroutine[Any, Any, T], *, interrupted: Callable[[], str]) -> T:
    """Run a verb of the client; Ctrl-C cancels it, so that it can clear up, and ends with the sentence."""
    import asyncio  # a tenth of the start-up, of which help and Tab need none

    from awsac_async.client.scratch import sweep

    with interruptible(interrupted):
        sweep()
        return asyncio.run(verb)


def use_local(*, bring_up: bool = False) -> None:
    """Let this process use the embedded cloud instead of AWS.

    A cloud that is brought up is empty: only a new session can do with it.
    """
    from awsac_async.local import cloud

    refuse_with_local()
    directory = cloud.default_directory()
    if bring_up:
        environment = cloud.up(directory)
    else:
        try:
            environment = cloud.environment(directory)
        except cloud.LocalCloudError as error:
            gone = "and its sessions went with the one that was there; awsac start --local begins a new one"
            raise cloud.LocalCloudError(f"{error}, {gone}") from error
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]  # A profile or a token of the real AWS would go before what the embedded one needs.
    os.environ.update(environment)


def say_trying_again(failure: AwsacError) -> None:
    """Tell of a failure of the cloud that is waited out."""
    say(f"{failure}; trying again")


def print_json(value: object) -> None:
    """Print the one document of ``--json``."""
    print(json.dumps(value, indent=2))


async def ask(question: str, answers: str) -> str:
    """Ask on stderr until the first letter of a line is one of ``answers``, and return that letter.

    Raises:
        InputError: standard input ended without an answer.
    """
    while True:
        line = ""
        print(f"{question} ({'/'.join(answers)}) ", end="", file=sys.stderr, flush=True)
        try:
            line = await _read_line()
        finally:
            if not line:  # ended, or interrupted: what follows begins a line of its own
                with contextlib.suppress(OSError):  # of a terminal that was closed
                    print(file=sys.stderr)
        if not line:
            raise InputError(f"no answer to '{question}': standard input has ended; --yes answers with yes")
        letter = line.strip()[:1].lower()
        if letter and letter in answers:
            return letter


async def _read_line() -> str:
    """Return a line of standard input with its end, or "" when there is no more."""
    import asyncio  # as above

    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def deliver(line: str) -> None:
        if not answer.done():
            answer.set_result(line)

    def read() -> None:
        with open(0, "rb", buffering=0, closefd=False) as stdin:
            line = stdin.readline().decode(errors="replace")
        with contextlib.suppress(RuntimeError):  # Interrupted meanwhile, and the loop is closed.
            loop.call_soon_threadsafe(deliver, line)

    threading.Thread(target=read, name="read an answer", daemon=True).start()
    return await answer
