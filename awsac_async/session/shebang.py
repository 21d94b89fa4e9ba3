"""By which program a script runs: the one that its first line names after ``#!``, else ``/bin/sh``, as in 2008.

Reads the line as Linux does (execve(2)): a path, and at most one argument. Only the carriage return that an editor of
another system may leave at its end is passed over.
"""

import os
import shutil
from pathlib import Path, PurePosixPath

SHELL = "/bin/sh"
FIRST_BYTES = 4096  # of a script, which hold its first line


def interpreter(beginning: bytes) -> list[str]:
    """Return the words that stand before a script's path on its command line.

    Args:
        beginning: the first bytes of the script, as many as ``FIRST_BYTES`` if it has them.
    """
    line = beginning.partition(b"\n")[0]
    if not line.startswith(b"#!"):
        return [SHELL]
    words = os.fsdecode(line[2:].replace(b"\0", b" ").strip()).split(maxsplit=1)
    return words or [SHELL]


def missing_interpreter(words: list[str], search: str) -> str:
    """Return the program of an interpreter's words that this machine lacks, or "".

    Args:
        words: what ``interpreter`` returned.
        search: the PATH in which ``env`` looks for a program.
    """
    program, *argument = words
    if not _runs(program):
        return program
    named = argument[0].split() if argument else []
    if PurePosixPath(program).name != "env" or not named or named[0].startswith("-") or "=" in named[0]:
        return ""
    return "" if len(named) > 1 or shutil.which(named[0], path=search) else named[0]


def _runs(program: str) -> bool:
    return program.startswith("/") and Path(program).is_file() and os.access(program, os.X_OK)
