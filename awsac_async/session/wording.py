"""How texts are put for a person: words that depend on a number, texts of strangers made harmless, long ones cut."""

from pathlib import Path

MOST_SENTENCE = 400  # characters of a sentence about what went wrong
_MOST_OF_PATH = 120  # characters of a path in one
_CUT = " … "


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun, and what agrees with it: "1 instance runs", "2 files"."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def shown_size(size: int) -> str:
    """Return bytes in the unit in which they are read best: "812 bytes", "3.4 MB"."""
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if size >= 1000**power:
            return f"{size / 1000**power:.1f} {unit}"
    return counted(size, "byte")


def printable(text: str) -> str:
    r"""Return a text of a stranger as one line that a terminal shows and does not obey.

    Characters that are not printable, the marks of writing direction and line ends among them, become ``\x1b`` or
    ``\u202e``; bytes of names that are no UTF-8, ``\xff``.
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python spells a byte that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def clipped(text: str, most: int = MOST_SENTENCE) -> str:
    """Return a text that is cut in its middle if it is longer: both ends say more than what is between them."""
    if len(text) <= most:
        return text
    kept = most - len(_CUT)
    tail = kept // 3
    return text[: kept - tail] + _CUT + text[len(text) - tail :]


def clipped_path(path: Path) -> str:
    """Return a path that is cut in its middle if it is too long for a sentence."""
    return clipped(str(path), _MOST_OF_PATH)
