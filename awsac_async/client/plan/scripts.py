"""Whether a shell can read the scripts of a session, found out by asking the shells that are here; nothing is run.

A script is run by what its first line names (``#!``), else by /bin/sh, which is bash on Amazon Linux and dash on
Debian. So what all shells that may run it refuse is a problem, what one of them refuses is worth a remark, and a script
for another program is not looked at.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from awsac_async.session.archive import inner_name
from awsac_async.session.errors import FormatError
from awsac_async.session.fields import MAX_TEXT
from awsac_async.session.shebang import FIRST_BYTES, interpreter

_SECONDS = 10.0  # for one script; reading one takes milliseconds
_SHELLS = ("bash", "sh")
_FOR_SH = ("sh", "dash", "ash")
# "bash: line 3: syntax error", "sh: 3: Syntax error", and with a path in front.
_SAID = re.compile(r"^[^:]*: (line )?(?P<line>\d+): (?P<what>.+)$")


@dataclass(frozen=True, kw_only=True)
class Objection:
    """What a shell has against a script; ``line`` is from 1, None if it does not say."""

    line: int | None
    what: str


def check_scripts(scripts: Mapping[str, bytes], *, archive: str) -> tuple[list[FormatError], list[str]]:
    """Return the problems of scripts, and remarks; blocks while shells read them.

    Args:
        scripts: their content by name.
        archive: where they are, as the user named it.
    """
    problems, remarks = [], []
    here = [shell for shell in _SHELLS if shutil.which(shell)]
    for name, script in scripts.items():
        place = inner_name(archive, name)
        shells = [shell for shell in here if shell in _shells_for(script)]
        if not shells:
            continue
        if b"\r\n" in script:
            remarks.append(
                f"{place}: it has line ends of Windows: shells take the carriage return for part of the last word"
            )
        if len(script) > MAX_TEXT:  # the rest of it was not read
            remarks.append(
                f"{place}: it is larger than {MAX_TEXT >> 20} MiB, so no shell was asked whether it can read it"
            )
            continue
        objections = {shell: found for shell in shells if (found := _objection(shell, script))}
        if objections and objections.keys() == set(shells):
            first = objections[shells[0]]
            expected = "a script that a shell can read"
            problems.append(FormatError(file=place, line=first.line, found=first.what, expected=expected))
        else:
            remarks += [_remark(place, shell, found) for shell, found in objections.items()]
    return problems, remarks


def _shells_for(script: bytes) -> tuple[str, ...]:
    """Return by which shells a script may be run; none if it is for another program."""
    program, *arguments = interpreter(script[:FIRST_BYTES])
    program = program.rpartition("/")[2]
    if program == "env":
        words = [word for word in " ".join(arguments).split() if not word.startswith("-") and "=" not in word]
        program = words[0].rpartition("/")[2] if words else ""
    if program in _FOR_SH:
        return _SHELLS
    return (program,) if program in _SHELLS else ()


def _remark(place: str, shell: str, found: Objection) -> str:
    line = f", line {found.line}" if found.line else ""
    other = next(each for each in _SHELLS if each != shell)
    return (
        f"{place}{line}: {shell} cannot read it ({found.what}) but {other} can; "
        "jobs run by /bin/sh, which is bash on Amazon Linux and dash on Debian"
    )


def _objection(shell: str, script: bytes) -> Objection | None:
    """Return what a shell says that only reads (``-n``); it finds no start-up file and no name of another."""
    try:
        done = subprocess.run(
            [shell, "-n", "/dev/stdin"],  # by this name bash says the lines
            input=script,
            capture_output=True,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):  # no word of this shell about it
        return None
    if done.returncode == 0:
        return None
    lines = done.stderr.decode(errors="replace").splitlines() or [f"{shell} ended with {done.returncode}"]
    said = _SAID.match(lines[0])
    return Objection(line=int(said["line"]), what=said["what"]) if said else Objection(line=None, what=lines[0])
