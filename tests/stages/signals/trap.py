"""A proxy between one worker process and the services it calls, which signals the worker in a chosen phase.

It forwards bytes and changes none; what the worker does is told by the requests it makes.
"""

import http.client
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, get_args
from urllib.parse import urlsplit

Phase = Literal["receiving", "reading", "embedding", "writing", "recording", "deleting"]
PHASES: tuple[Phase, ...] = get_args(Phase)
EMBEDDINGS = "/v1/embeddings"
TARGETS: dict[str, Phase] = {
    "AmazonSQS.ReceiveMessage": "receiving",
    "AmazonSQS.DeleteMessageBatch": "deleting",
    "DynamoDB_20120810.TransactWriteItems": "recording",
}


def phase_of(method: str, path: str, target: str) -> Phase | None:
    """What the worker does when it sends such a request; None for what belongs to no phase."""
    if path.startswith(EMBEDDINGS):
        return "embedding"
    if target:
        return TARGETS.get(target)
    return {"GET": "reading", "PUT": "writing"}.get(method)  # type: ignore[return-value]


class Trap:
    """Signals one process once.

    Args:
        phase: in which phase.
        moment: before the request is forwarded, or after its answer is there and before the worker gets it.
        number: SIGSTOP, SIGTERM or SIGKILL.
    """

    def __init__(self, phase: Phase, moment: Literal["before", "after"], number: signal.Signals) -> None:
        self.phase, self.moment, self.number = phase, moment, number
        self.process_id: int | None = None
        self.sprung = threading.Event()
        self._lock = threading.Lock()

    def at(self, phase: Phase | None, moment: str, *, useful: bool) -> None:
        """Called for every request; ``useful`` is false for a receive that brought nothing."""
        if (phase, moment) != (self.phase, self.moment) or not useful or self.process_id is None:
            return
        with self._lock:
            if not self.sprung.is_set():
                os.kill(self.process_id, self.number)
                self.sprung.set()


@contextmanager
def proxy(services: str, embeddings: str, at: Callable[..., None]) -> Iterator[str]:
    """Serve on a free port; the address.

    Args:
        services: the emulator's address.
        embeddings: the embedding API's, without path.
        at: called with phase, moment and whether anything came of the request.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            phase = phase_of(self.command, self.path, self.headers.get("X-Amz-Target", ""))
            at(phase, "before", useful=True)
            address = urlsplit(embeddings if phase == "embedding" else services)
            connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
            try:
                headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
            finally:
                connection.close()
            at(phase, "after", useful=phase != "receiving" or b"ReceiptHandle" in content)
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _forward  # noqa: N815 - http.server's names

        def handle(self) -> None:
            # A killed worker closes in the middle.
            try:
                super().handle()
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
