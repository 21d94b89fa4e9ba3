r"""What jobs print, on its way to a terminal: everything is seen, and nothing is obeyed but colours.

Owns which bytes a terminal may get. A job can print what moves the cursor, clears the screen, sets the title, answers
for the user or turns the direction of writing; each such character is shown as ``\x1b`` instead. Colours (SGR) stay,
and end with the line or the text. Bytes may come in any pieces: what is not whole yet waits.
"""

import codecs
import re
import sys
from typing import TextIO

from awsac_async.session.wording import printable

_COLOUR = re.compile(r"\x1b\[[0-9;:]{0,32}m")
_BEGUN = re.compile(r"\x1b(\[[0-9;:]{0,32})?\Z")  # of what may become a colour
_RESET = "\x1b[0m"
_ENDS_COLOURS = re.compile(r"\x1b\[0*m\Z")
_KEPT = frozenset("\n\t ")


class Harmless:
    """One text in pieces, whose lines may end in any way; ``encoding`` is the terminal's."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._waiting = ""
        self._coloured = False

    def add(self, data: bytes) -> bytes:
        """Return what can be shown now."""
        return self._encoded(self._shown(self._decoder.decode(data)))

    def rest(self) -> bytes:
        """Return what has waited, and end its colours: at the end."""
        text = self._shown(self._decoder.decode(b"", final=True)) + printable(self._waiting.replace("\r", ""))
        self._waiting = ""
        if self._coloured:
            text, self._coloured = text + _RESET, False
        return self._encoded(text)

    def _shown(self, new: str) -> str:
        text = self._waiting + new
        begun = _BEGUN.search(text)
        # A carriage return waits for a newline, with which it is one end of a line. Alone it is one, too: a progress
        # bar would else write over what was there.
        cut = begun.start() if begun else len(text) - text.endswith("\r")
        text, self._waiting = text[:cut].replace("\r\n", "\n").replace("\r", "\n"), text[cut:]
        shown, place = [], 0
        for colour in _COLOUR.finditer(text):
            shown += [_escaped(text[place : colour.start()]), colour[0]]
            self._coloured = not _ENDS_COLOURS.search(colour[0])
            place = colour.end()
        return "".join([*shown, _escaped(text[place:])])

    def _encoded(self, text: str) -> bytes:
        return text.encode(self._encoding, errors="backslashreplace")


def harmless_line(line: bytes, encoding: str = "utf-8") -> bytes:
    """Return one line, without its end, as a terminal may get it: as one line, whatever it holds."""
    text = Harmless(encoding)
    return text.add(line.removesuffix(b"\r").replace(b"\r", rb"\x0d")) + text.rest()


def harmless_text(text: str, encoding: str) -> str:
    """Return a whole text as a terminal may get it."""
    shown = Harmless(encoding)
    return (shown.add(text.encode(errors="surrogateescape")) + shown.rest()).decode(encoding)


def terminal_encoding(stream: TextIO | None = None) -> str | None:
    """Return the encoding of standard output, or of another stream, if that is a terminal; else None."""
    stream = stream or sys.stdout
    return stream.encoding if stream.isatty() else None


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(each if each in _KEPT else printable(each) for each in text)
