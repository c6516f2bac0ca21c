"""A stand-in for S3 that costs this machine little: a process of its own that streams objects to and from files.

The files of deleted objects are written over, because a page that is in memory already costs an eighth of a new one.

It is not an emulator: it knows the calls that the pipeline makes and believes the checksums that it is told. It
exists because ministack spends 3.5 seconds of a processor on an upload of 450 MB (measured), on the machine and in the
seconds that are measured here, where the real S3 spends none. Run it as ``python -m benchmarks.compaction.object_server
directory port [bytes a second]``; ``ObjectServer`` does.
"""

import base64
import hashlib
import os
import shutil
import socket
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from pipeline.contracts.digests import PART_BYTES, checksum, digest_of_parts

PIECE_BYTES = 1024 * 1024
LOOPBACK = "127.0.0.1"
LISTING = '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>'
ENTRY = "<Contents><Key>{key}</Key><LastModified>{moment}</LastModified><Size>{size}</Size></Contents>"
UPLOAD = (
    '<?xml version="1.0"?><InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>'
)
COMPLETED = '<?xml version="1.0"?><CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>'
S3_XML = "{http://s3.amazonaws.com/doc/2006-03-01/}"
FAULT = '<?xml version="1.0"?><Error><Code>{code}</Code></Error>'


@dataclass(frozen=True)
class _Stored:
    file: Path
    size: int
    tag: str
    checksum: str
    moment: datetime


class _Objects(ThreadingHTTPServer):
    """The objects by bucket and key; their bytes are files with names of no meaning."""

    daemon_threads = True

    def __init__(self, directory: Path, port: int, bytes_a_second: float) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self.directory, self.bytes_a_second = directory, bytes_a_second
        self.stored: dict[str, _Stored] = {}
        self.uploads: dict[str, Path] = {}
        self.spare: list[tuple[int, Path]] = []
        self.lock = threading.Lock()

    def take_file(self, size: float) -> Path:
        """A file to write over: the smallest spare one that holds ``size`` bytes, else the largest, else a new one."""
        with self.lock:
            if self.spare:
                fitting = [spare for spare in self.spare if spare[0] >= size]
                taken = min(fitting) if fitting else max(self.spare)
                self.spare.remove(taken)
                return taken[1]
        file = self.directory / uuid.uuid4().hex
        file.touch()
        return file

    def give_back(self, stored: _Stored) -> None:
        """Keep the file of an object that is no more."""
        with self.lock:
            self.spare.append((stored.size, stored.file))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        pass

    @property
    def _objects(self) -> _Objects:
        return cast(_Objects, self.server)

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    @property
    def _query(self) -> dict[str, str]:
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        return {name: values[0] for name, values in query.items()}

    def do_PUT(self) -> None:
        if "uploadId" in self._query:
            self._put_part()
            return
        size = int(self.headers.get("Content-Length", 0))
        file = self._objects.take_file(size)
        with file.open("r+b", buffering=0) as writing:
            content = self._receive(writing.fileno(), size, 0)
            writing.truncate(size)
        tag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest() if content else uuid.uuid4().hex}"'
        self._store(_Stored(file, size, tag, self.headers.get("x-amz-checksum-sha256", ""), datetime.now(UTC)))

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "uploads" in self._query:
            name = uuid.uuid4().hex
            self._objects.uploads[name] = self._objects.take_file(float("inf"))
            self._answer(HTTPStatus.OK, UPLOAD.format(name=name))
            return
        file = self._objects.uploads.pop(self._query["uploadId"])
        listed = ElementTree.fromstring(content)  # noqa: S314 - the benchmark's own client on 127.0.0.1 wrote it
        parts = [part.text or "" for part in listed.iter(f"{S3_XML}ChecksumSHA256")]
        told = checksum(digest_of_parts([base64.b64decode(part) for part in parts]))
        tag = f'"{uuid.uuid4().hex}"'
        self._store(_Stored(file, file.stat().st_size, tag, told, datetime.now(UTC)), COMPLETED.format(tag=tag))

    def _put_part(self) -> None:
        size, number = int(self.headers["Content-Length"]), int(self._query["partNumber"])
        with self._objects.uploads[self._query["uploadId"]].open("r+b", buffering=0) as writing:
            self._receive(writing.fileno(), size, (number - 1) * PART_BYTES)
            if size < PART_BYTES:
                writing.truncate((number - 1) * PART_BYTES + size)
        self._answer(HTTPStatus.OK, headers={"ETag": f'"{uuid.uuid4().hex}"'})

    def _receive(self, file: int, size: int, offset: int) -> bytes:
        """The body into a file; the answer is the body too if it is small."""
        started, done, piece = time.monotonic(), 0, memoryview(bytearray(PIECE_BYTES))
        while done < size:
            count = self.rfile.readinto(piece[: min(PIECE_BYTES, size - done)])
            if not count:
                raise ConnectionError("the client is gone")
            os.pwrite(file, piece[:count], offset + done)
            done += count
            self._keep_pace(started, done)
        return bytes(piece[:size]) if size < PIECE_BYTES else b""

    def _store(self, stored: _Stored, answer: str = "") -> None:
        with self._objects.lock:
            before = self._objects.stored.get(self._key)
            refused = (self.headers.get("If-None-Match") == "*" and before is not None) or (
                self.headers.get("If-Match") is not None and (before is None or before.tag != self.headers["If-Match"])
            )
            if not refused:
                self._objects.stored[self._key] = stored
        if refused:
            self._objects.give_back(stored)
            self._answer(HTTPStatus.PRECONDITION_FAILED, FAULT.format(code="PreconditionFailed"))
            return
        if before is not None:
            self._objects.give_back(before)
        self._answer(HTTPStatus.OK, answer, headers={"ETag": stored.tag})

    def do_GET(self) -> None:
        if "list-type" in self._query:
            self._list(self._query.get("prefix", ""))
            return
        stored = self._objects.stored.get(self._key)
        if stored is None:
            self._answer(HTTPStatus.NOT_FOUND, FAULT.format(code="NoSuchKey"))
            return
        wanted = self.headers.get("Range", "")
        start, end = map(int, wanted.removeprefix("bytes=").split("-")) if wanted else (0, stored.size - 1)
        size = min(end + 1, stored.size) - start
        status = HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK
        self._answer(status, headers={"ETag": stored.tag}, length=size)
        started, done = time.monotonic(), 0
        with stored.file.open("rb") as reading:
            reading.seek(start)
            while done < size:
                piece = reading.read(min(PIECE_BYTES, size - done))
                self.wfile.write(piece)
                done += len(piece)
                self._keep_pace(started, done)

    def do_HEAD(self) -> None:
        stored = self._objects.stored.get(self._key)
        if stored is None:
            self._answer(HTTPStatus.NOT_FOUND)
            return
        self._answer(
            HTTPStatus.OK, headers={"ETag": stored.tag, "x-amz-checksum-sha256": stored.checksum}, length=stored.size
        )

    def do_DELETE(self) -> None:
        if "uploadId" in self._query:
            file = self._objects.uploads.pop(self._query["uploadId"])
            with self._objects.lock:
                self._objects.spare.append((file.stat().st_size, file))
            self._answer(HTTPStatus.NO_CONTENT)
            return
        with self._objects.lock:
            stored = self._objects.stored.pop(self._key, None)
        if stored is not None:
            self._objects.give_back(stored)
        self._answer(HTTPStatus.NO_CONTENT)

    def _list(self, prefix: str) -> None:
        within = f"{self._key.rstrip('/')}/"
        with self._objects.lock:
            found = sorted((key.removeprefix(within), stored) for key, stored in self._objects.stored.items())
        entries = "".join(
            ENTRY.format(key=escape(key), moment=stored.moment.isoformat(), size=stored.size)
            for key, stored in found
            if key.startswith(prefix)
        )
        self._answer(HTTPStatus.OK, LISTING.format(entries=entries))

    def _keep_pace(self, started: float, done: int) -> None:
        """Wait as a network of the wanted speed would; nobody's processor is used meanwhile."""
        if (
            self._objects.bytes_a_second
            and (ahead := started + done / self._objects.bytes_a_second - time.monotonic()) > 0
        ):
            time.sleep(ahead)

    def _answer(
        self, status: HTTPStatus, body: str = "", *, headers: dict[str, str] | None = None, length: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body.encode()) if length is None else length))
        self.end_headers()
        self.wfile.write(body.encode())


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        return free.getsockname()[1]


def main() -> None:
    """Serve until killed."""
    directory, port, *speed = sys.argv[1:]
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    _Objects(Path(directory), int(port), float(speed[0]) if speed else 0.0).serve_forever()


if __name__ == "__main__":
    main()
