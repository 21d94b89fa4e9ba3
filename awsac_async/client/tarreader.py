"""Reads a tar file that a stranger made: one member after the other, once, within bounds, and with names as bytes.

Exists beside ``tarfile``, which keeps all members in memory, reads maps of holes without end, differs from Python to
Python in what it refuses, and loses its place behind a sparse file of 8 GiB. Knows the forms of POSIX (ustar, pax) and
of GNU, and all four maps of holes. Decides nothing about what may be unpacked.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import IO

_BLOCK = 512
_END = bytes(_BLOCK)
_PIECE = 1 << 16  # bytes of a file that are read at once, all of which are lost where a stream is cut off
_MOST_HEADER = 1 << 20  # bytes of a name, or of the records of pax
_MOST_SIZE = (1 << 63) - 1  # of a file, as the system has it
_MOST_EXTENTS = 1 << 18  # of a file with holes; more are damage, or an attack on the memory
_SPARSE_ENTRY = 24  # bytes: offset and size, twelve octal digits each
_NUMBER = re.compile(rb"[0-9]{1,19}")


class TarError(Exception):
    """The rest of the tar file cannot be read; the text says why, without a subject."""


class MemberKind(Enum):
    """What a member is."""

    FILE = "file"
    FOLDER = "folder"
    SYMBOLIC_LINK = "symbolic link"
    HARD_LINK = "hard link"
    OTHER = "device or special file"


@dataclass(frozen=True, kw_only=True, slots=True)
class TarMember:
    """A member as its headers say it is; nothing of it is checked against what a file system takes.

    ``size`` is that of the file when it is unpacked, ``stored`` that of its data without holes. ``fault`` says why its
    content cannot be read, if it cannot.
    """

    name: bytes
    kind: MemberKind
    executable: bool = False
    size: int = 0
    stored: int = 0
    link: bytes = b""
    fault: str = ""


_KINDS: Mapping[bytes, MemberKind] = {
    b"0": MemberKind.FILE,
    b"\0": MemberKind.FILE,
    b"7": MemberKind.FILE,
    b"S": MemberKind.FILE,
    b"1": MemberKind.HARD_LINK,
    b"2": MemberKind.SYMBOLIC_LINK,
    b"3": MemberKind.OTHER,
    b"4": MemberKind.OTHER,
    b"5": MemberKind.FOLDER,
    b"6": MemberKind.OTHER,
}
_WITHOUT_CONTENT = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})
_LONG: Mapping[bytes, bytes] = {b"L": b"path", b"K": b"linkpath"}  # of GNU, and as pax has them
_Extents = Sequence[tuple[int, int]]
_Records = Sequence[tuple[bytes, bytes]]


class TarReader:
    """The members of a stream; ``read`` counts what came of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._extents: _Extents = ()
        self._left = 0  # stored bytes of the member that nobody has asked for
        self._padding = 0
        self._global: dict[bytes, bytes] = {}
        self.read = 0

    def next(self) -> TarMember | None:
        """Return the next member, or None at the mark of the end, behind which the stream has been read to its end.

        Raises:
            TarError: the stream is damaged, or ends before that mark.
        """
        self._skip(self._left + self._padding)
        self._left, self._padding, self._extents = 0, 0, ()
        records = [*self._global.items()]
        while True:
            header = self._take(_BLOCK)
            if header == _END:
                self._drain()
                return None
            flag, size = _checked(header)
            if flag == b"x":
                records += _records(self._content(size))
            elif flag == b"g":
                self._global |= dict(_records(self._content(size)))
            elif flag in _LONG:
                records.append((_LONG[flag], self._content(size).rstrip(b"\0")))
            else:
                return self._member(header, flag, size, records)

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """Yield the content of the member that was returned last: where in the file, and which bytes; holes are none.

        Raises:
            TarError: the stream is damaged, or ends within it.
        """
        for start, size in self._extents:
            offset = start
            while offset < start + size:
                piece = self._take(min(_PIECE, start + size - offset))
                self._left -= len(piece)
                yield offset, piece
                offset += len(piece)

    def _member(self, header: bytes, flag: bytes, size: int, records: _Records) -> TarMember:
        pax = dict(records)
        kind = _KINDS.get(flag, MemberKind.OTHER)
        name = pax.get(b"GNU.sparse.name") or pax.get(b"path") or _name(header)
        link = pax.get(b"linkpath") or _text(header[157:257])
        if kind is MemberKind.FILE and flag == b"\0" and name.endswith(b"/"):  # of before 1988
            kind, flag = MemberKind.FOLDER, b"5"
        if flag in _WITHOUT_CONTENT:
            return TarMember(name=name, kind=kind, link=link)
        real, fault = size, ""
        try:
            real = size = _decimal(pax.get(b"size", b"%d" % size))
        except ValueError:
            raise TarError("is damaged: a member has a size that is none") from None
        self._left, self._padding = size, -size % _BLOCK
        try:
            real, self._extents = self._holes(header, flag, records, size)
        except ValueError:
            fault = "its map of holes is damaged"
        stored = sum(length for _, length in self._extents)
        executable = bool(_octal(header[100:108]) & 0o100)
        return TarMember(name=name, kind=kind, executable=executable, size=real, stored=stored, fault=fault)

    def _holes(self, header: bytes, flag: bytes, records: _Records, size: int) -> tuple[int, _Extents]:
        """Return the size of a file, and where in it what is stored belongs; raises ValueError."""
        pax = dict(records)
        numbers: list[int]
        if flag == b"S":
            real, numbers = _octal(header[483:495]), self._old_map(header)
        elif b"GNU.sparse.map" in pax:
            real = _decimal(pax.get(b"GNU.sparse.size", b""))
            numbers = [_decimal(each) for each in filter(None, pax[b"GNU.sparse.map"].split(b","))]
        elif pax.get(b"GNU.sparse.major") == b"1":
            real, numbers = _decimal(pax.get(b"GNU.sparse.realsize", b"")), self._map_before_data()
        elif b"GNU.sparse.size" in pax:
            real = _decimal(pax[b"GNU.sparse.size"])
            numbers = [_decimal(text) for key, text in records if key in _OF_A_MAP]
        else:
            return size, [(0, size)]
        extents, end = list(zip(numbers[::2], numbers[1::2], strict=True)), 0
        for offset, length in extents:
            if offset < end:
                raise ValueError(offset)
            end = offset + length
        if end > real or len(extents) > _MOST_EXTENTS or sum(length for _, length in extents) > self._left:
            raise ValueError(end)
        return real, extents

    def _old_map(self, header: bytes) -> list[int]:
        """Return the numbers of the map in the header of a sparse file of GNU, and in the blocks behind it."""
        numbers, goes_on = _entries(header[386:482]), header[482]
        while goes_on:
            block = self._take(_BLOCK)
            numbers += _entries(block[:504])
            goes_on = block[504]
            if len(numbers) > 2 * _MOST_EXTENTS:
                raise TarError("has a file with too many holes")
        return numbers

    def _map_before_data(self) -> list[int]:
        """Return the numbers of the map that stands in the blocks before the data: how many, then each on a line."""
        text, numbers = b"", list[int]()
        while not numbers or len(numbers) <= 2 * numbers[0]:
            if self._left < _BLOCK or len(text) > _BLOCK or len(numbers) > 2 * _MOST_EXTENTS:
                raise ValueError(numbers[:1])
            *lines, text = (text + self._take(_BLOCK)).split(b"\n")
            self._left -= _BLOCK
            numbers += map(_decimal, lines[: 1 + 2 * numbers[0] - len(numbers)] if numbers else lines[:1])
            if len(numbers) == 1:
                numbers += map(_decimal, lines[1 : 1 + 2 * numbers[0]])
        return numbers[1:]

    def _content(self, size: int) -> bytes:
        """Return what a header says of the member behind it."""
        if size > _MOST_HEADER:
            raise TarError(f"has a header of {size} bytes")
        return self._take(size + -size % _BLOCK)[:size]

    def _take(self, size: int) -> bytes:
        """Return exactly so many bytes."""
        data = self._read(size)
        while len(data) < size:
            more = self._read(size - len(data))
            if not more:
                raise TarError("is cut off" if self.read else "is empty")
            data += more
        return data

    def _skip(self, size: int) -> None:
        while size:
            size -= len(self._take(min(_PIECE, size)))

    def _drain(self) -> None:
        """Read what is left: the checksum of a compression stands at its very end."""
        while self._read(_PIECE):
            pass

    def _read(self, size: int) -> bytes:
        try:
            data = self._stream.read(size)
        except EOFError:
            raise TarError("is cut off") from None
        except OSError as error:
            raise TarError(f"cannot be read ({(error.strerror or str(error)).lower()})") from None
        self.read += len(data)
        return data


_OF_A_MAP = {b"GNU.sparse.offset", b"GNU.sparse.numbytes"}


def _checked(header: bytes) -> tuple[bytes, int]:
    """Return the kind and the stored size of a header that has the right checksum."""
    found = sum(header) - sum(header[148:156]) + 8 * 0x20
    if _octal(header[148:156]) != found:
        raise TarError("is damaged: a header has another checksum")
    return header[156:157], _octal(header[124:136])


def _name(header: bytes) -> bytes:
    name = _text(header[:100])
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _octal(field: bytes) -> int:
    """Read a number of a header: octal digits, or after a byte 0x80 as large as one likes."""
    if field[0] & 0x80:
        number = int.from_bytes(field[1:], "big") if field[0] == 0x80 else _MOST_SIZE + 1
    else:
        digits = field.strip(b" \0")
        if digits and not re.fullmatch(rb"[0-7]+", digits):
            raise TarError("is damaged: a header has a number that is none")
        number = int(digits or b"0", 8)
    if number > _MOST_SIZE:
        raise TarError("is damaged: a header has a number that is too large")
    return number


def _decimal(text: bytes) -> int:
    if not _NUMBER.fullmatch(text) or (number := int(text)) > _MOST_SIZE:
        raise ValueError(text[:20])
    return number


def _entries(table: bytes) -> list[int]:
    """Return the numbers of a map in octal digits, up to the first entry that is empty."""
    numbers: list[int] = []
    for start in range(0, len(table) - _SPARSE_ENTRY + 1, _SPARSE_ENTRY):
        entry = table[start : start + _SPARSE_ENTRY]
        if not entry[0]:
            break
        numbers += [_octal(entry[:12]), _octal(entry[12:])]
    return numbers


def _records(content: bytes) -> list[tuple[bytes, bytes]]:
    """Read the records of pax: the length of each, its key and its value."""
    found, start = [], 0
    while start < len(content) and content[start]:
        digits, space, _ = content[start : start + 20].partition(b" ")
        length = int(digits) if space and digits.isdigit() else 0
        record = content[start : start + length]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if not equals or not record.endswith(b"\n") or len(record) < length:
            raise TarError("is damaged: a header has a record that is none")
        found.append((key, value))
        start += length
    return found
