"""Waiting inside an update, against the emulator: until the loser is off, and until a doomed queue is empty."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NoReturn

import pytest
from botocore.exceptions import ClientError

from one_consumer.live.drain import Patience, move_and_wait_until_empty, wait_until_drained
from one_consumer.live.errors import WaitCode, WaitError
from one_consumer.live.observation import Identity, QueueObservation, SeenService
from one_consumer.live.observer import ConsumerObserver
from tests.world import create_queue, emulator_clients


@pytest.fixture
def sqs(endpoint: str) -> Iterator[Any]:
    with closing(emulator_clients(endpoint)) as clients:
        yield clients("sqs")


@pytest.fixture
def queues(sqs: Any, request: pytest.FixtureRequest) -> list[str]:
    name = request.node.name[-40:]
    return [create_queue(sqs, f"{part}-{name}.fifo", VisibilityTimeout="2") for part in ("a", "b")]


def send(sqs: Any, url: str, count: int) -> None:
    for number in range(count):
        sqs.send_message(
            QueueUrl=url,
            MessageBody=f"body {number}",
            MessageGroupId=f"g{number % 3}",
            MessageDeduplicationId=f"d{number}",
            MessageAttributes={"number": {"DataType": "Number", "StringValue": str(number)}},
        )


def receive_all(sqs: Any, url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    options = {"MaxNumberOfMessages": 10, "MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"]}
    while messages := sqs.receive_message(QueueUrl=url, **options).get("Messages"):
        found += messages
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def move(sqs: Any, queues: list[str], timeout: float = 20, quiet: float = 0.2) -> int:
    patience = Patience(timeout_seconds=timeout, poll_seconds=0.1, quiet_seconds=quiet)
    return asyncio.run(move_and_wait_until_empty(sqs, queues[0], queues[1], patience=patience))


def test_what_a_doomed_queue_holds_is_moved_with_its_groups_order_and_attributes(sqs, queues):
    send(sqs, queues[0], 25)
    assert move(sqs, queues) == 25
    moved = receive_all(sqs, queues[1])
    assert sorted(int(item["MessageAttributes"]["number"]["StringValue"]) for item in moved) == list(range(25))
    for group in ("g0", "g1", "g2"):
        bodies = [item["Body"] for item in moved if item["Attributes"]["MessageGroupId"] == group]
        assert bodies == sorted(bodies, key=lambda body: int(body.split()[1]))
    assert {item["Attributes"]["MessageDeduplicationId"] for item in moved} == {f"d{n}" for n in range(25)}


def test_what_somebody_holds_is_waited_for_and_moved_when_it_comes_back(sqs, queues):
    send(sqs, queues[0], 1)
    assert sqs.receive_message(QueueUrl=queues[0])["Messages"]
    assert move(sqs, queues) == 1
    assert len(receive_all(sqs, queues[1])) == 1


def test_a_queue_that_does_not_become_empty_is_not_deleted(sqs, queues):
    send(sqs, queues[0], 1)
    sqs.receive_message(QueueUrl=queues[0], VisibilityTimeout=60)
    with pytest.raises(WaitError) as refused:
        move(sqs, queues, timeout=1)
    assert refused.value.code == WaitCode.QUEUE_NOT_EMPTY


def test_a_queue_must_have_been_empty_for_a_while(sqs, queues):
    with pytest.raises(WaitError):
        move(sqs, queues, timeout=0.5, quiet=5)


class Denied:
    """An SQS that refuses a few times: the removal of a queue's policy takes a while to hold."""

    def __init__(self, sqs: Any, times: int) -> None:
        self._sqs, self._times = sqs, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sqs, name)

    def receive_message(self, **arguments: Any) -> dict[str, Any]:
        self._times -= 1
        if self._times >= 0:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ReceiveMessage")
        return self._sqs.receive_message(**arguments)


def test_a_lock_that_was_just_removed_is_waited_for_and_one_that_stays_is_told(sqs, queues):
    send(sqs, queues[0], 2)
    with pytest.raises(ClientError):
        move(Denied(sqs, 10**9), queues, timeout=0.5)
    assert move(Denied(sqs, 3), queues) == 2


def no_client(service: str) -> NoReturn:
    raise AssertionError(f"{service} is asked")


class Observer(ConsumerObserver):
    """Answers one observation after the other; the last one stays."""

    def __init__(self, *tasks: int) -> None:
        super().__init__(no_client)
        self.tasks, self.looks = list(tasks), 0

    def observe(self, queue_url: str) -> QueueObservation:
        self.looks += 1
        tasks = self.tasks.pop(0) if len(self.tasks) > 1 else self.tasks[0]
        leaving = SeenService(cluster="c", name="s", desired_count=0, tasks=tasks, refers=True, maximum_capacity=0)
        return QueueObservation(url=queue_url, arn="a", visible=3, in_flight=0, services=(leaving,))


def drain(observer: Observer, winner: Identity | None, timeout: float = 5) -> None:
    patience = Patience(timeout_seconds=timeout, poll_seconds=0.01)
    asyncio.run(wait_until_drained(observer, "https://sqs/1/embed.fifo", winner=winner, patience=patience))


def test_the_loser_is_waited_for():
    observer = Observer(2, 1, 1, 0)
    drain(observer, Identity(kind="mapping", name="f"))
    assert observer.looks == 4


def test_a_loser_that_does_not_end_fails_the_update_and_is_named():
    with pytest.raises(WaitError) as refused:
        drain(Observer(1), Identity(kind="mapping", name="f"), timeout=0.05)
    assert refused.value.code == WaitCode.HANDOVER_NOT_DRAINED
    assert "service s is draining (1 task stopping)" in refused.value.value
    assert "embed.fifo" in refused.value.value


def test_the_winner_is_not_waited_for():
    observer = Observer(1)
    drain(observer, Identity(kind="service", name="s", cluster="c"))
    assert observer.looks == 1
