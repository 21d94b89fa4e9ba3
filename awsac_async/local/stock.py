"""What a stock image has beside cloud-init: a Python, with packages, and a pip that asks no index.

The Python is that of the machine, without the environment that the cloud itself runs in. Its packages are those of that
environment, but for what is there as a checkout only, so that an instance installs what it lacks and finds what that
needs, without a network. Owns the folder of links that shows them.
"""

import contextlib
import json
import sysconfig
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

_NOT_SHOWN = (".pth", "__pycache__")


def make_packages(folder: Path) -> Path:
    """Make a folder with a link to each package of this environment; returns it."""
    folder.mkdir(parents=True)
    source = Path(sysconfig.get_path("purelib"))
    hidden = set(_checkouts(source))
    for entry in source.iterdir():
        if not entry.name.endswith(_NOT_SHOWN) and entry.name not in hidden:
            (folder / entry.name).symlink_to(entry)
    return folder


def _checkouts(source: Path) -> Iterator[str]:
    """Yield what is in the folder of distributions that are installed from a checkout, as a link to that (PEP 610)."""
    for installed in distributions(path=[str(source)]):
        if _is_checkout(installed):
            for file in installed.files or ():
                yield file.parts[0]


def _is_checkout(installed: Distribution) -> bool:
    with contextlib.suppress(ValueError):
        origin = json.loads(installed.read_text("direct_url.json") or "{}")
        return bool(origin.get("dir_info", {}).get("editable"))
    return False


def environment(packages: Path) -> dict[str, str]:
    """Return the settings of the image's Python and pip."""
    return {"PYTHONPATH": str(packages), "PIP_NO_INDEX": "1"}
