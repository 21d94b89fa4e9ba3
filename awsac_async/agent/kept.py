"""What an agent finds of what its predecessor kept on disk: JSON documents, which a power cut may have cut off.

Owns how one is read: it is whole and of its form, or it is as if it had never been, which the log tells. Nothing in one
may become a fault of the agent, who would only find it again.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from awsac_async.agent.log import describe
from awsac_async.session.errors import AwsacError
from awsac_async.session.fields import shown
from awsac_async.session.jsonobject import is_integer

T = TypeVar("T")
_log = logging.getLogger(__name__)
_MOST_BYTES = 64 << 20  # many times what any of them needs
_MOST = 1 << 60  # of a size or a position


def read_kept(file: Path, read: Callable[[dict[str, Any]], T]) -> T | None:
    """Return what ``read`` makes of the object in a file; None if there is none, or it cannot be read. Blocks."""
    try:
        with file.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
        document = json.loads(content) if len(content) <= _MOST_BYTES else None
        if not isinstance(document, dict):
            raise TypeError("it holds no JSON object")
        return read(document)
    except FileNotFoundError:
        return None
    except (AwsacError, OSError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        _log.warning("%s cannot be read, and is passed over: %s", file, describe(error))
    except RecursionError:
        _log.warning("%s cannot be read, and is passed over: it holds brackets within brackets", file)
    return None


def natural(value: object) -> int:
    """Return a number from 0 on as JSON has it; raises ValueError."""
    if not is_integer(value, least=0, most=_MOST):
        raise ValueError(f"{shown(str(value))} is no number from 0 on")
    return cast("int", value)
