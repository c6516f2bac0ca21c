"""Receipts arrive without a pause while the consumer is switched back and forth.

Nothing is lost, nothing is applied twice, and never are two consumers at work.

The figures are printed; ``pytest -s`` shows them.
"""

import itertools
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import NAMESPACE_URL, uuid5

from ops.auditing import DEAD_LETTERS
from ops.local.stack import LocalStack
from ops.local.timeline import TimelineEntry
from ops.reporting import stack_status
from ops.searching import search
from ops.target import Target, local_target
from ops.uploading import UploadedDocument, upload, wait_until_searchable
from pipeline.contracts.run import RunState
from tests.switching.conftest import eventually, samples

SWITCHES = int(os.environ.get("LOAD_SWITCHES", "4"))
"""Few in the gate, 20 with ``make torture``."""
PAUSE_SECONDS = 0.4


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
        elif entry["event"] == f"{kind} ended":
            found.append(Interval(who, starts.pop(entry["identifier"]), entry["at"]))
    return found + [Interval(who, start, float("inf")) for start in starts.values()]


def overlaps(first: list[Interval], second: list[Interval]) -> list[tuple[Interval, Interval]]:
    return [
        (one, other)
        for one, other in itertools.product(first, second)
        if one.start < other.end and other.start < one.end
    ]


def published_lines(target: Target) -> int:
    """Vectors in the published version; every line is one, whoever embedded it and however often it was delivered."""
    if stack_status(target)["snapshots"]["lines"] is None:
        return 0
    return search(target, "TOTAL", collection="lines", limit=1).count


def is_quiet(target: Target) -> bool:
    """Whether nothing that earlier tests uploaded is on its way."""
    status = stack_status(target)
    waiting = [queue for queue in status["queues"] if queue["name"] not in DEAD_LETTERS]
    return not any(queue["visible"] + queue["in_flight"] for queue in waiting) and not any(
        state.endswith((RunState.PENDING, RunState.MERGED)) for state in status["runs_by_state"]
    )


class Uploads:
    """A customer who never sleeps: real receipts under new image ids, one after the other."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.documents: list[UploadedDocument] = []
        self._contents = itertools.cycle(samples("greenleaf-1", "boulangerie-1", "mueller-1", "sakura-1", "hardware-1"))

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(PAUSE_SECONDS):
            name, content = next(self._contents)
            document = json.loads(content)
            document["image_id"] = str(uuid5(NAMESPACE_URL, f"load {len(self.documents)}"))
            self.documents.append(upload(self.target, name, json.dumps(document).encode()))


def test_switches_under_load_lose_nothing_repeat_nothing_and_never_have_two_consumers(stack: LocalStack):
    stack.up({"embedConsumer": "lambda"})
    target = local_target(stack)
    outputs = target.outputs
    eventually(lambda: is_quiet(target))
    before, lines_before = stack_status(target)["runs_by_consumer"], published_lines(target)
    uploads, began = Uploads(target), time.time()
    enabled = [Interval("mapping", began, float("inf"))]
    with uploads.running():
        for number in range(SWITCHES):
            wanted = "ecs" if number % 2 == 0 else "lambda"
            result = stack.up({"embedConsumer": wanted})
            (flipped,) = [
                step for step in result.steps if step.name == "embed-lambda-maps-embed" and step.operation == "update"
            ]
            (locked,) = [step for step in result.steps if step.name == "embed-lock" and step.operation == "update"]
            if wanted == "ecs":
                # It could invoke until the update of the mapping had ended.
                enabled[-1] = Interval("mapping", enabled[-1].start, flipped.at)
                assert flipped.at < locked.at
            else:
                # It could not invoke before the lock had changed hands.
                enabled.append(Interval("mapping", locked.at, float("inf")))
                assert locked.at < flipped.at
    seconds = time.time() - began
    done = wait_until_searchable(target, uploads.documents, timeout_seconds=400)
    assert done.is_complete, (done.failed, done.missing)
    timeline = [entry for entry in stack.timeline() if entry["at"] >= began]
    invocations = intervals(timeline, "function", outputs["embedFunctionName"], "invocation")
    workers = intervals(timeline, "worker", outputs["serviceName"], "worker")
    assert len(workers) == SWITCHES // 2
    assert invocations, "nothing was recorded of the function: no overlap would say nothing"
    assert overlaps(invocations, workers) == []
    assert overlaps(enabled, workers) == []
    by_consumer = Counter(run.consumer for run in done.completed)
    after = Counter(stack_status(target)["runs_by_consumer"])
    assert after - Counter(before) == by_consumer
    assert all(by_consumer[name] for name in ("lambda", "ecs"))
    vectors = sum(run.lines.expected_count for run in done.completed)
    assert published_lines(target) == lines_before + vectors
    receipts = len(done.completed)
    print(  # noqa: T201 - the figures are what the test is for
        f"\n{SWITCHES} switches in {seconds:.0f} s; {len(uploads.documents)} images, {receipts} receipts, "
        f"{vectors} lines: {dict(by_consumer)}; {len(invocations)} invocations, {len(workers)} workers, no overlap"
    )
