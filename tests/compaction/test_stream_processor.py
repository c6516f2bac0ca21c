"""The stream processor; its failure would leave runs PENDING for ever, or one message a run."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from compaction_handler import coalescing
from compaction_handler.coalescing import coalesce
from compaction_handler.environment import StreamProcessorEnvironment
from compaction_handler.open_requests import OpenRequests
from compaction_handler.stream_processor import process_records
from pipeline.contracts.identifiers import sha256_hex
from pipeline.contracts.limits import LARGEST_INTEGER, MAXIMUM_MERCHANT_NAME, MAXIMUM_ROWS
from pipeline.contracts.messages import CompactionMessage, parse_message
from pipeline.contracts.run import CollectionProgress, CompactionRun
from pipeline.errors import SHOWN_CHARACTERS
from pipeline.runs.items import run_from_item, run_to_item
from pipeline.runs.transitions import ERROR_LIMIT
from tests.stages.anything import ERRORS, VALUES, refusal

ENVIRONMENT = StreamProcessorEnvironment(
    table_name="receipts",
    lines_queue_url="lines",
    words_queue_url="words",
    stream_failure_queue_url="failures",
    lines_dead_letter_queue_url="lines-dead-letters",
    words_dead_letter_queue_url="words-dead-letters",
)
NO_REQUESTS = OpenRequests(table_name="receipts", dynamodb=None)
"""Runs alone are announced here; requests are in ``test_open_requests.py``."""
SQS_LIMIT = 1024 * 1024
DYNAMODB_LIMIT = 400 * 1024
"""Of an item (docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html)."""
MOMENT = datetime(2026, 1, 2, tzinfo=UTC)


class Sqs:
    def __init__(self) -> None:
        self.sent: list[tuple[str, dict]] = []

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict]) -> dict:
        self.sent += [(QueueUrl, entry) for entry in Entries]
        return {}

    def send_message(self, *, QueueUrl: str, **entry: object) -> dict:
        self.sent.append((QueueUrl, entry))
        return {}


def run(number: int) -> CompactionRun:
    progress = CollectionProgress(expected_count=2, delta_sha256="0" * 64)
    return CompactionRun(
        image_id=UUID(int=number),
        receipt_id=1,
        run_id=sha256_hex(str(number).encode())[:32],
        embedding_model="hashing",
        dimensions=4,
        delta_bucket="vectors",
        lines=progress,
        words=progress,
        merchant_source="none",
        consumer="lambda",
        created_at=MOMENT,
        updated_at=MOMENT,
    )


def record(number: int) -> dict:
    return {"dynamodb": {"SequenceNumber": str(number), "NewImage": run_to_item(run(number))}}


def test_a_run_reads_back_from_its_item_as_it_was_written():
    assert run_from_item(run_to_item(run(1))) == run(1)


def test_a_thousand_new_runs_are_four_messages_in_all_and_none_is_lost():
    sqs = Sqs()
    assert process_records(
        [record(n) for n in range(1000)], environment=ENVIRONMENT, sqs_client=sqs, open_requests=NO_REQUESTS
    ) == {"batchItemFailures": []}
    for queue in ("lines", "words"):
        bodies = [entry["MessageBody"] for url, entry in sqs.sent if url == queue]
        assert len(bodies) == 2
        assert all(len(body.encode()) < SQS_LIMIT for body in bodies)
        messages = [parse_message(body, CompactionMessage) for body in bodies]
        assert [reference.image_id.int for message in messages for reference in message.runs] == list(range(1000))


def test_a_poison_record_is_parked_with_its_reason_and_its_neighbours_go_on():
    sqs = Sqs()
    poison = {"dynamodb": {"SequenceNumber": "7", "NewImage": {"PK": {"S": "x"}, "version": {"S": "9.0"}}}}
    answer = process_records([poison, record(1)], environment=ENVIRONMENT, sqs_client=sqs, open_requests=NO_REQUESTS)
    assert answer == {"batchItemFailures": []}
    parked = next(entry for url, entry in sqs.sent if url == "failures")
    assert parked["MessageAttributes"]["error_code"]["StringValue"] == "VERSION_UNSUPPORTED"
    assert {url for url, _ in sqs.sent} == {"failures", "lines", "words"}


def changed(place: tuple[str, ...], value: object) -> object:
    """A record of which one part is something else."""
    if not place:
        return value
    whole = record(1)
    part: Any = whole
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    return whole


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize(
    "place",
    [(), ("dynamodb",), *(("dynamodb", "NewImage", *more) for more in ((), ("version",), ("image_id",), ("changes",)))],
    ids=".".join,
)
def test_whatever_a_record_holds_it_is_parked_with_a_reason_and_its_neighbour_goes_on(place, value):
    sqs = Sqs()
    records: list[Any] = [changed(place, value), record(2)]
    answer = process_records(records, environment=ENVIRONMENT, sqs_client=sqs, open_requests=NO_REQUESTS)
    assert answer == {"batchItemFailures": []}
    parked = [entry for url, entry in sqs.sent if url == "failures"]
    sent = [parse_message(entry["MessageBody"], CompactionMessage) for url, entry in sqs.sent if url == "lines"]
    numbers = [reference.image_id.int for message in sent for reference in message.runs]
    # An attribute of a type that runs do not have is an unknown field, and those are tolerated.
    assert (len(parked), numbers) in ((1, [2]), (0, [1, 2]))
    assert parked or place in (("dynamodb", "NewImage", "changes"), ("dynamodb", "NewImage", "version"))
    for entry in parked:
        assert entry["MessageAttributes"]["error_code"]["StringValue"] in {"MESSAGE_INVALID", "VERSION_UNSUPPORTED"}


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("call", ["send_message_batch", "send_message"])
def test_whatever_sqs_raises_the_batch_comes_again(monkeypatch, call, error):
    monkeypatch.setattr("time.sleep", lambda _: None)

    def raises(**_: object) -> None:
        raise error

    sqs = Sqs()
    monkeypatch.setattr(sqs, call, raises)
    poison = {"dynamodb": {"SequenceNumber": "7", "NewImage": None}}
    answer = process_records([poison, record(1)], environment=ENVIRONMENT, sqs_client=sqs, open_requests=NO_REQUESTS)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "7"}]}
    answer = process_records([None, record(1)], environment=ENVIRONMENT, sqs_client=sqs, open_requests=NO_REQUESTS)  # pyrefly: ignore
    assert answer == {"batchItemFailures": [{"itemIdentifier": ""}]}, "the whole batch"


def test_a_stream_batch_that_is_replayed_sends_the_same_messages_under_the_same_ids():
    first, again = Sqs(), Sqs()
    for sqs in (first, again):
        process_records(
            [record(n) for n in range(1200)], environment=ENVIRONMENT, sqs_client=sqs, open_requests=NO_REQUESTS
        )
    assert first.sent == again.sent
    identifiers = [entry["MessageDeduplicationId"] for _, entry in first.sent]
    assert len(set(identifiers)) == len(identifiers)


def test_a_run_that_is_twice_in_a_batch_is_sent_once():
    sqs = Sqs()
    process_records(
        [record(1), record(2), record(1)], environment=ENVIRONMENT, sqs_client=sqs, open_requests=NO_REQUESTS
    )
    bodies = [parse_message(entry["MessageBody"], CompactionMessage) for _, entry in sqs.sent]
    assert [[reference.image_id.int for reference in body.runs] for body in bodies] == [[1, 2], [1, 2]]


def test_a_message_is_never_larger_than_sqs_takes_however_long_a_reference_is(monkeypatch):
    monkeypatch.setattr(coalescing, "MESSAGE_BYTES", 500)
    messages = [message for message in coalesce(run(n).reference for n in range(20)) if message.collection == "lines"]
    assert max(len(message.model_dump_json()) for message in messages) < 500 + 100
    assert [reference.image_id.int for message in messages for reference in message.runs] == list(range(20))


def test_a_message_that_sqs_does_not_take_brings_the_whole_batch_back():
    class Full(Sqs):
        def send_message_batch(self, *, QueueUrl: str, Entries: list[dict]) -> dict:
            return {"Failed": [{"Id": entry["Id"], "Code": "InternalError"} for entry in Entries]}

    answer = process_records(
        [record(5), record(6)], environment=ENVIRONMENT, sqs_client=Full(), open_requests=NO_REQUESTS
    )
    assert answer == {"batchItemFailures": [{"itemIdentifier": "5"}]}


class Strict(Sqs):
    """Refuses what SQS refuses for its size."""

    def send_message(self, *, QueueUrl: str, **entry: Any) -> dict:
        attributes = entry["MessageAttributes"]
        size = len(entry["MessageBody"]) + sum(len(name) + len(str(value)) for name, value in attributes.items())
        if size > SQS_LIMIT:
            raise refusal("InvalidParameterValue")
        return super().send_message(QueueUrl=QueueUrl, **entry)


@pytest.mark.parametrize("letter", ["x", "é", "東", "\\"])
def test_a_record_of_the_largest_item_is_parked_in_one_message_and_its_neighbour_goes_on(letter):
    """DynamoDB's 400 kB, in letters that JSON writes as up to six bytes for two."""
    large = record(7)
    large["eventID"] = "event"
    large["dynamodb"]["Keys"] = {name: large["dynamodb"]["NewImage"][name] for name in ("PK", "SK")}
    padding = letter * (DYNAMODB_LIMIT // len(letter.encode()))
    large["dynamodb"]["NewImage"] |= {"version": {"S": "9.0"}, "padding": {"S": padding}}
    sqs = Strict()
    answer = process_records([large, record(1)], environment=ENVIRONMENT, sqs_client=sqs, open_requests=NO_REQUESTS)
    assert answer == {"batchItemFailures": []}
    (parked,) = (entry for url, entry in sqs.sent if url == "failures")
    assert parked["MessageAttributes"]["error_code"]["StringValue"] == "VERSION_UNSUPPORTED"
    body = json.loads(parked["MessageBody"])
    assert body["eventID"] == "event"
    assert body["dynamodb"]["SequenceNumber"] == "7"
    assert body["dynamodb"]["Keys"] == large["dynamodb"]["Keys"]
    assert {url for url, _ in sqs.sent} == {"failures", "lines", "words"}


def test_a_run_with_fields_of_later_releases_up_to_the_largest_item_goes_on():
    large = record(7)
    large["dynamodb"]["NewImage"] |= {f"later_{number}": {"S": "東" * 99} for number in range(1_300)}
    sqs = Strict()
    assert process_records([large], environment=ENVIRONMENT, sqs_client=sqs, open_requests=NO_REQUESTS) == {
        "batchItemFailures": []
    }
    assert {url for url, _ in sqs.sent} == {"lines", "words"}


def test_the_largest_run_that_the_pipeline_records_is_far_below_the_largest_item():
    longest = "\U0001f9fe" * MAXIMUM_MERCHANT_NAME
    error = "\U0001f9fe" * ERROR_LIMIT
    progress = CollectionProgress(
        expected_count=MAXIMUM_ROWS,
        merged_count=MAXIMUM_ROWS,
        attempts=5,
        error=error,
        delta_sha256="0" * 64,
        snapshot_version="0" * 40,
        superseded_by=LARGEST_INTEGER,
    )
    largest = run(1).model_copy(
        update={
            "receipt_id": LARGEST_INTEGER,
            "receipt_version": LARGEST_INTEGER,
            "changes": {"merchant_name": longest, "merchant_source": "given"},
            "delta_run_id": "0" * 32,
            "content_run_id": "0" * 32,
            "uploaded_at": MOMENT,
            "sequencer": "0" * 64,
            "delta_bucket": "b" * 63,
            "lines": progress,
            "words": progress,
            "merchant_name": longest,
            "merchant_error": "\U0001f9fe" * SHOWN_CHARACTERS,
        }
    )
    assert set(largest.model_dump(exclude_none=True)) == set(CompactionRun.model_fields), "a field is not filled"
    item = run_to_item(largest)
    size = sum(len((name + "".join(value.values())).encode()) for name, value in item.items())
    assert size < DYNAMODB_LIMIT / 10
