"""An HTTP proxy, and a bare S3 behind TLS with a certificate authority made for it, both on 127.0.0.1.

The proxy stands for the network: it leads every host name to the server that it was made for, so that a request that
reaches the server under a name that does not exist came by way of it.
"""

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LONGEST_HEAD = 1 << 16


@dataclass(kw_only=True)
class HttpProxy:
    """A proxy for plain requests and for CONNECT: its address, and the first lines of what it was asked.

    ``refusal`` is what it answers instead of doing it: ``407 Proxy Authentication Required``.
    """

    address: str = ""
    asked: list[str] = field(default_factory=list)
    refusal: str = ""


@contextmanager
def http_proxy(target: str) -> Iterator[HttpProxy]:
    """Run a proxy that leads to one server (``host:port``), whatever host it is asked for."""
    proxy = HttpProxy()
    host, _, port = target.partition(":")

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            client: socket.socket = self.request
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(4096)
                if not piece or len(head) > _LONGEST_HEAD:
                    return
                head += piece
            line, _, rest = head.partition(b"\r\n")
            proxy.asked.append(line.decode("latin-1"))
            if proxy.refusal:
                client.sendall(f"HTTP/1.1 {proxy.refusal}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                return
            with socket.create_connection((host, int(port))) as server:
                if line.startswith(b"CONNECT "):
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    method, url, version = line.split(b" ")
                    path = b"/" + url.partition(b"://")[2].partition(b"/")[2]
                    server.sendall(b" ".join([method, path, version]) + b"\r\nConnection: close\r\n" + rest)
                _relay(client, server)

    with _serving(ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port_of_proxy:
        proxy.address = f"127.0.0.1:{port_of_proxy}"
        yield proxy


def _relay(client: socket.socket, server: socket.socket) -> None:
    """Pass bytes on in both directions until both are done."""

    def forward(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(1 << 16):
                sink.sendall(piece)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    upward = threading.Thread(target=forward, args=(client, server), daemon=True)
    upward.start()
    forward(server, client)
    with suppress(OSError):
        client.shutdown(socket.SHUT_RD)
    upward.join()


class _BareS3(BaseHTTPRequestHandler):
    """Has every bucket, and takes every object."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        for name, value in {"ETag": '"00"', "x-amz-request-id": "1", "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    do_HEAD = do_PUT = do_GET = answer  # noqa: N815  http.server wants these

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that do not trust the certificate."""


@contextmanager
def bare_s3(certificate: Path | None = None) -> Iterator[str]:
    """Run a server that takes all that S3 is asked (``host:port``), with TLS if it has a certificate."""
    server = _QuietServer(("127.0.0.1", 0), _BareS3)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with _serving(server) as port:
        yield f"127.0.0.1:{port}"


@contextmanager
def _serving(server: ThreadingTCPServer | ThreadingHTTPServer) -> Iterator[int]:
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_authority(folder: Path, *names: str) -> tuple[Path, Path]:
    """Make a certificate authority, and a server's certificate with its key for these names; returns their files."""
    now = datetime.datetime.now(datetime.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
    made = []
    for key, subject in zip(keys, (authority, x509.Name([])), strict=True):
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=subject is authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False)
        )
        if subject is not authority:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=True)
        made.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    secret = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "authority.pem").write_bytes(made[0])
    (folder / "server.pem").write_bytes(secret + made[1])
    return folder / "authority.pem", folder / "server.pem"
