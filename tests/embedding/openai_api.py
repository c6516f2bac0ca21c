"""An HTTP server that speaks OpenAI's embeddings API with hashed n-grams. It has no tokenizer and no model.

Tests script its failures; alone it serves the stack on one machine:
``python -m tests.embedding.openai_api --port 8089``, with the base URL ``http://127.0.0.1:8089/v1``.
"""

import argparse
import base64
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipeline.embedding.embedders.hashing import HashingEmbedder

DEFAULT_DIMENSIONS = 1536
ADDRESS = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A scripted answer: an error, or a success that ``spoil`` names a defect of.

    Attributes:
        content: the whole body, in place of any other.
        seconds: before the answer.
    """

    status: int = 200
    code: str | None = None
    kind: str = "scripted"
    message: str = "scripted"
    content: str | None = None
    seconds: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    spoil: str | None = None


class FakeOpenAiApi(ThreadingHTTPServer):
    """Answers ``POST /v1/embeddings``; scripted replies come first, then successes.

    Attributes:
        requests: the parsed body of every request so far.
        keys: the bearer token of every request so far.
    """

    daemon_threads = True

    def __init__(self, port: int = 0, accepted_key: str | None = None) -> None:
        super().__init__((ADDRESS, port), _Handler)
        self.accepted_key = accepted_key
        self.script: deque[Reply] = deque()
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.by_input: Callable[[list[str]], Reply | None] | None = None
        self.lock = threading.Lock()

    @property
    def base_url(self) -> str:
        """What a client is given."""
        return f"http://{ADDRESS}:{self.server_address[1]}/v1"

    def answered(self, request: dict[str, Any]) -> Reply | None:
        """What a test wants for a request that is not scripted; a success unless it says otherwise."""
        return self.by_input(request["input"]) if self.by_input is not None else None

    def next_reply(self, body: dict[str, Any], key: str) -> Reply:
        """Note a request and decide its answer."""
        with self.lock:
            self.requests.append(body)
            self.keys.append(key)
            if self.accepted_key is not None and key != self.accepted_key:
                return Reply(status=401, code="invalid_api_key")
            return self.script.popleft() if self.script else self.answered(body) or Reply()


class _Handler(BaseHTTPRequestHandler):
    server: FakeOpenAiApi  # pyrefly: ignore [bad-override]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.path != "/v1/embeddings":
            self._send(Reply(status=404), _error(f"unknown path {self.path}", None))
            return
        reply = self.server.next_reply(body, key)
        refusal = _error(f"{reply.message}; key {key}", reply.code, reply.kind)
        time.sleep(reply.seconds)
        self._send(reply, refusal if reply.status >= 400 else _answer(body, reply))

    def _send(self, reply: Reply, document: dict[str, Any]) -> None:
        text = json.dumps(document) if reply.content is None else reply.content
        content = text.encode("utf-8", "surrogatepass")
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        with suppress(BrokenPipeError, ConnectionResetError):  # a client that did not wait for a slow answer
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: a test's output is its own."""


def _error(message: str, code: str | None, kind: str = "scripted") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _answer(body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    inputs = [body["input"]] if isinstance(body["input"], str) else body["input"]
    dimensions = body.get("dimensions", DEFAULT_DIMENSIONS)
    vectors = HashingEmbedder(dimensions + 1 if reply.spoil == "dimension" else dimensions).embed(inputs)
    if reply.spoil == "finite":
        vectors[0, 0] = float("nan")
    if reply.spoil == "zero":
        vectors[0] = 0
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(vector.astype("<f4").tobytes()).decode()
            if body.get("encoding_format") == "base64"
            else vector.tolist(),
        }
        for index, vector in enumerate(vectors)
    ]
    if reply.spoil == "short":
        data.pop()
    if reply.spoil == "order":
        data.reverse()
    tokens = sum(len(text.encode()) for text in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": body["model"], "usage": usage}


@contextmanager
def serve(accepted_key: str | None = None) -> Iterator[FakeOpenAiApi]:
    """The server on a free port, stopped and closed at the end."""
    server = FakeOpenAiApi(accepted_key=accepted_key)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    server = FakeOpenAiApi(port=parser.parse_args().port)
    print(server.base_url, flush=True)  # noqa: T201
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
