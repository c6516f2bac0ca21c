"""A customer who never sleeps: receipts one after the other, many of them twice, older versions after newer ones.

``Load`` uploads and keeps what must be published in the end; ``judge`` compares that with what is.
"""

import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from ops.auditing import DEAD_LETTERS
from ops.local.stack import LocalStack
from ops.local.timeline import TimelineEntry
from ops.published import published_version
from ops.reporting import stack_status
from ops.submitting import UploadedDocument, upload
from ops.target import Target
from ops.waiting import wait_until_searchable
from pipeline.contracts.identifiers import line_vector_id
from pipeline.contracts.ocr import parse_ocr_document
from pipeline.contracts.run import RunState
from pipeline.objects import ObjectStore
from pipeline.queues import OutgoingMessage, send_batch
from pipeline.runs.repository import RunRepository
from tests.switching.conftest import eventually, samples
from upload_images.export import export_receipt, is_noise


@dataclass(frozen=True)
class Interval:
    """Somebody at work, from and to in seconds since the epoch."""

    who: str
    start: float
    end: float


def intervals(timeline: list[TimelineEntry], who: str, name: str, kind: str) -> list[Interval]:
    """From starts and ends that share an identifier; what has not ended lasts for ever."""
    starts: dict[str, float] = {}
    found = []
    for entry in (entry for entry in timeline if entry["name"] == name):
        if entry["event"] == f"{kind} started":
            starts[entry["identifier"]] = entry["at"]
        elif entry["event"] == f"{kind} ended" and entry["identifier"] in starts:
            found.append(Interval(who, starts.pop(entry["identifier"]), entry["at"]))
    return found + [Interval(who, start, float("inf")) for start in starts.values()]


def overlaps(first: list[Interval], second: list[Interval]) -> list[tuple[Interval, Interval]]:
    """Pairs of which both were at work at one moment."""
    return [
        (one, other)
        for one, other in itertools.product(first, second)
        if one.start < other.end and other.start < one.end
    ]


def is_quiet(target: Target) -> bool:
    """Whether nothing that was uploaded is on its way."""
    status = stack_status(target)
    waiting = [queue for queue in status["queues"] if queue["name"] not in DEAD_LETTERS]
    return not any(queue["visible"] + queue["in_flight"] for queue in waiting) and not any(
        state.endswith((RunState.PENDING, RunState.MERGED)) for state in status["runs_by_state"]
    )


class Load:
    """Uploads under new image ids; every second one again, every third one with an older version after it.

    Attributes:
        expected: the lines that must be published in the end, vector id to text.
        documents: what was uploaded last of every image.
    """

    def __init__(self, target: Target, name: str, *, pause_seconds: float) -> None:
        self.target, self.name, self.pause_seconds = target, name, pause_seconds
        self.documents: list[UploadedDocument] = []
        self.images: set[UUID] = set()
        self.expected: dict[str, str] = {}
        self.duplicates = self.reversed = 0
        self._later: list[Any] = []
        self._contents = itertools.cycle(samples("greenleaf-1", "boulangerie-1", "mueller-1", "sakura-1", "hardware-1"))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Upload without a pause in the background."""
        stop = threading.Event()
        failures: list[Exception] = []

        def run() -> None:
            try:
                while not stop.wait(self.pause_seconds):
                    self._one()
            except Exception as error:  # noqa: BLE001 - raised again below: a load that stopped would prove nothing
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        for failure in failures:
            raise failure
        for action in self._later:
            action()

    def _one(self) -> None:
        name, content = next(self._contents)
        number = len(self.documents)
        document = json.loads(content)
        document["image_id"] = str(uuid5(NAMESPACE_URL, f"{self.name} {number}"))
        before = datetime.now(UTC) - timedelta(minutes=1)
        body = json.dumps(document).encode()
        self.documents.append(upload(self.target, name, body))
        parsed = parse_ocr_document(body, name)
        self.images.add(parsed.image_id)
        for receipt in parsed.receipts:
            for line in receipt.lines:
                if not is_noise(line.text):
                    self.expected[line_vector_id(parsed.image_id, receipt.receipt_id, line.line_id)] = line.text
        # What was kept back two turns ago comes now.
        if len(self._later) > 1:
            self._later.pop(0)()
        if number % 2:
            self._later.append(lambda: self._again(name, body))
        if number % 3 == 0:
            self._later.append(lambda: self._older(document, before))

    def _again(self, name: str, body: bytes) -> None:
        self.duplicates += 1
        upload(self.target, name, body)

    def _older(self, document: dict[str, Any], moment: datetime) -> None:
        """Another content of the same receipts whose event was before, delivered after it, and twice."""
        self.reversed += 1
        older = json.loads(json.dumps(document))
        for receipt in older["receipts"]:
            receipt["lines"][0]["text"] = "AN OLDER VERSION"
        parsed = parse_ocr_document(json.dumps(older).encode(), "older")
        outputs = self.target.outputs
        for receipt in parsed.receipts:
            export = export_receipt(
                parsed,
                receipt,
                bucket=outputs["artifactsBucket"],
                embedding_model=outputs["embeddingModel"],
                dimensions=int(outputs["embeddingDimensions"]),
                uploaded_at=moment,
            )
            for artifact in export.artifacts:
                ObjectStore(self.target.s3).put_if_absent(
                    outputs["artifactsBucket"], artifact.key, artifact.content, artifact.content_type
                )
            message = export.message
            outgoing = [
                OutgoingMessage(
                    body=message.model_dump_json(exclude_none=True),
                    group_id=message.group_id,
                    deduplication_id=f"{message.deduplication_id[:64]}-{delivery}",
                )
                for delivery in (1, 2)
            ]
            send_batch(self.target.sqs, outputs["embedQueueUrl"], outgoing)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What became of a load; everything but the first three must be 0.

    Attributes:
        older: rows in an older state than their receipt's last event.
        doubled: runs of one receipt that embedded the same content.
        with_two: moments at which the function and a worker were at work.
    """

    receipts: int
    invocations: int
    workers: int
    lost: int
    older: int
    surplus: int
    doubled: int
    failed: int
    dead_letters: int
    with_two: int

    @property
    def faults(self) -> dict[str, int]:
        """Those that are not 0 and must be."""
        return {
            name: count
            for name, count in vars(self).items()
            if count and name not in ("receipts", "invocations", "workers")
        }


def judge(stack: LocalStack, target: Target, load: Load, began: float) -> Figures:
    """Wait until everything has arrived, then compare what is published with what must be."""
    done = wait_until_searchable(target, load.documents, timeout_seconds=400)
    assert not done.missing, done.missing
    eventually(lambda: is_quiet(target), 240)
    with published_version(target, "lines") as published:
        rows = [row for row in published.rows() if UUID(row.receipt.image_id) in load.images]
    texts = {row.id: row.text for row in rows}
    runs = [
        run
        for run in RunRepository(target.outputs["tableName"], target.dynamodb).all_runs()
        if run.image_id in load.images
    ]
    embedded = Counter(
        (run.image_id, run.receipt_id, run.content_run_id or run.run_id) for run in runs if not run.delta_run_id
    )
    timeline = [entry for entry in stack.timeline() if entry["at"] >= began]
    invocations = intervals(timeline, "function", target.outputs["embedFunctionName"], "invocation")
    workers = intervals(timeline, "worker", target.outputs["serviceName"], "worker")
    dead = [queue for queue in stack_status(target)["queues"] if queue["name"] in DEAD_LETTERS]
    return Figures(
        receipts=len({(run.image_id, run.receipt_id) for run in runs}),
        invocations=len(invocations),
        workers=len(workers),
        lost=len(load.expected.keys() - texts.keys()),
        older=sum(texts[name] != text for name, text in load.expected.items() if name in texts),
        surplus=len(rows) - len(load.expected.keys() & texts.keys()),
        doubled=sum(count > 1 for count in embedded.values()),
        failed=sum(RunState.FAILED in (run.lines.state, run.words.state) for run in runs),
        dead_letters=sum(queue["visible"] + queue["in_flight"] for queue in dead),
        with_two=len(overlaps(invocations, workers)),
    )
