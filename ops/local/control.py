"""The supervisor's control interface, from the caller's side, and how both sides find each other.

Commands go over a Unix socket in the state directory, which only its owner can enter. Events come over loopback,
because the emulator posts them by HTTP; their address holds a key that is made of the function's name.
"""

import hashlib
import hmac
import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.files import replace_file

CONTROL_SOCKET = "control.sock"
KEY_FILE = "invocations.key"
CONTROL_SECONDS = 180.0
"""Longer than any stop timeout of a service (ECS: 120 s)."""
LONGEST_SOCKET_PATH = 100
"""Bytes; a socket's address holds 108 on Linux and 104 on macOS (unix(7), unix(4))."""


class ControlError(Exception):
    """The supervisor refused or failed; the message is its own."""


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """A name by which a socket at ``path`` can be bound or connected, however long its directory's is."""
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def make_private(directory: Path) -> None:
    """Make a state directory that only its owner can enter, with the key of its events; kept when it is there.

    One process at a time calls this for a directory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    if not (directory / KEY_FILE).exists():
        # Kept from now on: the emulator's state holds addresses that are made with it.
        replace_file(directory / KEY_FILE, os.urandom(32), mode=0o600)


def invocation_path(directory: Path, function: str) -> str:
    """Where events of a function are posted. Whoever knows one function's knows no other's."""
    key = (directory / KEY_FILE).read_bytes()
    return f"/functions/{function}/invocations/{hmac.new(key, function.encode(), hashlib.sha256).hexdigest()}"


@dataclass(frozen=True)
class SupervisorClient:
    """Talks to one supervisor.

    Attributes:
        directory: the local stack's state directory.
        address: ``http://127.0.0.1:<port>``, where the supervisor takes events.
    """

    directory: Path
    address: str

    def put_function(self, definition: dict[str, Any]) -> str:
        """Make or replace a function; where the emulator posts its events."""
        self._call("PUT", f"/functions/{definition['name']}", definition)
        return self.address + invocation_path(self.directory, definition["name"])

    def delete_function(self, name: str) -> None:
        """Stop and forget a function."""
        self._call("DELETE", f"/functions/{name}")

    def put_service(self, definition: dict[str, Any]) -> None:
        """Make or replace a service; returns when the old workers are gone and the new ones run."""
        self._call("PUT", f"/services/{definition['name']}", definition)

    def delete_service(self, name: str) -> None:
        """Stop and forget a service; returns when its workers are gone."""
        self._call("DELETE", f"/services/{name}")

    def status(self) -> dict[str, Any]:
        """What runs."""
        return self._call("GET", "/status")

    def shut_down(self) -> None:
        """Ask for the end; the process leaves soon after."""
        self._call("POST", "/shutdown", {})

    def answers(self) -> bool:
        """True when a supervisor listens there."""
        try:
            self.status()
        except ControlError:
            return False
        return True

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        try:
            with closing(_Connection(self.directory / CONTROL_SOCKET)) as connection:
                connection.request(method, path, body=data)
                response = connection.getresponse()
                content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ControlError(f"no supervisor in {self.directory}: {error}") from error
        if response.status != http.client.OK:
            raise ControlError(f"{method} {path}: {content.decode(errors='replace')}")
        return json.loads(content)


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=CONTROL_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with socket_address(self._path) as address:
            self.sock.connect(address)
