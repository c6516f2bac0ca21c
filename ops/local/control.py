"""The supervisor's control interface, from the caller's side: a few requests over loopback."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

CONTROL_SECONDS = 180.0
"""Longer than any stop timeout of a service (ECS: 120 s)."""


class ControlError(Exception):
    """The supervisor refused or failed; the message is its own."""


@dataclass(frozen=True)
class SupervisorClient:
    """Talks to one supervisor.

    Attributes:
        address: ``http://127.0.0.1:<port>``.
    """

    address: str

    def put_function(self, definition: dict[str, Any]) -> str:
        """Make or replace a function; where the emulator posts its events."""
        self._call("PUT", f"/functions/{definition['name']}", definition)
        return f"{self.address}/functions/{definition['name']}/invocations"

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
        request = urllib.request.Request(self.address + path, data=data, method=method)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=CONTROL_SECONDS) as response:  # noqa: S310
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise ControlError(f"{method} {path}: {error.read().decode(errors='replace')}") from error
        except OSError as error:
            raise ControlError(f"no supervisor at {self.address}: {error}") from error
