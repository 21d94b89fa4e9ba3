"""No credential in any text that leaves the process: logs, reasons, sentences for a person.

Owns which values are secret and what secrets look like where their value is not known. A value is made known when it
is obtained and stays so: what was rotated away may still stand in an old error. Must never keep a text, nor tell a
value to anybody.
"""

import json
import re
import threading
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"
# Of access key IDs, https://docs.aws.amazon.com/IAM/latest/APIReference/API_AccessKey.html. A shorter value cannot be a
# credential of AWS; the placeholders that local endpoints accept, like "test", are words of any text.
_SHORTEST = 16

# The names under which credentials go over the wire, stand in files, and are printed by SDKs.
_NAMES = r"""
    aws_?access_?key_?id | access_?key_?id | aws_?secret_?access_?key | secret_?access_?key | secret_?key |
    aws_?session_?token | aws_?security_?token | session_?token | security_?token |
    x-amz-security-token | x-amz-signature | x-amz-credential | x-aws-ec2-metadata-token |
    signature | credential
"""
_SEPARATOR = r"""\\? ["']? \s* (?: [=:] | %3[dD] | => ) \s* b? \\? ["']?"""
_SHAPES = (
    # Of a header Authorization all that belongs to it: up to the end of its quotes, or of the line.
    re.compile(rf"""(?ix) (?P<name> (?<![\w-]) (?:proxy-)? authorization {_SEPARATOR} ) (?P<value> [^"'\r\n|<>]+ )"""),
    re.compile(rf"""(?ix) (?P<name> (?<![a-z]) (?: {_NAMES} ) {_SEPARATOR} ) (?P<value> [^\s"'&;,<>\\(){{}}|]+ )"""),
    # "Token" is a name of many things; as a key of JSON, of Python or of XML it holds that of a role.
    re.compile(r"""(?x) (?P<name> \\? ["'] (?i:token) \\? ["'] \s* : \s* \\? ["'] ) (?P<value> [^"'\\]+ )"""),
    re.compile(rf"""(?ix) (?P<name> < (?: {_NAMES} | token ) > ) (?P<value> [^<]+ )"""),
    re.compile(r"""(?x) (?P<name>) (?P<value> (?<![A-Z0-9]) (?: AKIA | ASIA ) [A-Z0-9]{12,} )"""),
)


class Redactor:
    """Replaces credentials in texts; may be used by any thread."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._known: re.Pattern[str] | None = None
        self._learning = threading.Lock()

    def know(self, *values: str | None) -> None:
        """Remember secret values for as long as the process lives."""
        new = {value for value in values if value and len(value) >= _SHORTEST} - self._forms
        with self._learning:
            if new:
                self._forms |= {form for value in new for form in _forms(value)}
                longest_first = sorted(self._forms, key=len, reverse=True)
                self._known = re.compile("|".join(re.escape(form) for form in longest_first))

    def redact(self, text: str) -> str:
        """Return the text without known values, in whatever way they are quoted, and without what looks like one."""
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
        for shape in _SHAPES:
            text = shape.sub(rf"\g<name>{REDACTED}", text)
        return text


def _forms(value: str) -> Iterator[str]:
    """Yield a value as it stands in plain text and XML, in addresses and forms, and in JSON."""
    for quoted in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield quoted
        yield re.sub("%..", lambda found: found[0].lower(), quoted)
    in_json = json.dumps(value)[1:-1]
    yield from (value, in_json, in_json.replace("/", r"\/"))


secrets = Redactor()
"""What this process knows. One for all: whoever writes a log must not have to know who obtained the credentials."""
