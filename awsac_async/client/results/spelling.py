"""How the key of an object becomes the name of a file, whatever somebody has put into the bucket.

Owns the spelling. A name that is good stays itself. Of another one the characters that make it odd, or its first one if
it is taken, are written as the bytes of their UTF-8, ``%2F`` for a slash, as in addresses of the web; so it can be read
back (`read_back`), and no two names become one, not even on a disk that does not tell capitals or forms of accents
apart. Only of a name that is too long for a file the middle is lost: ``%-`` and digits of its SHA-256 stand there.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable
from urllib.parse import unquote

MOST_BYTES = 255  # of a name, on every file system of Linux
_HEAD, _TAIL, _DIGITS = 120, 60, 32  # bytes of a name that is too long, and of its SHA-256, that are kept
_MOST_TIMES = 20
_SPELLED = re.compile(r"%([0-9A-F]{2}|-)")
_JOINERS = "\u200c\u200d"  # parts of words and of emoji; all else without a shape is not seen, or turns what follows


def spell(name: str, *, is_taken: Callable[[str], bool], is_reserved: Callable[[str], bool]) -> str | None:
    """Return the name of the file for a name from a key; None if there is none for it.

    Args:
        name: what identifies the object.
        is_taken: whether a file of that name would be another object's.
        is_reserved: whether files of that name are not for objects.
    """
    sparing = _sparingly(name, is_reserved)
    candidates = (sparing, _first(sparing), _bytes(name))
    return next((each for each in map(_fitting, candidates) if each and not is_taken(folded(each))), None)


def read_back(name: str) -> str:
    """Return the name from which the name of a file was made, unless its middle is lost."""
    original = unquote(name, errors="surrogateescape")
    sparing = _sparingly(original, lambda _: False)
    return original if name in (sparing, _first(sparing), _bytes(original)) else name


def folded(name: str) -> str:
    """Return what two names have in common that are one on a disk that tells neither capitals nor accents apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _sparingly(name: str, is_reserved: Callable[[str], bool]) -> str:
    """Spell only what must not stand in a name."""
    if name in {"", ".", ".."}:
        return name.replace(".", "%2E")
    looks_spelled = bool(_SPELLED.search(name)) and (_is_lost(name) or read_back(name) != name)
    spelled = "".join(
        _bytes(each) if _is_odd(each) or (looks_spelled and each == "%") or (each == "-" and not place) else each
        for place, each in enumerate(name)
    )
    return _first(name) if spelled == name and is_reserved(name) else spelled


def _is_lost(name: str) -> bool:
    """Whether a name looks like one without its middle, or was spelled more often than anybody does."""
    return "%-" in name or name.count("%25") > _MOST_TIMES


def _first(name: str) -> str:
    return _bytes(name[:1]) + name[1:]


def _is_odd(character: str) -> bool:
    category = unicodedata.category(character)
    return character == "/" or category in {"Cc", "Cs", "Zl", "Zp"} or (category == "Cf" and character not in _JOINERS)


def _bytes(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode(errors="surrogateescape"))


def _fitting(name: str) -> str:
    raw = name.encode(errors="surrogateescape")
    if len(raw) <= MOST_BYTES:
        return name
    digits = hashlib.sha256(raw).hexdigest()[:_DIGITS]
    return f"{raw[:_HEAD].decode(errors='ignore')}%-{digits}{raw[-_TAIL:].decode(errors='ignore')}"
