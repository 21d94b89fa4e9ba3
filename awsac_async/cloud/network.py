"""The way to the services: which proxy leads there, and whose certificates are trusted, for both libraries alike.

Owns the rules, which are those of every AWS tool: HTTPS_PROXY and HTTP_PROXY (in small letters too) unless NO_PROXY
names the host; AWS_CA_BUNDLE, the profile's ``ca_bundle``, REQUESTS_CA_BUNDLE, SSL_CERT_FILE. Remembers which proxies
this process goes by, so that what went wrong on the way can name them; never a password of theirs.
"""

import os
import re
import ssl
from typing import Any
from urllib.parse import urlsplit

from awsac_async.session.errors import InputError

_BUNDLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
_PROXY = re.compile(
    r"(?:https?://)?(?:[^@/\s]*@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(?P<port>\d{1,5}))?/?"
)
_in_use: set[str] = set()


def proxy_for(url: str) -> str | None:
    """Return the proxy by which an address is asked, with its password, if there is one; None: it is asked directly.

    Raises:
        InputError: what should name the proxy does not.
    """
    from botocore.utils import get_environ_proxies  # the SDK's session has imported it

    scheme = urlsplit(url).scheme
    proxy = str(get_environ_proxies(url).get(scheme) or "")
    if not proxy:
        return None
    found = _PROXY.fullmatch(proxy)
    if found is None:
        raise InputError(
            f"the variable {scheme.upper()}_PROXY does not name a proxy that awsac can use: "
            "expected an address like http://proxy.example:3128"
        )
    _in_use.add(found["host"] + (f":{found['port']}" if found["port"] else ""))
    return proxy if "://" in proxy else f"http://{proxy}"


def forget_proxies() -> None:
    """Let what goes wrong from now on name only those that are used from now on."""
    _in_use.clear()


def by_way_of() -> str:
    """Return the end of a sentence that names the proxies of this process; "" if there is none."""
    return f", by way of the proxy {' or '.join(sorted(_in_use))}" if _in_use else ""


def proxies_in_words() -> str:
    """Return the proxies of this process, as a subject."""
    return f"the proxy {' or '.join(sorted(_in_use))}" if _in_use else "the proxy"


def certificates(session: Any) -> str | None:
    """Return the file of certificates that is trusted instead of the usual ones; None: the usual ones are."""
    bundle = session.get_config_variable("ca_bundle") or next(filter(None, map(os.environ.get, _BUNDLES)), None)
    return str(bundle) if bundle else None


def check_certificates(bundle: str) -> None:
    """Raise InputError if a file holds no certificates: the libraries would say so in words of their own."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(bundle)
    except OSError as error:  # also that there is none in it
        found = "no certificate" if isinstance(error, ssl.SSLError) else str(error.strerror).lower()
        raise InputError(
            f"{bundle}: found {found}, expected certificates in PEM, as AWS_CA_BUNDLE, ca_bundle in a profile, "
            f"{' or '.join(_BUNDLES)} name them"
        ) from error
