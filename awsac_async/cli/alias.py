"""``awsac-session``: the command line of 2008, word for word, as another way to write four verbs of ``awsac``.

Owns how its words become those of ``awsac``, and nothing of what they do.
"""

import sys
from typing import NoReturn

from awsac_async.cli import main as command_line
from awsac_async.cli import streams
from awsac_async.session.errors import EXIT_OK, InputError

_VERBS = ("start", "check", "getresults", "cleanup")
_CHOICE = "--start, --check, --getresults or --cleanup"
HELP = """\
Usage: awsac-session --start      -i session.ini -a jobs.tar.bz2 [-d DIR]
       awsac-session --check      -c session-….cfg
       awsac-session --getresults -c session-….cfg -o DIR
       awsac-session --cleanup    -c session-….cfg

  The command line of 2008. It is awsac start, awsac check, awsac getresults and
  awsac cleanup, and takes all of their options: awsac start --help shows them.
  awsac can more: awsac --help.

Options:
  --start         Start a session.
  --check         Show how all jobs of a session stand.
  --getresults    Download results, outputs and logs.
  --cleanup       Delete what a session left in the cloud.
  -i FILE         The session.ini.
  -a FILE         The session archive, ….tar.bz2.
  -d DIR          Input data.
  -c FILE         The session file.
  -o DIR          Where the results go.
  --help          Show this message and exit.

  Exit codes are those of awsac: 0 all well, 1 a job failed, 2 bad input,
  3 the cloud refused or failed.

Example: awsac-session --check -c session-081215_1646--eventgen--1816.cfg
"""


def main() -> NoReturn:
    """Run the verb that is chosen, and leave with its exit code."""
    if "--help" in sys.argv[1:]:
        streams.secure()
        print(HELP, end="")
        command_line.leave(EXIT_OK)
    command_line.main(lambda: translated(sys.argv[1:]))


def translated(words: list[str]) -> list[str]:
    """Return the words of ``awsac`` for those of 2008.

    Raises:
        InputError: not exactly one verb is chosen.
    """
    chosen = [verb for verb in _VERBS for word in words if word == f"--{verb}"]
    if len(chosen) != 1:
        found = f"{len(chosen)} of them are given" if chosen else "none of them is given"
        raise InputError(f"give exactly one of {_CHOICE}: {found} (awsac-session --help shows more)")
    return [chosen[0], *(word for word in words if word != f"--{chosen[0]}")]
