"""The verb ``init``: a folder from which a first session can be started at once, and then changed into one's own.

Owns how ``session.ini`` is written for a newcomer; what its keys mean is said by `session.startkeys`. Never replaces a
file.
"""

from importlib import resources
from pathlib import Path

from awsac_async.session.errors import InputError
from awsac_async.session.names import JOBS_FILE
from awsac_async.session.startinfo import SECTION
from awsac_async.session.startkeys import KEYS, Key

INI_FILE = "session.ini"
JOBS_FOLDER = "jobs"
SCRIPT_FILE = "pi.sh"
_HEAD = f"""\
# What awsac start starts. These values run on the cloud of this machine (awsac start --local).
# For AWS, change image, account and bucket into your own.
[{SECTION}]
"""
_OPTIONAL = """
# What follows may be left out. Remove the ; before a key to set it.
"""


def init(directory: Path) -> list[Path]:
    """Write a session.ini, a jobs.cfg and a job script into a folder, which is made if it is not there.

    Returns:
        The files, the session.ini first.

    Raises:
        InputError: one of them is there already, or cannot be written.
    """
    ours = resources.files("awsac_async.client") / "firstsession"
    contents = {directory / INI_FILE: ini_text()}
    for name in (JOBS_FILE, SCRIPT_FILE):
        contents[directory / JOBS_FOLDER / name] = (ours / name).read_text("utf-8")
    if there := [path for path in contents if path.exists()]:
        raise InputError(f"{there[0]} is there already: name a folder that has no {INI_FILE} and no {JOBS_FOLDER}")
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(content)
    except OSError as error:
        raise InputError(f"{error.filename} cannot be written: {error.strerror}") from error
    return list(contents)


def ini_text() -> str:
    """Return a session.ini with every key: what must be there filled in, the rest explained."""
    required = [_lines(name, key) for name, key in KEYS.items() if key.required]
    optional = [_lines(name, key) for name, key in KEYS.items() if not key.required]
    return "\n".join([_HEAD, *required, _OPTIONAL, *optional])


def _lines(name: str, key: Key) -> str:
    default = f" (default: {key.default})" if key.default else ""
    comment = f"# {key.meaning[0].upper()}{key.meaning[1:]}{default}.".replace("`", "")
    return f"{comment}\n{'' if key.required else ';'}{name} = {key.example}\n"
