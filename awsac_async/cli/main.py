"""The entry of ``awsac``: the one place where an error becomes a sentence on stderr and an exit code.

Exit codes: 0 all well, 1 some job failed, 2 bad input or usage, 3 the cloud refused or failed, 70 a fault of awsac
itself, 130 interrupted. Imports nothing heavy, so that Ctrl-C finds it in charge from the start.
"""

import os
import sys
from typing import NoReturn

from awsac_async.session.errors import EXIT_CLOUD, AwsacError

EXIT_FAULT = 70  # EX_SOFTWARE of sysexits.h
EXIT_INTERRUPTED = 130
DEBUG_VARIABLE = "AWSAC_DEBUG"


def main() -> NoReturn:
    """Run the command line, and leave with its exit code."""
    sys.exit(_run())


def _run() -> int | str | None:
    try:
        from awsac_async.cli.app import app

        app(prog_name="awsac")
    except SystemExit as leaving:
        # typer's way to say that Ctrl-C came before a verb had begun: a verb itself raises UserInterruptError.
        return leaving.code if leaving.code != EXIT_INTERRUPTED else _say("interrupted: nothing was done", leaving.code)
    except KeyboardInterrupt:
        return _say("interrupted: nothing was done", EXIT_INTERRUPTED)
    except AwsacError as error:
        _trace_if_asked()
        return _say(str(error), error.exit_code)
    except Exception as error:
        _trace_if_asked()
        if _is_local_cloud_error(error):
            return _say(str(error), EXIT_CLOUD)
        what = f"{type(error).__name__}: {error}"
        return _say(f"awsac itself failed, {what} (awsac --traceback … shows where)", EXIT_FAULT)
    return 0


def _is_local_cloud_error(error: Exception) -> bool:
    from awsac_async.local.cloud import LocalCloudError

    return isinstance(error, LocalCloudError)


def _say(sentence: str, code: int) -> int:
    print(f"awsac: {sentence}", file=sys.stderr)
    return code


def _trace_if_asked() -> None:
    """Print the traceback of the error that is being handled, if the user asked for it."""
    if os.environ.get(DEBUG_VARIABLE):
        import traceback

        traceback.print_exc()
