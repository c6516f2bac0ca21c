"""Held messages. A failure here shows a message to a second consumer, hides one for hours, or deletes another's."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from compaction_worker.held import HeldMessages
from tests.stages.prepared_core import held_message

QUEUE = "https://sqs/embed.fifo"
REFUSAL = ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "ChangeMessageVisibilityBatch")


@dataclass
class Queue:
    """Remembers calls; fails as prepared."""

    failing: set[str] = field(default_factory=set)
    error: Exception | None = None
    batches: list[tuple[str, list[str]]] = field(default_factory=list)
    slow: threading.Event | None = None
    entered: threading.Event = field(default_factory=threading.Event)

    def _call(self, name: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
        self.entered.set()
        if self.slow is not None:
            self.slow.wait(10)
        self.batches.append((name, [entry["ReceiptHandle"] for entry in entries]))
        if self.error is not None:
            raise self.error
        failed = [entry for entry in entries if entry["ReceiptHandle"] in self.failing]
        return {"Failed": [{"Id": entry["Id"], "Code": "ReceiptHandleIsInvalid", "Message": "m"} for entry in failed]}

    def change_message_visibility_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        (seconds,) = {entry["VisibilityTimeout"] for entry in Entries}
        return self._call({0: "release", 60: "beat"}.get(seconds, f"release after {seconds}"), Entries)

    def delete_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        return self._call("delete", Entries)

    def handles(self, name: str) -> list[str]:
        return [handle for call, handles in self.batches if call == name for handle in handles]


def until(condition: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)


MESSAGES = [held_message(number) for number in range(25)]


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def held(queue: Queue) -> Iterator[HeldMessages]:
    with HeldMessages(queue, QUEUE, 60) as holding:
        yield holding


def test_every_message_is_extended_again_and_again_until_it_is_let_go(queue):
    with HeldMessages(queue, QUEUE, 60, beat_seconds=0.1) as holding:
        holding.hold(MESSAGES[:2])
        time.sleep(0.05)
        holding.hold(MESSAGES[2:3])
        until(lambda: min(queue.handles("beat").count(f"r{n}") for n in range(3)) >= 2)
        assert holding.let_go(MESSAGES[:1]) == MESSAGES[:1]
        queue.batches.clear()
        until(lambda: queue.handles("beat").count("r1") >= 2)
        assert "r0" not in queue.handles("beat")
        assert len(holding) == 2


def test_calls_are_of_ten_messages_at_most(queue, held):
    held.hold(MESSAGES)
    held.release(MESSAGES[:12])
    held.delete(MESSAGES[12:])
    assert [(name, len(handles)) for name, handles in queue.batches] == [
        ("release", 10),
        ("release", 2),
        ("delete", 10),
        ("delete", 3),
    ]
    assert len(held) == 0


def test_what_is_not_held_any_more_is_neither_deleted_nor_released(queue, held):
    held.hold(MESSAGES[:2])
    held.let_go(MESSAGES[:1])
    held.delete(MESSAGES[:2])
    held.release(MESSAGES[:2])
    assert queue.batches == [("delete", ["r1"])]


def test_a_message_whose_visibility_was_not_extended_is_no_longer_held(queue, caplog):
    queue.failing = {"r1"}
    with HeldMessages(queue, QUEUE, 60, beat_seconds=0.1) as holding:
        holding.hold(MESSAGES[:3])
        until(lambda: MESSAGES[1] not in holding)
        assert MESSAGES[0] in holding
        assert holding.failure is None
        holding.delete(MESSAGES[:3])
        assert sorted(queue.handles("delete")) == ["r0", "r2"]
    (told,) = [record for record in caplog.records if "not extended" in record.message]
    assert (told.message_id, told.error_code) == ("m1", "ReceiptHandleIsInvalid")


@pytest.mark.parametrize("how", ["delete", "release"])
def test_an_entry_that_fails_is_told_and_is_not_held(queue, held, how, caplog):
    queue.failing = {"r1"}
    held.hold(MESSAGES[:3])
    getattr(held, how)(MESSAGES[:3])
    assert len(held) == 0
    assert [record.message_id for record in caplog.records] == ["m1"]


@pytest.mark.parametrize("error", [REFUSAL, EndpointConnectionError(endpoint_url=QUEUE)])
@pytest.mark.parametrize("how", ["delete", "release"])
def test_a_call_that_fails_is_told_and_the_next_one_is_made(queue, held, how, error, caplog):
    queue.error = error
    held.hold(MESSAGES)
    getattr(held, how)(MESSAGES)
    assert [len(handles) for _, handles in queue.batches] == [10, 10, 5]
    assert len(caplog.records) == 3


@pytest.mark.parametrize("error", [REFUSAL, EndpointConnectionError(endpoint_url=QUEUE), RuntimeError("a bug")])
def test_a_heartbeat_that_dies_says_so(queue, error):
    queue.error = error
    with HeldMessages(queue, QUEUE, 60, beat_seconds=0.01) as holding:
        holding.hold(MESSAGES[:1])
        until(lambda: holding.failure is not None)
        assert holding.failure is error


def test_a_message_that_is_released_during_a_beat_is_released_after_it(queue):
    """The other order would hide the message again."""
    queue.slow = threading.Event()
    with HeldMessages(queue, QUEUE, 60, beat_seconds=0.01) as holding:
        holding.hold(MESSAGES[:1])
        assert queue.entered.wait(10)
        releasing = threading.Thread(target=holding.release, args=(MESSAGES[:1],))
        releasing.start()
        time.sleep(0.05)
        queue.slow.set()
        releasing.join(10)
        time.sleep(0.1)
    names = [name for name, _ in queue.batches]
    assert names[-1] == "release"
    assert "beat" in names


def test_the_age_of_what_is_held_is_known(queue):
    moments = iter([100.0, 130.0, 142.0])
    holding = HeldMessages(queue, QUEUE, 60, clock=lambda: next(moments))
    assert holding.oldest_seconds() == 0
    holding.hold(MESSAGES[:1])
    assert holding.oldest_seconds() == 30
