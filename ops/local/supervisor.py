"""One background process that owns the emulator, the functions and the workers.

Started as ``python -m ops.local.supervisor DIRECTORY``.

Its children cannot outlive it. What it runs is kept in a file, so that a stop and a start bring the same things back.
"""

import hmac
import json
import signal
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseServer, ThreadingMixIn, UnixStreamServer
from typing import Any

from pydantic import TypeAdapter

from ops.local.control import CONTROL_SOCKET, invocation_path, socket_address
from ops.local.emulator import Emulator
from ops.local.paths import DEFINITIONS_FILE, LOGS_DIRECTORY, PORTS_FILE, SOURCE, TIMELINE_FILE
from ops.local.provisioners.context import client_options, make_client
from ops.local.runtime_interface import LOOPBACK, FunctionDefinition, FunctionProcess
from ops.local.services import ServiceDefinition, ServiceProcesses
from ops.local.timeline import Timeline
from pipeline.files import replace_file


class Supervisor:
    """Functions and services by name.

    Args:
        directory: the local stack's state directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        ports = json.loads((directory / PORTS_FILE).read_text())
        self.port: int = ports["supervisor"]
        self.emulator = Emulator(directory / "emulator", ports["emulator"])
        self._functions: dict[str, FunctionProcess] = {}
        self._services: dict[str, ServiceProcesses] = {}
        self._timeline = Timeline(directory / TIMELINE_FILE)
        self._lock = threading.RLock()
        self.ended = threading.Event()

    def start(self) -> None:
        """The emulator first, then what ran before."""
        self.emulator.start()
        path = self._directory / DEFINITIONS_FILE
        if path.exists():
            kept = json.loads(path.read_text())
            for definition in kept["functions"]:
                self.put_function(definition)
            for definition in kept["services"]:
                self.put_service(definition)

    def stop(self) -> None:
        """Workers first, so that they release what they hold; the emulator last, so that it can save its state."""
        with self._lock:
            for service in self._services.values():
                service.stop()
            for function in self._functions.values():
                function.stop()
            if self.emulator.process_id is not None:
                # However the end was asked for: a saved state must hold no key.
                self._forget_secrets()
            self.emulator.stop()

    def put_function(self, definition: dict[str, Any]) -> None:
        """Make or replace a function."""
        wanted = TypeAdapter(FunctionDefinition).validate_python(definition)
        with self._lock:
            running = self._functions.get(wanted.name)
            if running is not None:
                if running.definition == wanted:
                    return
                running.stop()
            self._functions[wanted.name] = FunctionProcess(
                wanted, directory=SOURCE, log_file=self._log_file(wanted.name), timeline=self._timeline
            )
            self._keep()

    def delete_function(self, name: str) -> None:
        """Stop and forget a function."""
        with self._lock:
            function = self._functions.pop(name, None)
            if function is not None:
                function.stop()
            self._keep()

    def put_service(self, definition: dict[str, Any]) -> None:
        """Make or replace a service: the old workers are gone before the new ones start."""
        wanted = TypeAdapter(ServiceDefinition).validate_python(definition)
        with self._lock:
            running = self._services.get(wanted.name)
            if running is not None:
                if running.definition == wanted:
                    return
                running.stop()
            self._services[wanted.name] = ServiceProcesses(
                wanted, directory=SOURCE, log_file=self._log_file(wanted.name), timeline=self._timeline
            )
            self._keep()

    def delete_service(self, name: str) -> None:
        """Stop and forget a service."""
        with self._lock:
            service = self._services.pop(name, None)
            if service is not None:
                service.stop()
            self._keep()

    def invoke(self, name: str, event: bytes) -> tuple[HTTPStatus, bytes]:
        """Run a function for the emulator; an error of the function is an answer that is not 2xx."""
        function = self._functions.get(name)
        if function is None:
            return HTTPStatus.NOT_FOUND, json.dumps({"errorMessage": f"no function {name}"}).encode()
        result = function.invoke(event)
        return (
            (HTTPStatus.OK, result.body) if result.succeeded else (HTTPStatus.INTERNAL_SERVER_ERROR, _told(result.body))
        )

    def status(self) -> dict[str, Any]:
        """Process ids by what they are."""
        return {
            "emulator": {"endpoint": self.emulator.endpoint, "process": self.emulator.process_id},
            "functions": {name: function.process_id for name, function in sorted(self._functions.items())},
            "services": {name: service.process_ids for name, service in sorted(self._services.items())},
            "logs": str(self._directory / LOGS_DIRECTORY),
        }

    def _forget_secrets(self) -> None:
        client = make_client("secretsmanager", client_options(self.emulator.endpoint))
        for page in client.get_paginator("list_secrets").paginate():
            for secret in page["SecretList"]:
                client.delete_secret(SecretId=secret["ARN"], ForceDeleteWithoutRecovery=True)

    def _log_file(self, name: str) -> Path:
        return self._directory / LOGS_DIRECTORY / f"{name}.log"

    def _keep(self) -> None:
        content = {
            "functions": [vars(function.definition) for function in self._functions.values()],
            "services": [vars(item.definition) for item in self._services.values() if item.definition.is_kept],
        }
        replace_file(self._directory / DEFINITIONS_FILE, json.dumps(content, indent=1))


def _told(error: bytes) -> bytes:
    """What a function's error says, without its stack trace: the emulator hands on 512 bytes of it."""
    try:
        return str(json.loads(error)["errorMessage"]).encode()
    except (ValueError, LookupError, TypeError):
        return error


class _Handler(BaseHTTPRequestHandler):
    """Answers a request; an error is its answer, never a lost connection."""

    def do_GET(self) -> None:
        """Every method is routed by ``route``."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            status, answer = self.route(body)
        except Exception as error:  # noqa: BLE001 - the caller gets it, with its type
            status, answer = HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {error}".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - http.server's names

    def route(self, body: bytes) -> tuple[HTTPStatus, bytes]:
        """The answer to a request."""
        raise NotImplementedError

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: each event would be a line."""


class _ControlServer(ThreadingMixIn, UnixStreamServer):
    """HTTP over a Unix socket that only the owner of the state directory reaches."""

    daemon_threads = True

    def __init__(self, path: Path, handler: type[BaseHTTPRequestHandler]) -> None:
        path.unlink(missing_ok=True)
        with socket_address(path) as address:
            super().__init__(address, handler)
        path.chmod(0o600)


def serve_control(supervisor: Supervisor, directory: Path) -> BaseServer:
    """The control interface: it starts commands that the caller names, so it is for the owner alone."""

    class Control(_Handler):
        def route(self, body: bytes) -> tuple[HTTPStatus, bytes]:
            match [self.command, *self.path.strip("/").split("/")]:
                case ["PUT", "functions", _]:
                    supervisor.put_function(json.loads(body))
                case ["DELETE", "functions", name]:
                    supervisor.delete_function(name)
                case ["PUT", "services", _]:
                    supervisor.put_service(json.loads(body))
                case ["DELETE", "services", name]:
                    supervisor.delete_service(name)
                case ["GET", "status"]:
                    return HTTPStatus.OK, json.dumps(supervisor.status()).encode()
                case ["POST", "shutdown"]:
                    supervisor.ended.set()
                case _:
                    return HTTPStatus.NOT_FOUND, b"no such route"
            return HTTPStatus.OK, b"{}"

    return _ControlServer(directory / CONTROL_SOCKET, Control)


def serve_events(supervisor: Supervisor, directory: Path) -> BaseServer:
    """Where the emulator posts events; every process of this machine can reach it, so an address holds its key."""

    class Events(_Handler):
        def route(self, body: bytes) -> tuple[HTTPStatus, bytes]:
            # A page in a browser may reach loopback under a name of its own, and then says that name.
            if self.headers.get("Host") != f"{LOOPBACK}:{supervisor.port}":
                return HTTPStatus.FORBIDDEN, b"another host is meant"
            match [self.command, *self.path.strip("/").split("/")]:
                case ["POST", "functions", name, "invocations", _]:
                    if hmac.compare_digest(self.path.encode(), invocation_path(directory, name).encode()):
                        return supervisor.invoke(name, body)
            return HTTPStatus.FORBIDDEN, b"no such route, or not with this key"

    server = ThreadingHTTPServer((LOOPBACK, supervisor.port), Events)
    server.daemon_threads = True
    return server


def main() -> None:
    """Run until a shutdown is asked for, by a request or by a signal."""
    directory = Path(sys.argv[1])
    supervisor = Supervisor(directory)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.ended.set())
    try:
        supervisor.start()
        servers = (serve_events(supervisor, directory), serve_control(supervisor, directory))
        for server in servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        supervisor.ended.wait()
        # The emulator may still post events to functions that stop now; they are answered until the end.
        supervisor.stop()
        for server in servers:
            server.shutdown()
            server.server_close()
    finally:
        supervisor.emulator.stop()


if __name__ == "__main__":
    main()
