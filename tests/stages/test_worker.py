"""The ECS worker's loop. A failure here loses a message, holds one for hours, or leaves a task that polls uninvited."""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from compaction_worker import worker as worker_module
from compaction_worker.environment import WorkerEnvironment
from compaction_worker.heartbeat import VisibilityHeartbeat
from compaction_worker.protection import TaskProtection
from compaction_worker.stopping import StopRequest
from compaction_worker.worker import ChromaCompactionWorker
from pipeline.embedding.core import Disposition, IncomingMessage, Outcome

QUEUE = "https://sqs/embed.fifo"


@dataclass
class PolledQueue:
    """A queue of prepared receives; when they are used up it asks for a stop."""

    receives: list[list[dict[str, Any]] | ClientError]
    stop: StopRequest
    deleted: list[str] = field(default_factory=list)
    visibilities: list[tuple[str, int]] = field(default_factory=list)

    def receive_message(self, **_: Any) -> dict[str, Any]:
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
        self.visibilities += [(entry["ReceiptHandle"], entry["VisibilityTimeout"]) for entry in Entries]
        return {}


@dataclass
class PreparedCore:
    """A core that answers as prepared and remembers what it was given."""

    dispositions: dict[str, Disposition] = field(default_factory=dict)
    seen: list[IncomingMessage] = field(default_factory=list)

    def process(self, batch: list[IncomingMessage]) -> list[Outcome]:
        self.seen += batch
        return [
            Outcome(
                message_id=item.message_id, disposition=self.dispositions.get(item.message_id, Disposition.EMBEDDED)
            )
            for item in batch
        ]


def message(number: int) -> dict[str, Any]:
    attributes = {"MessageGroupId": f"g{number}", "MessageDeduplicationId": f"d{number}"}
    return {"MessageId": f"m{number}", "ReceiptHandle": f"r{number}", "Body": "{}", "Attributes": attributes}


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "ReceiveMessage")


@pytest.fixture
def environment(tmp_path: Path) -> WorkerEnvironment:
    return WorkerEnvironment(
        table_name="t",
        vectors_bucket="v",
        embed_dead_letter_queue_url="https://sqs/dlq.fifo",
        embedder="hashing",
        embedding_model="m",
        embedding_dimensions=4,
        delta_precision="float32",
        embed_queue_url=QUEUE,
        collections_directory=str(tmp_path),
        private_directory=str(tmp_path),
        visibility_timeout_seconds=60,
        stop_timeout_seconds=30,
        health_file=str(tmp_path / "alive"),
    )


def run(environment: WorkerEnvironment, queue: PolledQueue, core: PreparedCore) -> int:
    worker = ChromaCompactionWorker(
        environment=environment,
        core=core,  # pyrefly: ignore[bad-argument-type]
        sqs_client=queue,  # pyrefly: ignore[bad-argument-type]
        protection=TaskProtection(None),
    )
    return worker.run(queue.stop)


def test_what_is_done_is_deleted_and_what_must_come_back_is_not(environment):
    queue = PolledQueue([[message(1), message(2), message(3)], []], StopRequest())
    core = PreparedCore({"m2": Disposition.RETRY, "m3": Disposition.PARKED})
    assert run(environment, queue, core) == 0
    assert queue.deleted == ["r1", "r3"]
    assert [item.group_id for item in core.seen] == ["g1", "g2", "g3"]
    assert Path(environment.health_file).exists()


def test_a_stop_before_the_first_poll_is_kept(environment):
    stop = StopRequest()
    stop.request()
    queue = PolledQueue([[message(1)]], stop)
    assert run(environment, queue, PreparedCore()) == 0
    assert len(queue.receives) == 1


def test_a_batch_that_is_held_when_the_stop_comes_is_finished(environment):
    queue = PolledQueue([[message(1)]], StopRequest())
    assert run(environment, queue, PreparedCore()) == 0
    assert queue.deleted == ["r1"]


def test_a_worker_without_the_right_to_receive_says_so_and_goes(environment):
    queue = PolledQueue([refusal("AccessDenied"), []], StopRequest())
    assert run(environment, queue, PreparedCore()) == worker_module.EXIT_REFUSED


def test_a_fault_of_the_queue_is_survived(environment, monkeypatch):
    monkeypatch.setattr(worker_module, "RECEIVE_PAUSE_SECONDS", 0.0)
    queue = PolledQueue([refusal("InternalError"), [message(1)], []], StopRequest())
    assert run(environment, queue, PreparedCore()) == 0
    assert queue.deleted == ["r1"]


def test_the_heartbeat_extends_what_is_held_and_reports_its_own_death():
    beaten = threading.Event()

    class Queue:
        def change_message_visibility_batch(self, **call: Any) -> None:
            beaten.set()
            raise refusal("AccessDenied")

    with VisibilityHeartbeat(Queue(), QUEUE, ["r1"], 0) as heartbeat:  # pyrefly: ignore[bad-argument-type]
        assert beaten.wait(5)
        heartbeat._thread.join(5)
    assert isinstance(heartbeat.failure, ClientError)


def test_a_signal_asks_for_a_stop_and_the_old_handlers_come_back():
    import signal

    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
    assert signal.getsignal(signal.SIGTERM) is before
