"""AWS's Lambda Runtime API on loopback, and one process behind it, started exactly as the container image starts it.

One event at a time; a process that outlives the function's timeout is killed, one that dies is started again.
"""

import json
import queue
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ops.local.children import start_process
from ops.local.timeline import Timeline

API_VERSION = "/2018-06-01/runtime"
"""AWS Lambda developer guide, using the Lambda runtime API for custom runtimes."""
LOOPBACK = "127.0.0.1"
STOP_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class FunctionDefinition:
    """What is needed to run a function: the image's command line and the function's configuration.

    Attributes:
        command: entry point and command.
        environment: all variables, AWS's own included.
        timeout_seconds: the function's.
        revision: changes when the code does; another revision starts another process.
    """

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    timeout_seconds: float
    revision: str


@dataclass(frozen=True, kw_only=True)
class InvocationResult:
    """The function's answer, or its error in Lambda's shape; ``body`` is JSON."""

    succeeded: bool
    body: bytes


@dataclass
class _Invocation:
    event: bytes
    deadline: float
    identifier: str = field(default_factory=lambda: str(uuid.uuid4()))
    answered: threading.Event = field(default_factory=threading.Event)
    result: InvocationResult | None = None

    def answer(self, result: InvocationResult) -> None:
        if not self.answered.is_set():
            self.result = result
            self.answered.set()


class FunctionProcess:
    """A function that can be invoked.

    Args:
        definition: what to run.
        directory: the working directory of the process: where the image's folders lie.
        log_file: its standard output and error.
        timeline: records every invocation.
    """

    def __init__(self, definition: FunctionDefinition, *, directory: Path, log_file: Path, timeline: Timeline) -> None:
        self.definition = definition
        self._timeline = timeline
        self._directory = directory
        self._log_file = log_file
        self._one_at_a_time = threading.Lock()
        self._waiting: queue.Queue[_Invocation] = queue.Queue()
        self._running: dict[str, _Invocation] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._server = _serve(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def invoke(self, event: bytes) -> InvocationResult:
        """Run one event to its end, its timeout or the process's death."""
        with self._one_at_a_time:
            process = self._started()
            invocation = _Invocation(event=event, deadline=time.time() + self.definition.timeout_seconds)
            self._running[invocation.identifier] = invocation
            self._timeline.record("invocation started", self.definition.name, invocation.identifier)
            self._waiting.put(invocation)
            while not invocation.answered.wait(0.05):
                if process.poll() is not None:
                    invocation.answer(_failure("Runtime.ExitError", f"the process ended with {process.returncode}"))
                elif time.time() > invocation.deadline:
                    self._kill()
                    timeout = f"Task timed out after {self.definition.timeout_seconds:.2f} seconds"
                    invocation.answer(_failure("Sandbox.Timedout", timeout))
            self._timeline.record("invocation ended", self.definition.name, invocation.identifier)
            del self._running[invocation.identifier]
            self._drop_unclaimed(invocation)
            return invocation.result or _failure("Runtime.Unknown", "no answer")

    def stop(self) -> None:
        """End the process and its Runtime API."""
        self._kill()
        self._server.shutdown()
        self._server.server_close()

    @property
    def process_id(self) -> int | None:
        """The process's id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def take(self) -> _Invocation | None:
        """The next event, for the Runtime API; None when none came in a while and the connection should be checked."""
        try:
            return self._waiting.get(timeout=1.0)
        except queue.Empty:
            return None

    def settle(self, identifier: str, result: InvocationResult) -> bool:
        """Answer a running invocation, for the Runtime API."""
        invocation = self._running.get(identifier)
        if invocation is None:
            return False
        invocation.answer(result)
        return True

    def settle_all(self, result: InvocationResult) -> None:
        """Answer everything that runs: the process could not even start."""
        for invocation in list(self._running.values()):
            invocation.answer(result)

    def _drop_unclaimed(self, invocation: _Invocation) -> None:
        # Of an invocation that ended before the process took it, nothing may be left for the next process.
        remaining = [item for item in self._waiting.queue if item is not invocation]
        self._waiting.queue.clear()
        self._waiting.queue.extend(remaining)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = start_process(
                self.definition.command,
                {
                    **self.definition.environment,
                    "AWS_LAMBDA_RUNTIME_API": f"{LOOPBACK}:{self._server.server_address[1]}",
                },
                directory=self._directory,
                log_file=self._log_file,
            )
        return self._process

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.kill()
            process.wait(STOP_SECONDS)


def _failure(kind: str, message: str) -> InvocationResult:
    return InvocationResult(succeeded=False, body=json.dumps({"errorType": kind, "errorMessage": message}).encode())


def _serve(function: FunctionProcess) -> ThreadingHTTPServer:
    class RuntimeApi(BaseHTTPRequestHandler):
        """The four calls of a runtime."""

        protocol_version = "HTTP/1.1"

        def parse_request(self) -> bool:
            """Refuse a request that means another host: a page in a browser can reach loopback under its own name."""
            if not super().parse_request():
                return False
            if self.headers.get("Host") != f"{LOOPBACK}:{server.server_address[1]}":
                self._answer(HTTPStatus.FORBIDDEN)
                self.close_connection = True
                return False
            return True

        def do_GET(self) -> None:
            if self.path != f"{API_VERSION}/invocation/next":
                self._answer(HTTPStatus.NOT_FOUND)
                return
            while (invocation := function.take()) is None:
                if function.process_id is None:
                    self.close_connection = True
                    return
            headers = {
                "Lambda-Runtime-Aws-Request-Id": invocation.identifier,
                "Lambda-Runtime-Deadline-Ms": str(int(invocation.deadline * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": (
                    f"arn:aws:lambda:us-east-1:000000000000:function:{function.definition.name}"
                ),
                "Lambda-Runtime-Trace-Id": "",
                "Content-Type": "application/json",
            }
            self._answer(HTTPStatus.OK, invocation.event, headers)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = self.path.removeprefix(f"{API_VERSION}/").split("/")
            match parts:
                case ["invocation", identifier, "response"]:
                    known = function.settle(identifier, InvocationResult(succeeded=True, body=body))
                    self._answer(HTTPStatus.ACCEPTED if known else HTTPStatus.BAD_REQUEST, b"{}")
                case ["invocation", identifier, "error"]:
                    known = function.settle(identifier, InvocationResult(succeeded=False, body=body))
                    self._answer(HTTPStatus.ACCEPTED if known else HTTPStatus.BAD_REQUEST, b"{}")
                case ["init", "error"]:
                    function.settle_all(InvocationResult(succeeded=False, body=body))
                    self._answer(HTTPStatus.ACCEPTED, b"{}")
                case _:
                    self._answer(HTTPStatus.NOT_FOUND)

        def _answer(self, status: HTTPStatus, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing: a line a poll would drown the log."""

    server = ThreadingHTTPServer((LOOPBACK, 0), RuntimeApi)
    server.daemon_threads = True
    return server
