"""The program that a profile names as ``credential_process``, run within bounds.

botocore runs it as long as it likes and reads all that it prints into memory. Here it has a minute, as with AWS's SDK
for Go, and a megabyte. It keeps the terminal: it may ask a person.
"""

import contextlib
import os
import selectors
import subprocess
import time
from collections.abc import Sequence
from typing import IO, Any

from awsac_async.session.errors import CredentialsError

SECONDS = 60.0
_MOST_BYTES = 1 << 20
_MOST_SAID = 300  # bytes of standard error that are of use in a sentence
_PIECE = 1 << 16


def bound_processes(session: Any, *, seconds: float = SECONDS) -> None:
    """Let a session of botocore run credential processes within bounds, also for roles that others assume."""
    from botocore.credentials import AssumeRoleProvider, ProcessProvider  # the SDK's session has imported it

    def popen(command: Sequence[str], **_: Any) -> _Process:
        return _Process(command, seconds)

    def provider_of(profile_name: str) -> Any:
        return ProcessProvider(profile_name, lambda: session.full_config, popen=popen)

    for provider in session.get_component("credential_provider").providers:
        if isinstance(provider, ProcessProvider):
            provider._popen = popen
        if isinstance(provider, AssumeRoleProvider) and provider._profile_provider_builder is not None:
            provider._profile_provider_builder._create_process_provider = provider_of


class _Process:
    """As much of ``subprocess.Popen`` as botocore uses."""

    returncode = 0

    def __init__(self, command: Sequence[str], seconds: float) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        self._seconds = seconds

    def communicate(self) -> tuple[bytes, bytes]:
        """Return what it printed, on standard error in UTF-8 and no more than a person reads.

        Raises:
            CredentialsError: it took too long, or printed too much.
        """
        with self._process as process:
            try:
                printed, said = self._read(process)
                self.returncode = process.wait(self._seconds)
            except subprocess.TimeoutExpired:
                raise self._without_end() from None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        return printed, said[-_MOST_SAID:].decode(errors="replace").encode()

    def _read(self, process: "subprocess.Popen[bytes]") -> tuple[bytes, bytes]:
        streams: dict[IO[bytes] | None, bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
        end = time.monotonic() + self._seconds
        with selectors.DefaultSelector() as selector:
            for stream in filter(None, streams):
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(end - time.monotonic()) if time.monotonic() < end else []
                if not ready:
                    raise self._without_end()
                for key, _ in ready:
                    piece = os.read(key.fd, _PIECE)
                    streams[key.fileobj] += piece  # type: ignore[index]  # one of those that are registered
                    if len(streams[key.fileobj]) > _MOST_BYTES:  # type: ignore[index]
                        raise CredentialsError("find", "credentials", "the credential_process prints without end")
                    if not piece:
                        selector.unregister(key.fileobj)
        return bytes(streams[process.stdout]), bytes(streams[process.stderr])

    def _without_end(self) -> CredentialsError:
        cause = f"the credential_process of the profile did not end within {self._seconds:g} seconds"
        return CredentialsError("find", "credentials", cause)
