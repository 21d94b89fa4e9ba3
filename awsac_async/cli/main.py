"""The entry of ``awsac``: the one place where an error becomes a sentence on stderr and an exit code.

Exit codes: 0 all well, 1 some job failed, 2 bad input or usage, 3 the cloud refused or failed, 4 to 6 what came of a
session (``wait``), 70 a fault of awsac itself, 130 interrupted. Imports nothing heavy, so that Ctrl-C finds it in
charge from the start.
"""

import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from awsac_async.cli import streams
from awsac_async.session.errors import EXIT_CLOUD, EXIT_INPUT, EXIT_OK, AwsacError, ProblemsError

EXIT_FAULT = 70  # EX_SOFTWARE of sysexits.h
EXIT_INTERRUPTED = 130
DEBUG_VARIABLE = "AWSAC_DEBUG"
_PREFIX = "awsac: "
_MOST_PROBLEMS = 20  # lines
_OBJECTS_BETWEEN_COLLECTIONS = 100_000  # some ten MB of them


def main(words: Callable[[], list[str]] = lambda: sys.argv[1:]) -> NoReturn:
    """Run the command line, and leave with its exit code; ``words`` returns its arguments, or raises an AwsacError."""
    streams.secure()
    # By default a fifth of the time goes into looking for garbage among what imports and large sessions make and keep.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    _end_as_by_ctrl_c()
    try:
        code = _run(words)
    finally:
        gc.freeze()  # else Python looks at every object of the SDK before it ends: a tenth of a second
    leave(code)


def leave(code: int) -> NoReturn:
    """Leave with an exit code, or, if all is well but what was printed could not be written, with that of bad input."""
    if fault := streams.fault():
        code = _say(f"standard output: {fault.strerror}, what was printed is not all there", code or EXIT_INPUT)
    sys.exit(code)


def _run(words: Callable[[], list[str]]) -> int:
    """Run the command line, and return its exit code."""
    try:
        from awsac_async.cli.app import app

        app(words(), prog_name="awsac")
    except KeyboardInterrupt:
        return _say("interrupted: nothing was done", EXIT_INTERRUPTED)
    except SystemExit as leaving:
        # typer's own way to leave on Ctrl-C, before a verb had begun: a verb itself raises UserInterruptError.
        if leaving.code == EXIT_INTERRUPTED:
            return _say("interrupted: nothing was done", EXIT_INTERRUPTED)
        return leaving.code if isinstance(leaving.code, int) else EXIT_OK
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            _print(traceback.format_exc())
        return _say(*_explained(error))
    return EXIT_OK


def _end_as_by_ctrl_c() -> None:
    """Let a terminal that is closed, and whoever ends a process, end a verb as Ctrl-C does, which clears up."""
    # In the background of a script there is no Ctrl-C, also not for asyncio, which takes the exception instead.
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    end = signal.default_int_handler if ignored else lambda *_: signal.raise_signal(signal.SIGINT)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # not under nohup
            signal.signal(number, end)


def _explained(error: Exception) -> tuple[str, int]:
    """Return the sentence and the exit code for what has come through all of awsac."""
    from awsac_async.local.cloud import LocalCloudError

    match error:
        case ProblemsError():
            lines = [_line(str(each), each.next_step) for each in error.problems]
            more = [f"and {len(lines) - _MOST_PROBLEMS} more"] if len(lines) > _MOST_PROBLEMS else []
            return "\n".join(lines[:_MOST_PROBLEMS] + more), error.exit_code
        case ExceptionGroup():  # of tasks that ran together
            said = [_explained(each) for each in error.exceptions]
            return "\n".join(dict.fromkeys(sentence for sentence, _ in said)), max(code for _, code in said)
        case AwsacError():
            return _line(str(error), error.next_step), error.exit_code
    what = f"{type(error).__name__}: {error}"
    sentence, code = f"awsac itself failed, {what} (awsac --traceback … shows where)", EXIT_FAULT
    match error:
        case LocalCloudError():
            sentence, code = str(error), EXIT_CLOUD
        case OSError():  # a file that cannot be read or written, a full disk
            sentence, code = f"{error.filename or 'the system'}: {error.strerror or error}", EXIT_INPUT
        case UnicodeEncodeError():  # the name of a file, or an argument, in another encoding
            sentence, code = f"{error.object} is not text in {error.encoding}", EXIT_INPUT
    return _line(sentence), code


def _line(sentence: str, next_step: str = "") -> str:
    """Return what is printed of an error: one line that is not too long, whatever it quotes."""
    from awsac_async.session.redaction import secrets
    from awsac_async.session.wording import MOST_SENTENCE, clipped, printable

    end = f"; {next_step}" if next_step else ""
    # Without secrets before it is cut: a part of one would not be recognized.
    return clipped(printable(secrets.redact(sentence)), MOST_SENTENCE - len(_PREFIX) - len(end)) + end


def _say(sentence: str, code: int) -> int:
    _print(f"{_PREFIX}{sentence}\n")
    return code


def _print(text: str) -> None:
    """Print to stderr what may quote anything that AWS, its SDKs or a file said."""
    from awsac_async.session.redaction import secrets

    print(secrets.redact(text), end="", file=sys.stderr)
