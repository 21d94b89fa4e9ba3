"""The body of a request, checked against what its headers say of it while the service reads it.

An object may be larger than the memory: it passes through in pieces, and what is wrong with it is raised out of the
read that would have returned its last piece, before the service has done anything. Owns the form in which S3's clients
send what they know no digest of (``aws-chunked``), with or without signatures: the service gets plain content.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
"""

import base64
import hashlib
import hmac
import io
import zlib
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

from awsac_async.local.faults.answers import Refusal
from awsac_async.local.iam.signatures import UNSIGNED, Version4, is_digest

LARGEST = 5 << 30  # bytes: what S3 takes in one request
CHUNKED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
CHUNKED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMS = (CHUNKED, CHUNKED_TRAILER, UNSIGNED_TRAILER)
_PIECE = 256 * 1024  # bytes
_LONGEST_LINE = 4096  # bytes, of what stands between chunks
_MOST_TRAILERS = 8
_EMPTY = hashlib.sha256().hexdigest()


class BodyError(Exception):
    """A body that is not what its headers say."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.refusal = Refusal(code=code, status=status, message=message)


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


_CHECKSUMS: dict[str, Callable[[], _Hash]] = {"crc32": _Crc32, "sha1": hashlib.sha1, "sha256": hashlib.sha256}


@dataclass(frozen=True, kw_only=True)
class _Check:
    """A sum that the whole content must have."""

    made: _Hash
    expected: bytes
    error: BodyError


def content_length(environ: MutableMapping[str, Any]) -> int | None:
    """Return how long the body is; None if it says so itself, piece by piece.

    Raises:
        BodyError: it is no length.
    """
    if environ.get("wsgi.input_terminated"):
        return None
    text = str(environ.get("CONTENT_LENGTH") or "0")
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BodyError("InvalidRequest", "Content-Length must be a number of bytes")
    return int(text)


def check(environ: MutableMapping[str, Any], *, signature: Version4 | None, secret: str) -> None:
    """Put before the body of an S3 request what checks it, whole or chunk by chunk.

    Raises:
        BodyError: the headers say nothing that a body could be.
    """
    said = signature.digest if signature else UNSIGNED
    length, checks = content_length(environ), _checks(environ)
    if said in STREAMS and signature:
        length = _decoded_length(environ)
        chunks = _Chunks(environ, length, None if said == UNSIGNED_TRAILER else signature, secret)
        pieces = chunks.pieces()
        environ["HTTP_X_AMZ_CONTENT_SHA256"] = UNSIGNED
        encodings = [each.strip() for each in str(environ.get("HTTP_CONTENT_ENCODING", "")).split(",")]
        if kept := [each for each in encodings if each not in {"", "aws-chunked"}]:
            environ["HTTP_CONTENT_ENCODING"] = ",".join(kept)
        else:
            environ.pop("HTTP_CONTENT_ENCODING", None)
        environ["wsgi.input_terminated"] = False
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ["CONTENT_LENGTH"] = str(length)
    elif said == UNSIGNED or is_digest(said):
        if said != UNSIGNED:
            mismatch = BodyError(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )
            checks.append(_Check(made=hashlib.sha256(), expected=bytes.fromhex(said), error=mismatch))
        pieces = plain(environ["wsgi.input"], LARGEST + 1 if length is None else length, exact=length is not None)
    else:
        raise BodyError(
            "InvalidArgument",
            f"x-amz-content-sha256 must be {', '.join((UNSIGNED, *STREAMS))} or a valid sha256 value.",
        )
    if length is not None and length > LARGEST:
        raise BodyError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
    environ["wsgi.input"] = io.BufferedReader(_Stream(_checked(pieces, checks)), _PIECE)


def _decoded_length(environ: MutableMapping[str, Any]) -> int:
    text = str(environ.get("HTTP_X_AMZ_DECODED_CONTENT_LENGTH", ""))
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BodyError("MissingContentLength", "You must provide the x-amz-decoded-content-length.", status=411)
    return int(text)


def _checks(environ: MutableMapping[str, Any]) -> list[_Check]:
    """Return the sums that headers speak of, as far as they can be computed here."""
    found = []
    if text := environ.get("HTTP_CONTENT_MD5"):
        sums = _sum(str(text), 16, "InvalidDigest", "The Content-MD5 you specified is not valid.")
        error = BodyError("BadDigest", "The Content-MD5 you specified did not match what we received.")
        found.append(_Check(made=hashlib.md5(), expected=sums, error=error))  # noqa: S324  what S3 has
    for name, make in _CHECKSUMS.items():
        if text := environ.get(f"HTTP_X_AMZ_CHECKSUM_{name.upper()}"):
            found.append(_check_of(name, str(text), make()))
    return found


def _check_of(name: str, text: str, made: _Hash) -> _Check:
    expected = _sum(text, len(_CHECKSUMS[name]().digest()), "InvalidRequest",
                    f"Value for x-amz-checksum-{name} header is invalid.")  # fmt: skip
    message = f"The {name.upper()} you specified did not match the calculated checksum."
    return _Check(made=made, expected=expected, error=BodyError("BadDigest", message))


def _sum(text: str, size: int, code: str, message: str) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except ValueError:
        found = b""
    if len(found) != size:
        raise BodyError(code, message)
    return found


def plain(stream: Any, length: int, *, exact: bool = True) -> Iterator[bytes]:
    """Yield what a stream has, up to a length; ``exact``: raise BodyError if that is less."""
    left = length
    while left > 0 and (piece := _read(stream, min(left, _PIECE))):
        left -= len(piece)
        yield piece
    if exact and left:
        raise _incomplete()


def _read(stream: Any, size: int) -> bytes:
    try:
        return bytes(stream.read(size))
    except OSError as error:  # chunks of the connection that are none
        if isinstance(error, ConnectionError | TimeoutError):
            raise
        raise _incomplete() from error


def _incomplete() -> BodyError:
    return BodyError(
        "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header"
    )


def _checked(pieces: Iterator[bytes], checks: list[_Check]) -> Iterator[bytes]:
    """Yield the pieces, the last one only when the whole is what it should be."""
    last, total = b"", 0
    for piece in pieces:
        if (total := total + len(piece)) > LARGEST:
            raise BodyError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
        for each in checks:
            each.made.update(piece)
        if last:
            yield last
        last = piece
    for each in checks:
        if not hmac.compare_digest(each.made.digest(), each.expected):
            raise each.error
    yield last


class _Stream(io.RawIOBase):
    """Pieces as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end."""
        if not self._rest:
            self._rest = next((piece for piece in self._pieces if piece), b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


class _Chunks:
    """The chunks of one body."""

    def __init__(self, environ: MutableMapping[str, Any], length: int, signature: Version4 | None, secret: str) -> None:
        """``signature`` is that of the request, if the chunks are signed as well."""
        self._environ, self._left = environ, length
        self._stream = environ["wsgi.input"]
        self._raw = content_length(environ)  # bytes that are left on the connection
        self._signature, self._key = signature, signature.key(secret) if signature else b""
        self._last = signature.signature if signature else ""
        self._sums = {name: make() for name, make in _CHECKSUMS.items()}

    def pieces(self) -> Iterator[bytes]:
        """Yield the content."""
        while size := self._begin():
            if size > self._left:
                raise _incomplete()
            self._left -= size
            content = hashlib.sha256()
            while size:
                piece = self._take(min(size, _PIECE))
                size -= len(piece)
                content.update(piece)
                for each in self._sums.values():
                    each.update(piece)
                yield piece
            if self._take(2) != b"\r\n":
                raise _incomplete()
            self._verify(content.hexdigest())
        self._verify(_EMPTY)
        if self._left:
            raise _incomplete()
        self._end()

    def _begin(self) -> int:
        """Read the line before a chunk; return the chunk's size."""
        line = self._line()
        size, _, rest = line.partition(b";")
        if not 1 <= len(size) <= 16 or not all(each in b"0123456789abcdefABCDEF" for each in size):
            raise _incomplete()
        self._claimed = rest.removeprefix(b"chunk-signature=").decode("latin-1") if rest else ""
        return int(size, 16)

    def _verify(self, digest: str) -> None:
        if self._signature:
            self._last = self._expect(self._signature, self._claimed, "PAYLOAD", _EMPTY, digest)

    def _expect(self, signature: Version4, claimed: str, what: str, *digests: str) -> str:
        """Return the next signature, which must be the claimed one."""
        parts = [f"AWS4-HMAC-SHA256-{what}", signature.date, "/".join(signature.scope), self._last, *digests]
        made = hmac.digest(self._key, "\n".join(parts).encode("latin-1"), "sha256").hex()
        if not hmac.compare_digest(made.encode(), claimed.encode("latin-1", "replace")):
            message = "The request signature we calculated does not match the signature you provided."
            raise BodyError("SignatureDoesNotMatch", message, status=403)
        return made

    def _end(self) -> None:
        """Read what follows the last chunk: sums of the content, and their signature."""
        trailers: dict[str, str] = {}
        while line := self._line(at_end=True):
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or len(trailers) == _MOST_TRAILERS:
                raise BodyError("MalformedTrailerError", "The request contained trailing data that was not well-formed")
            trailers[name.strip().lower()] = value.strip()
        claimed = trailers.pop("x-amz-trailer-signature", "")
        if self._signature and self._signature.digest == CHUNKED_TRAILER:
            text = "".join(f"{name}:{value}\n" for name, value in trailers.items())
            digest = hashlib.sha256(text.encode("latin-1")).hexdigest()
            self._last = self._expect(self._signature, claimed, "TRAILER", digest)
        for name, value in trailers.items():
            kind = name.removeprefix("x-amz-checksum-")
            if kind in _CHECKSUMS:
                each = _check_of(kind, value, self._sums[kind])
                if each.made.digest() != each.expected:
                    raise each.error
            if name.startswith("x-amz-checksum-"):
                self._environ[f"HTTP_{name.upper().replace('-', '_')}"] = value  # where the service looks for it

    def _line(self, *, at_end: bool = False) -> bytes:
        if at_end and self._raw == 0:
            return b""
        try:
            line = bytes(self._stream.readline(_LONGEST_LINE if self._raw is None else min(_LONGEST_LINE, self._raw)))
        except OSError as error:
            if isinstance(error, ConnectionError | TimeoutError):
                raise
            raise _incomplete() from error
        self._took(len(line))
        if not line.endswith(b"\n") and not at_end:
            raise _incomplete()
        return line.rstrip(b"\r\n")

    def _take(self, size: int) -> bytes:
        if self._raw is not None and size > self._raw:
            raise _incomplete()
        piece = _read(self._stream, size)
        self._took(len(piece))
        if not piece:
            raise _incomplete()
        return piece

    def _took(self, size: int) -> None:
        if self._raw is not None:
            self._raw -= size
