"""What the merge asks of SQS: a request that is lost is a message that is on no queue and that nobody looks for."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from compaction_handler.handler import TICK_SOURCE
from compaction_handler.open_requests import ASKED_A_TICK, LEAST_AGE, OpenRequest, due
from compaction_handler.queue_requests import QueueRequest, asked_at, to_item
from pipeline.errors import PipelineError
from pipeline.runs.items import run_to_item
from tests.compaction.world import START, Killed, MergeWorld
from tests.stages.anything import refusal
from tests.stages.recording_queue import RecordingQueues
from tests.world import TABLE

DEAD_LETTER = QueueRequest(
    action="dead-letter",
    collection="words",
    message_id="m",
    receives=2,
    body="no json",
    error_code="MESSAGE_INVALID",
    reason="it is no JSON",
)
COME_BACK = QueueRequest(
    action="come-back", collection="lines", message_id="m", receives=2, receipt_handle="r", seconds=600
)


class FifoQueues(RecordingQueues):
    """Keeps no dead letter twice that has the same deduplication id, as SQS does for five minutes."""

    refuses: Callable[[str], Exception | None] = staticmethod(lambda _: None)

    def send_message(self, **message: Any) -> dict[str, Any]:
        self._refuse(message["QueueUrl"])
        known = {(sent["QueueUrl"], sent.get("MessageDeduplicationId")) for sent in self.sent}
        if (message["QueueUrl"], message.get("MessageDeduplicationId")) in known:
            return {"MessageId": "known"}
        return super().send_message(**message)

    def change_message_visibility(self, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> None:
        self._refuse(QueueUrl)
        super().change_message_visibility(QueueUrl, ReceiptHandle, VisibilityTimeout)

    def _refuse(self, queue_url: str) -> None:
        if (error := self.refuses(queue_url)) is not None:
            raise error


def ask(world: MergeWorld, *requests: QueueRequest) -> list[dict[str, Any]]:
    for request in requests:
        world.dynamodb.put_item(TableName=TABLE, Item=to_item(request, world.moment))
    return world.request_items()


def tick(world: MergeWorld) -> list[dict[str, Any]]:
    """What the stream announces after a tick: the items that it changed."""
    before = world.request_items()
    world.process().handle({"source": TICK_SOURCE})
    return [item for item in world.request_items() if item not in before]


def test_what_the_merge_asks_is_performed_beside_the_runs_of_the_batch_and_closed(world):
    queues = FifoQueues()
    run = world.runs.find(world.run(1))
    assert run is not None
    dead, back = ask(world, DEAD_LETTER, COME_BACK)
    assert world.announce(queues, dead, run_to_item(run), back) == {"batchItemFailures": []}
    (parked,) = queues.to("words-dlq")
    assert (parked["MessageBody"], parked["MessageGroupId"], parked["MessageDeduplicationId"]) == (
        *("no json", "words"),
        "m",
    )
    texts = {name: value["StringValue"] for name, value in parked["MessageAttributes"].items()}
    assert texts == {"error_code": "MESSAGE_INVALID", "reason": "it is no JSON"}
    assert queues.delayed == [("lines-queue", "r", 600)]
    assert len(queues.to("lines-queue")) == len(queues.to("words-queue")) == 1
    assert world.request_items() == []


@pytest.mark.parametrize("request_", [DEAD_LETTER, COME_BACK], ids=lambda request: request.action)
def test_a_request_that_sqs_refuses_for_all_tries_is_performed_by_a_later_tick(world, request_):
    queues = FifoQueues()
    queues.refuses = lambda _: refusal("AccessDenied")
    items = ask(world, request_)
    for _ in range(11):
        world.announce(queues, *items)
    assert world.request_items() == items, "it is open"
    assert tick(world) == [], "it may still be on its way"
    for tries in range(1, 4):
        world.moment += timedelta(minutes=5)
        (again,) = tick(world)
        assert again["tries"] == {"N": str(tries)}
        # It would hold up the runs in its batch, at every tick.
        assert world.announce(queues, again) == {"batchItemFailures": []}
    queues.refuses = lambda _: None
    world.moment += timedelta(minutes=5)
    assert world.announce(queues, *tick(world)) == {"batchItemFailures": []}
    assert len(queues.sent) + len(queues.delayed) == 1
    assert world.request_items() == []
    world.moment += timedelta(minutes=5)
    assert tick(world) == []


def test_a_new_dead_letter_that_sqs_does_not_take_brings_the_batch_again_and_holds_up_no_other_request(world):
    queues = FifoQueues()
    queues.refuses = lambda url: refusal("AccessDenied") if url == "words-dlq" else None
    lines = DEAD_LETTER.model_copy(update={"collection": "lines", "message_id": "n"})
    ask(world, DEAD_LETTER, lines, COME_BACK)
    items = sorted(world.request_items(), key=lambda item: item["PK"]["S"], reverse=True)
    assert world.announce(queues, *items) == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert [sent["MessageDeduplicationId"] for sent in queues.to("lines-dlq")] == ["n"]
    assert queues.delayed == [("lines-queue", "r", 600)]
    assert [item["PK"]["S"] for item in world.request_items()] == ["COLLECTION#words"]


@pytest.mark.parametrize("request_", [DEAD_LETTER, COME_BACK], ids=lambda request: request.action)
def test_whatever_announces_a_request_again_it_takes_effect_once(world, request_):
    """The stream repeats a batch, and a tick asks for what is in the stream already."""
    queues = FifoQueues()
    items = ask(world, request_)
    world.moment += timedelta(minutes=5)
    again = tick(world)
    world.announce(queues, *items, *again, *items)
    world.moment += timedelta(hours=1)
    world.announce(queues, *items, *again)
    assert len(queues.sent) + len(queues.delayed) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before it is closed", "after it is closed"])
@pytest.mark.parametrize("request_", [DEAD_LETTER, COME_BACK], ids=lambda request: request.action)
def test_a_process_that_is_killed_around_its_end_performs_it_with_one_effect(world, monkeypatch, request_, after):
    queues = FifoQueues()
    items = ask(world, request_)
    delete = world.dynamodb.delete_item

    def killed(**arguments: Any) -> None:
        if after:
            delete(**arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(world.dynamodb, "delete_item", killed)
        with pytest.raises(Killed):
            world.announce(queues, *items)
    assert (world.request_items() == []) is after
    world.moment += timedelta(minutes=4)
    world.announce(queues, *(tick(world) or items))
    assert len(queues.sent) == (request_ is DEAD_LETTER)
    # The same moment: ten minutes after it was asked for.
    delays = [] if request_ is DEAD_LETTER else [600] if after else [600, 360]
    assert queues.delayed == [("lines-queue", "r", seconds) for seconds in delays]
    assert world.request_items() == []


def test_a_tick_does_not_bring_back_a_request_that_is_performed_while_it_asks(world, monkeypatch):
    items = ask(world, DEAD_LETTER.model_copy(update={"collection": "lines"}))
    world.moment += timedelta(minutes=5)
    query = world.dynamodb.query

    def performed_meanwhile(**arguments: Any) -> Any:
        page = query(**arguments)
        world.announce(FifoQueues(), *items)
        return page

    monkeypatch.setattr(world.dynamodb, "query", performed_meanwhile)
    assert world.open_requests.ask_again() == 300
    assert world.request_items() == []


@pytest.mark.parametrize(
    ("error", "is_open"),
    [
        (refusal("ReceiptHandleIsInvalid"), False),
        (refusal("AWS.SimpleQueueService.MessageNotInflight"), False),
        (refusal("InvalidParameterValue"), False),
        (refusal("RequestThrottled"), True),
        (refusal("AccessDenied"), True),
        (ReadTimeoutError(endpoint_url="http://127.0.0.1"), True),
    ],
    ids=repr,
)
def test_a_message_whose_delivery_is_over_is_not_asked_back_for_ever(world, error, is_open):
    queues = FifoQueues()
    queues.refuses = lambda _: error
    assert world.announce(queues, *ask(world, COME_BACK)) == {"batchItemFailures": []}
    assert bool(world.request_items()) is is_open


def test_a_message_that_is_late_already_comes_back_at_once(world):
    queues = FifoQueues()
    items = ask(world, COME_BACK)
    world.moment += timedelta(hours=1)
    world.announce(queues, *items)
    assert queues.delayed == [("lines-queue", "r", 0)]


def test_a_clock_behind_the_one_of_the_merge_puts_nothing_off(world):
    queues = FifoQueues()
    items = ask(world, COME_BACK)
    world.moment -= timedelta(minutes=1)
    world.announce(queues, *items)
    assert queues.delayed == [("lines-queue", "r", 600)]


@pytest.mark.parametrize("key", ["PK", "SK"])
def test_a_record_of_a_request_without_its_keys_is_parked_and_blocks_nothing(world, key):
    queues = FifoQueues()
    strange = {name: value for name, value in to_item(DEAD_LETTER, START).items() if name != key}
    assert world.announce(queues, strange, to_item(COME_BACK, START)) == {"batchItemFailures": []}
    (parked,) = queues.sent
    assert parked["MessageAttributes"]["error_code"]["StringValue"] == "MESSAGE_INVALID"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"version": {"S": "2.0"}}, "VERSION_UNSUPPORTED"),
        ({"request": {"S": "no json"}}, "MESSAGE_INVALID"),
        ({"request": {"N": "1"}}, "MESSAGE_INVALID"),
        ({"request": {"S": '{"action": "delete"}'}}, "MESSAGE_INVALID"),
        ({"expires_at": {"S": "later"}}, "MESSAGE_INVALID"),
        ({"expires_at": {"N": "9" * 30}}, "MESSAGE_INVALID"),
    ],
)
def test_a_request_that_cannot_be_read_is_parked_once_and_its_neighbour_is_performed(world, changes, code):
    queues = FifoQueues()
    strange = to_item(DEAD_LETTER, START) | changes
    world.dynamodb.put_item(TableName=TABLE, Item=strange)
    ask(world, COME_BACK)
    assert world.announce(queues, strange, to_item(COME_BACK, START)) == {"batchItemFailures": []}
    (parked,) = queues.sent
    assert parked["QueueUrl"] == "failures"
    assert parked["MessageAttributes"]["error_code"]["StringValue"] == code
    assert queues.delayed == [("lines-queue", "r", 600)]
    # It stays, for a release that can read it, and is not parked at every tick.
    for _ in range(2):
        world.moment += timedelta(minutes=5)
        assert world.announce(queues, *tick(world)) == {"batchItemFailures": []}
    assert len(queues.sent) == 1
    assert len(world.request_items()) == 1


def test_a_tick_whose_table_does_not_answer_merges_and_fails(world, monkeypatch):
    reference = world.run(1)
    process = world.process()
    query = world.dynamodb.query

    def throttled(**arguments: Any) -> Any:
        if "IndexName" in arguments:
            return query(**arguments)
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "Query")

    monkeypatch.setattr(world.dynamodb, "query", throttled)
    world.moment += timedelta(minutes=6)
    with pytest.raises(PipelineError, match="SERVICE_UNAVAILABLE"):
        process.handle({"source": TICK_SOURCE})
    assert world.states(reference) == ["COMPLETED"]


def test_the_oldest_open_request_of_both_collections_is_measured_and_all_pages_are_read(world, monkeypatch):
    assert world.open_requests.ask_again() == 0
    ask(world, DEAD_LETTER)
    world.moment += timedelta(minutes=10)
    ask(world, *(COME_BACK.model_copy(update={"message_id": str(number)}) for number in range(5)))
    query: Any = world.dynamodb.query
    monkeypatch.setattr(world.dynamodb, "query", lambda **arguments: query(**arguments, Limit=2))
    assert world.open_requests.ask_again() == 600
    world.moment += timedelta(minutes=5)
    assert len(tick(world)) == 6


def request(number: int, *, seconds: float, tries: int) -> OpenRequest:
    return OpenRequest(key={"SK": {"S": str(number)}}, asked_at=START - timedelta(seconds=seconds), tries=tries)


def test_a_tick_asks_for_the_least_tried_first_and_for_none_that_is_on_its_way():
    numbers = count()
    tired = [request(next(numbers), seconds=900 + number, tries=3) for number in range(ASKED_A_TICK)]
    young = request(next(numbers), seconds=LEAST_AGE.total_seconds() - 1, tries=0)
    fresh = [request(next(numbers), seconds=seconds, tries=0) for seconds in (60, 70)]
    found = due([*tired, young, *fresh], START)
    assert found[:2] == fresh[::-1]
    assert young not in found
    assert len(found) == ASKED_A_TICK
    assert found[2] is tired[-1], "then the oldest"


def test_when_a_request_was_asked_is_read_from_its_item():
    assert asked_at(to_item(DEAD_LETTER, datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC))) == datetime(
        2026, 1, 2, 3, 4, 5, tzinfo=UTC
    )
