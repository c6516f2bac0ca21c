"""The worker with a queue, mappings and a clock that answer as prepared; SQS itself is tested on the emulator."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from compaction_worker.environment import WorkerEnvironment
from compaction_worker.fence import Fence
from compaction_worker.protection import TaskProtection
from compaction_worker.stopping import StopRequest
from compaction_worker.worker import ChromaCompactionWorker
from tests.stages.anything import refusal
from tests.stages.prepared_core import PreparedCore

QUEUE, QUEUE_ARN = "https://sqs/embed.fifo", "arn:aws:sqs:us-east-1:000000000000:embed.fifo"


@dataclass
class PolledQueue:
    """A queue of prepared receives; when they are used up it asks for a stop."""

    receives: list[list[dict[str, Any]] | ClientError]
    stop: StopRequest
    deleted: list[str] = field(default_factory=list)
    visibilities: list[tuple[str, int]] = field(default_factory=list)
    poll_seconds: float = 0.0
    clock: "Clock | None" = None
    settle: float = 0.0
    waits: list[int] = field(default_factory=list)
    refuse_beats: bool = False
    refused: threading.Event = field(default_factory=threading.Event)
    on_release: ClientError | threading.Event | None = None
    on_released: Callable[[list[tuple[str, int]]], None] = lambda _: None

    def receive_message(self, **call: Any) -> dict[str, Any]:
        self.waits.append(call["WaitTimeSeconds"])
        if call["WaitTimeSeconds"]:
            time.sleep(self.settle)
        if self.clock is not None:
            self.clock.now += self.poll_seconds
        answer = self.receives.pop(0)
        if not self.receives:
            self.stop.request()
        if isinstance(answer, ClientError):
            raise answer
        return {"Messages": answer} if answer else {}

    def delete_message_batch(self, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:
        self.deleted += [entry["ReceiptHandle"] for entry in Entries]
        return {}

    def change_message_visibility_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        asked = [(entry["ReceiptHandle"], entry["VisibilityTimeout"]) for entry in Entries]
        if any(seconds for _, seconds in asked):
            if self.refuse_beats:
                self.refused.set()
                raise refusal("AccessDenied")
            return {}
        if isinstance(self.on_release, ClientError):
            raise self.on_release
        if self.on_release is not None:
            self.on_release.wait()
        self.visibilities += asked
        self.on_released(asked)
        return {}


def worker_environment(directory: Path) -> WorkerEnvironment:
    return WorkerEnvironment(
        table_name="t",
        artifacts_bucket="a",
        vectors_bucket="v",
        embed_dead_letter_queue_url="https://sqs/dlq.fifo",
        embedder="hashing",
        embedding_model="m",
        embedding_dimensions=4,
        delta_precision="float32",
        embed_queue_url=QUEUE,
        embed_queue_arn=QUEUE_ARN,
        collections_directory=str(directory),
        private_directory=str(directory),
        visibility_timeout_seconds=60,
        stop_timeout_seconds=30,
        health_file=str(directory / "alive"),
    )


@dataclass
class Mappings:
    """Lambda's answers about the queue's mappings, one after the other; the last one stays."""

    answers: list[Any]

    def get_paginator(self, operation: str) -> "Mappings":
        assert operation == "list_event_source_mappings"
        return self

    def paginate(self, EventSourceArn: str) -> list[dict[str, Any]]:
        assert EventSourceArn == QUEUE_ARN
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, ClientError):
            raise answer
        function = "arn:aws:lambda:us-east-1:0:function:embed"
        mappings = [{"UUID": f"u{n}", "State": state, "FunctionArn": function} for n, state in enumerate(answer)]
        return [{"EventSourceMappings": mappings}]


class Clock:
    """Seconds that jump at every look."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def run(
    environment: WorkerEnvironment,
    queue: PolledQueue,
    core: PreparedCore,
    *,
    mappings: Mappings | None = None,
    step: float = 0.0,
) -> int:
    clock = queue.clock = Clock(step)
    worker = ChromaCompactionWorker(
        environment=environment,
        core=core,  # pyrefly: ignore[bad-argument-type]
        sqs_client=queue,  # pyrefly: ignore[bad-argument-type]
        protection=TaskProtection(None),
        fence=Fence(mappings or Mappings([["Disabled"]]), QUEUE_ARN, clock=clock),
        clock=clock,
    )
    return worker.run(queue.stop)
