"""The files of ``boot/``, and what instances are told at launch: the session string, or a cloud-config that holds it.

Owns how a cloud-config is made of its template. Knows no session but by its string.
"""

import json
import math
from pathlib import Path
from textwrap import indent

import awsac_async
from awsac_async.session import fields
from awsac_async.session.errors import FormatError
from awsac_async.session.names import CLOUD_CONFIG_SESSION
from awsac_async.session.userdata import MAX_BYTES

_PLACES = (Path(awsac_async.__file__).parent / "boot", Path(awsac_async.__file__).parents[1] / "boot")
# In a wheel it is a folder of the package, in a checkout it stands beside it.
BOOT_FOLDER = next((place for place in _PLACES if place.is_dir()), _PLACES[0])
_SCRIPTS = {"@INSTALL@": "awsac-install", "@FETCH@": "awsac-fetch"}
_SESSION = "# @SESSION@\n"
_INDENT = 6 * " "  # of what a file in the template holds
_CALL = 'exec /bin/sh "$AWSAC_ROOT/run/awsac/awsac-install" "$@"'


def cloud_config(*, mode: str, package: str, hours: float, session: str = "") -> str:
    """Return user data for a stock image.

    Args:
        mode: of ``awsac-install``, ``session`` or ``image``.
        package: what it is to install.
        hours: after its boot the instance powers itself off, whatever happens.
        session: the session string, of a session.

    Raises:
        FormatError: they would be too large for EC2, or could not stand in YAML.
    """
    if not session.isprintable():
        raise FormatError(file="user data", found=fields.shown(session), expected="printable characters only")
    values = {placeholder: _indented(BOOT_FOLDER / name) for placeholder, name in _SCRIPTS.items()} | {
        "@SECONDS@": str(math.ceil(hours * 3600)),
        "@COMMAND@": json.dumps(["/bin/sh", "-c", _CALL, "awsac-install", mode, package]),
        _SESSION: f"{CLOUD_CONFIG_SESSION}{session}\n" if session else "",
    }
    text = (BOOT_FOLDER / "cloud-init.yaml").read_text()
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    if len(text.encode()) > MAX_BYTES:
        raise FormatError(file="user data", found=f"{len(text.encode())} bytes", expected=f"at most {MAX_BYTES}")
    return text


def _indented(script: Path) -> str:
    return indent(script.read_text().rstrip("\n"), _INDENT)
