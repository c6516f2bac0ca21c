"""The embedding core. A failure here pays twice for a receipt, records a run without its deltas, or loses a message."""

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NoReturn
from uuid import UUID

import numpy as np
import pytest

from embed_lambda.handler import answer
from pipeline.collections.receipts import deciding_run
from pipeline.contracts.identifiers import delta_key, upload_id
from pipeline.contracts.run import CompactionRun, RunState
from pipeline.deltas import read_delta
from pipeline.embedding.core import EmbeddingCore
from pipeline.embedding.embedders.base import PartlyEmbeddedError
from pipeline.embedding.work import Disposition, IncomingMessage
from pipeline.errors import ErrorCode, RetryableError
from pipeline.merchants.resolution import MerchantResolver
from pipeline.objects import ObjectStore
from pipeline.runs.transitions import AttemptFailed
from tests.stages.embedding_world import (
    ARTIFACTS,
    DEAD_LETTERS,
    BrokenSnapshots,
    CountingEmbedder,
    EmbeddingWorld,
    dispositions,
)
from tests.stages.ocr_results import IMAGE
from tests.world import BUCKET


def test_receipts_of_a_batch_share_one_embedding_request_and_each_gets_its_run_and_deltas(world):
    first, second = world.message(1), world.message(2, merchant_name="Alma")
    assert dispositions(world, world.incoming(first, "a"), world.incoming(second, "b")) == [Disposition.EMBEDDED] * 2
    assert len(world.embedder.requests) == 1
    assert len(set(world.embedder.requests[0])) == len(world.embedder.requests[0])
    run = world.run_of(second)
    assert (run.merchant_name, run.merchant_source, run.consumer) == ("Alma", "given", "lambda")
    delta = read_delta(world.core.objects, BUCKET, "words", run.run_id, run.words.delta_sha256)
    assert [delta.text_of(row) for row in delta.rows] == ["ALMA", "CAFÉ", "tea"]
    assert delta.vectors.tolist()[0] == [4, 1, 0, 0]
    assert delta.rows[0].id.endswith("#RECEIPT#00002#LINE#00001#WORD#00001")
    assert isinstance(delta.rows[0].metadata["receipt_id"], int)


def test_a_redelivered_message_finds_its_run_and_pays_nothing(world):
    message = world.message()
    world.core.process([world.incoming(message)])
    assert dispositions(world, world.incoming(message)) == [Disposition.SKIPPED]
    assert len(world.embedder.requests) == 1


HOURS = [datetime(2026, 1, 2, hour, tzinfo=UTC) for hour in range(6)]


def uploaded(message: Any, hour: int) -> Any:
    return message.model_copy(update={"uploaded_at": HOURS[hour]})


def decision(runs: Sequence[CompactionRun]) -> CompactionRun:
    """The run that decides what the receipt is now."""
    found = deciding_run(runs)
    assert found is not None
    return found


def receipt_now(world: EmbeddingWorld, message: Any) -> tuple[str, int]:
    """The run whose delta the receipt has, and how many operations were recorded."""
    runs = world.runs.of_receipt(message.image_id, message.receipt_id)
    return decision(runs).content_id, len(runs)


def test_content_that_comes_back_after_other_content_is_applied_again_and_not_paid_for(world):
    first, second = world.message(1, ("one",)), world.message(1, ("two",))
    for hour, message in enumerate((first, second)):
        world.core.process([world.incoming(uploaded(message, hour))])
    again = world.incoming(uploaded(first, 2))
    assert dispositions(world, again) == [Disposition.APPLIED_AGAIN]
    assert receipt_now(world, first) == (first.run_id, 3)
    assert dispositions(world, again) == [Disposition.SKIPPED]
    assert dispositions(world, world.incoming(uploaded(second, 3))) == [Disposition.APPLIED_AGAIN]
    assert receipt_now(world, first) == (second.run_id, 4)
    assert len(world.embedder.requests) == 2


def test_a_late_redelivery_of_what_was_replaced_changes_nothing(world):
    first, second = world.message(1, ("one",)), world.message(1, ("two",))
    for hour, message in enumerate((first, second)):
        world.core.process([world.incoming(uploaded(message, hour))])
    for late in (uploaded(first, 0), first):
        assert dispositions(world, world.incoming(late)) == [Disposition.SKIPPED]
    assert receipt_now(world, first) == (second.run_id, 2)


def test_content_that_comes_back_in_the_batch_of_what_replaces_it_comes_last(world):
    first, second = world.message(1, ("one",)), world.message(1, ("two",))
    world.core.process([world.incoming(uploaded(first, 0))])
    batch = [world.incoming(uploaded(second, 1), "m1"), world.incoming(uploaded(first, 2), "m2")]
    assert dispositions(world, *batch) == [Disposition.EMBEDDED, Disposition.APPLIED_AGAIN]
    assert receipt_now(world, first) == (first.run_id, 3)


def test_a_receipt_that_was_removed_is_there_again_when_it_is_uploaded_after_that(world):
    message = world.message(1)
    world.core.process([world.incoming(uploaded(message, 0))])
    (run,) = world.runs.of_receipt(message.image_id, 1)
    removal = {"run_id": "d" * 32, "kind": "delete", "uploaded_at": None, "created_at": HOURS[2]}
    world.runs.record(run.model_copy(update=removal))
    assert dispositions(world, world.incoming(uploaded(message, 1))) == [Disposition.APPLIED_AGAIN]
    assert decision(world.runs.of_receipt(message.image_id, 1)).kind == "delete"
    assert dispositions(world, world.incoming(uploaded(message, 3))) == [Disposition.APPLIED_AGAIN]
    assert receipt_now(world, message) == (message.run_id, 4)


@pytest.mark.parametrize("spoil", ["failed", "expired"])
def test_content_whose_deltas_are_no_good_is_embedded_anew_when_it_is_uploaded_again(world, spoil):
    message = world.message(1)
    world.core.process([world.incoming(uploaded(message, 0))])
    (run,) = world.runs.of_receipt(message.image_id, 1)
    if spoil == "failed":
        failure = AttemptFailed(before=RunState.PENDING, error="DELTA_INVALID: why", gives_up=True)
        world.runs.move(run.reference, "words", failure)
    else:
        world.s3.delete_object(Bucket=BUCKET, Key=delta_key("words", run.run_id, run.words.delta_sha256))
    assert dispositions(world, world.incoming(uploaded(message, 0))) == [Disposition.SKIPPED]
    again = world.incoming(uploaded(message, 1))
    assert dispositions(world, again) == [Disposition.EMBEDDED]
    later = world.incoming(uploaded(message, 2))
    assert dispositions(world, again, later) == [Disposition.SKIPPED, Disposition.APPLIED_AGAIN]
    runs = world.runs.of_receipt(message.image_id, 1)
    assert [run.content_id for run in runs] == [message.run_id] * 3
    assert runs[2].delta_run_id == runs[1].run_id
    assert runs[1].delta_run_id is None
    assert runs[1].run_id == upload_id(message.run_id, HOURS[1])
    assert world.deltas(runs[1]) == 2
    assert len(world.embedder.requests) == 2


def test_two_uploads_of_the_same_content_are_two_messages_and_two_deliveries_of_one_are_one(world):
    message = world.message(1)
    ids = [uploaded(message, hour).deduplication_id for hour in (0, 0, 1)]
    assert ids[0] == ids[1] != ids[2]
    assert message.deduplication_id == message.run_id


def test_two_uploads_of_one_content_in_one_batch_are_one_embedding(world):
    message = world.message(1)
    batch = [world.incoming(uploaded(message, 0), "m1"), world.incoming(uploaded(message, 1), "m2")]
    assert dispositions(world, *batch) == [Disposition.EMBEDDED, Disposition.APPLIED_AGAIN]
    assert len(world.embedder.requests) == 1
    run, again = world.runs.of_receipt(message.image_id, 1)
    assert again.delta_run_id == run.run_id
    assert world.deltas(run) == 2


def test_old_content_that_comes_back_in_the_batch_of_old_and_new_comes_last(world):
    old, new = world.message(1, ("one",)), world.message(1, ("two",))
    batch = [world.incoming(uploaded(item, hour), f"m{hour}") for hour, item in enumerate((old, new, old))]
    expected = [Disposition.EMBEDDED, Disposition.EMBEDDED, Disposition.APPLIED_AGAIN]
    assert dispositions(world, *batch) == expected
    assert receipt_now(world, old) == (old.run_id, 3)


class OtherBits(CountingEmbedder):
    """The same model on another machine: its vectors differ in the last bits."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return np.nextafter(super().embed(texts), np.float32(9))


def elsewhere(world: EmbeddingWorld) -> EmbeddingCore:
    """The core of another host, which processes the same messages."""
    return replace(world.core, embedder=OtherBits(), merchant_lock=threading.Lock())


@pytest.mark.parametrize("frozen_at", ["prepare", "embed", "the first delta", "both deltas"])
def test_of_two_deliveries_at_once_one_records_the_run_and_its_deltas_are_readable(world, monkeypatch, frozen_at):
    """One host freezes past its message's visibility, another one does the work, then the first goes on."""
    message, other = world.message(1), elsewhere(world)
    incoming = world.incoming(message)
    found: list[Disposition] = []

    def meanwhile(*_: Any) -> None:
        monkeypatch.undo()
        found.extend(outcome.disposition for outcome in other.process([incoming]))

    if frozen_at in ("prepare", "embed"):
        works = world.core.prepare([incoming])
        if frozen_at == "prepare":
            meanwhile()
        works = world.core.embed(works)
        if frozen_at == "embed":
            meanwhile()
        late = world.core.write(works)
    else:
        puts = []
        put = ObjectStore.put_verified

        def freezing(*arguments: Any, **named: Any) -> None:
            put(*arguments, **named)
            puts.append(arguments)
            if len(puts) == (1 if frozen_at == "the first delta" else 2):
                meanwhile()

        monkeypatch.setattr(ObjectStore, "put_verified", freezing)
        late = world.core.process([incoming])
    assert [found, [outcome.disposition for outcome in late]] == [[Disposition.EMBEDDED], [Disposition.SKIPPED]]
    (run,) = world.runs.of_receipt(message.image_id, 1)
    assert world.deltas(run) == 4, "those of the host that lost are there, and no run names them"
    assert {run.lines.state, run.words.state} == {RunState.PENDING}


def test_two_hosts_at_once_end_with_one_run_whichever_is_faster(world):
    message = world.message(1, ("one", "two"))
    incoming, start = world.incoming(message), threading.Barrier(2)

    def work(core: EmbeddingCore) -> Disposition:
        works = core.embed(core.prepare([incoming]))
        start.wait(10)
        return core.write(works)[0].disposition

    with ThreadPoolExecutor(2) as hosts:
        ends = list(hosts.map(work, (world.core, elsewhere(world))))
    assert sorted(ends) == [Disposition.EMBEDDED, Disposition.SKIPPED]
    (run,) = world.runs.of_receipt(message.image_id, 1)
    assert world.deltas(run) == 4


def test_a_removal_that_is_recorded_while_a_receipt_is_embedded_is_noticed(world):
    message = uploaded(world.message(1), 0)
    works = world.core.embed(world.core.prepare([world.incoming(message)]))
    world.core.process([world.incoming(uploaded(world.message(1, ("other",)), 1), "m2")])
    (run,) = world.runs.of_receipt(message.image_id, 1)
    world.runs.record(run.model_copy(update={"run_id": "d" * 32, "kind": "delete", "created_at": HOURS[2]}))
    assert [outcome.disposition for outcome in world.core.write(works)] == [Disposition.EMBEDDED]
    runs = world.runs.of_receipt(message.image_id, 1)
    assert max((run.receipt_version, run.run_id) for run in runs) == (3, message.run_id)
    assert decision(runs).kind == "delete"


def test_a_repeated_upload_that_is_overtaken_once_is_applied_again_at_the_second_look(world, monkeypatch):
    first, second = world.message(1, ("one",)), world.message(1, ("two",))
    for hour, message in enumerate((first, second)):
        world.core.process([world.incoming(uploaded(message, hour))])
    record, overtaken = world.runs.record, [True]

    def once(*arguments: Any, **named: Any) -> bool:
        if overtaken:
            overtaken.pop()
            raise RetryableError(ErrorCode.RUN_CONFLICT, value="v", rule="r", way_out="w")
        return record(*arguments, **named)

    monkeypatch.setattr(world.runs, "record", once)
    assert dispositions(world, world.incoming(uploaded(first, 2))) == [Disposition.APPLIED_AGAIN]
    assert receipt_now(world, first) == (first.run_id, 3)
    assert len(world.embedder.requests) == 2


def test_a_table_that_does_not_answer_is_told_as_that_and_not_as_a_conflict(world, monkeypatch):
    def silent(*_: Any, **__: Any) -> bool:
        raise RetryableError(ErrorCode.SERVICE_UNAVAILABLE, value="v", rule="r", way_out="w")

    message = world.message(1)
    with monkeypatch.context() as outage:
        outage.setattr(world.runs, "record", silent)
        (outcome,) = world.core.process([world.incoming(message)])
    assert (outcome.disposition, outcome.error.code) == (Disposition.RETRY, ErrorCode.SERVICE_UNAVAILABLE)
    assert world.run_of(message) is None
    assert dispositions(world, world.incoming(message)) == [Disposition.EMBEDDED]


def test_a_receipt_that_is_overtaken_without_an_end_comes_back(world, monkeypatch):
    def conflict(*_: Any, **__: Any) -> bool:
        raise RetryableError(ErrorCode.RUN_CONFLICT, value="v", rule="r", way_out="w")

    monkeypatch.setattr(world.runs, "record", conflict)
    (outcome,) = world.core.process([world.incoming(world.message(1))])
    assert outcome.disposition is Disposition.RETRY
    assert outcome.error.code is ErrorCode.RUN_CONFLICT


@pytest.mark.parametrize(
    "change",
    [
        {"artifacts_bucket": "somebody-elses"},
        {"lines_key": "ocr/a.json"},
        {"lines_key": f"receipts/{IMAGE}/receipt-00001/../receipt-00002/0123456789abcdef/lines.ndjson"},
        {"words_key": f"receipts/{IMAGE}/receipt-00001/0123456789abcdef/words.ndjson"},
        {"receipt_id": 2},
    ],
)
def test_a_message_that_names_other_objects_than_its_own_receipts_is_parked_and_nothing_is_read(world, change):
    message = world.message(1).model_copy(update=change)
    world.core.objects.get = None
    assert dispositions(world, world.incoming(message)) == [Disposition.PARKED]
    (parked,) = world.queues.to(DEAD_LETTERS)
    assert parked["MessageAttributes"]["error_code"]["StringValue"] == "MESSAGE_INVALID"


def test_noise_rows_are_not_embedded(world):
    message = world.message(1, ("ALMA", "", "*** ---"))
    world.core.process([world.incoming(message)])
    assert world.run_of(message).lines.expected_count == 1


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda world, message: world.s3.delete_object(Bucket=ARTIFACTS, Key=message.words_key), "OBJECT_MISSING"),
        (
            lambda world, message: world.s3.put_object(Bucket=ARTIFACTS, Key=message.lines_key, Body=b"{}\n"),
            "ARTIFACTS_MISMATCH",
        ),
    ],
)
def test_a_receipt_with_bad_artifacts_is_parked_with_its_reason_and_its_neighbour_is_embedded(world, spoil, code):
    bad, good = world.message(1), world.message(2, ("other",))
    spoil(world, bad)
    assert dispositions(world, world.incoming(bad, "bad"), world.incoming(good, "good")) == [
        Disposition.PARKED,
        Disposition.EMBEDDED,
    ]
    (parked,) = world.queues.to(DEAD_LETTERS)
    assert parked["MessageAttributes"]["error_code"]["StringValue"] == code
    assert parked["MessageGroupId"] == bad.group_id
    assert world.run_of(bad) is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"version": "2.0"}', "VERSION_UNSUPPORTED"),
        ("{}", "MESSAGE_INVALID"),
        ("no json", "MESSAGE_INVALID"),
        ('{"version": "1.7", "image_id": 5}', "MESSAGE_INVALID"),
    ],
)
def test_a_message_that_cannot_be_read_is_parked_with_its_reason(world, body, code):
    assert dispositions(world, world.incoming(body)) == [Disposition.PARKED]
    assert world.queues.to(DEAD_LETTERS)[0]["MessageAttributes"]["error_code"]["StringValue"] == code


def test_fields_of_a_later_minor_version_are_tolerated(world):
    message = json.loads(world.message().model_dump_json(exclude_none=True)) | {"version": "1.9", "colour": "blue"}
    assert dispositions(world, world.incoming(json.dumps(message))) == [Disposition.EMBEDDED]


def test_a_text_that_the_model_rejects_parks_its_own_receipt_only(world):
    bad, good = world.message(1, ("POISON",)), world.message(2, ("fine",))
    assert dispositions(world, world.incoming(bad, "bad"), world.incoming(good, "good")) == [
        Disposition.PARKED,
        Disposition.EMBEDDED,
    ]


def test_to_find_one_rejected_receipt_among_many_takes_few_requests(world):
    messages = [world.message(number, (f"text {number}",)) for number in range(1, 17)]
    messages[10] = world.message(11, ("POISON",))
    found = dispositions(world, *(world.incoming(item, f"m{n}") for n, item in enumerate(messages)))
    assert found == [Disposition.PARKED if n == 10 else Disposition.EMBEDDED for n in range(16)]
    assert len(world.embedder.requests) == 1 + 2 * 4


class OutOfTime(CountingEmbedder):
    """Has time for some texts a call, the first ones, and remembers nothing."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        vectors = super().embed(texts)
        if len(texts) <= 4:
            return vectors
        cause = RetryableError(ErrorCode.EMBEDDING_UNAVAILABLE, value="slow", rule="it answers", way_out="wait")
        raise PartlyEmbeddedError(cause, vectors=vectors, known=np.arange(len(texts)) < 4)


def test_a_receipt_that_cannot_be_embedded_in_time_does_not_take_its_neighbours_along(world):
    """The long one comes first in the batch, so in this order it would use up the time of the others."""
    core = replace(world.core, embedder=OutOfTime())
    long = world.message(1, tuple(f"line {number}" for number in range(5)))
    short = [world.message(2, ("one",)), world.message(3, ("two",))]
    batch = [world.incoming(item, f"m{number}") for number, item in enumerate((long, *short))]
    outcomes = core.process(batch)
    assert [outcome.disposition for outcome in outcomes] == [
        Disposition.RETRY,
        Disposition.EMBEDDED,
        Disposition.EMBEDDED,
    ]
    assert outcomes[0].error is not None
    assert outcomes[0].error.code is ErrorCode.EMBEDDING_UNAVAILABLE
    assert world.run_of(long) is None
    assert world.deltas(world.run_of(short[0])) == 2


def test_a_bad_message_behind_one_that_must_come_back_is_not_parked_yet(world):
    world.embedder.unavailable = True
    first = world.message(1)
    bad = IncomingMessage(message_id="m2", body="no json", group_id=first.group_id)
    assert dispositions(world, world.incoming(first), bad) == [Disposition.RETRY] * 2
    assert world.queues.sent == []
    world.embedder.unavailable = False
    assert dispositions(world, world.incoming(first), bad) == [Disposition.EMBEDDED, Disposition.PARKED]


def test_behind_artifacts_that_cannot_be_read_now_nothing_of_the_group_is_embedded(world, monkeypatch):
    first, second = world.message(1, ("one",)), world.message(1, ("two",))
    failure = RetryableError(ErrorCode.SERVICE_UNAVAILABLE, value="v", rule="r", way_out="w")
    get = ObjectStore.get

    def broken(self: ObjectStore, bucket: str, key: str) -> bytes:
        if key == first.lines_key:
            raise failure
        return get(self, bucket, key)

    monkeypatch.setattr(ObjectStore, "get", broken)
    outcomes = world.core.process([world.incoming(first, "m1"), world.incoming(second, "m2")])
    assert [outcome.disposition for outcome in outcomes] == [Disposition.RETRY] * 2
    assert world.embedder.requests == []


def test_an_unavailable_model_leaves_every_message_and_the_group_in_order(world):
    world.embedder.unavailable = True
    first = world.message(1, ("one",))
    records = [
        {
            "messageId": "a",
            "receiptHandle": "handle a",
            "body": first.model_dump_json(exclude_none=True),
            "attributes": {"MessageGroupId": first.group_id, "MessageDeduplicationId": "x"},
        },
        # Behind it in the same group stands a message that is already done: it must not overtake.
        {"messageId": "b", "body": "no json", "attributes": {"MessageGroupId": first.group_id}},
    ]
    assert answer(world.core, {"Records": records}, embed_queue_url="https://sqs/1/embed.fifo") == {
        "batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "b"}]
    }
    # The queue's visibility timeout is the pause.
    assert world.queues.delayed == []


def without_key(_: object) -> NoReturn:
    raise RetryableError(ErrorCode.EMBEDDING_CREDENTIALS, value="no key", rule="there is one", way_out="put it there")


@pytest.mark.parametrize(("receives", "seconds"), [(1, 60), (2, 300), (3, None), (5, None)])
def test_a_receipt_before_the_key_comes_back_in_a_minute_and_is_no_dead_letter_within_the_hour(
    world, monkeypatch, receives, seconds
):
    monkeypatch.setattr(world.embedder, "embed", without_key)
    first = world.message(1, ("one",))
    attributes = {"MessageGroupId": first.group_id, "ApproximateReceiveCount": str(receives)}
    records = [
        {
            "messageId": name,
            "receiptHandle": f"handle {name}",
            "body": first.model_dump_json(exclude_none=True),
            "attributes": attributes,
            "eventSourceARN": "arn:aws:sqs:us-east-1:1:receipts-dev-embed-lambda.fifo",
        }
        for name in ("a", "b")
    ]
    failed = answer(world.core, {"Records": records}, embed_queue_url="https://sqs/1/receipts-dev-embed.fifo")
    assert [item["itemIdentifier"] for item in failed["batchItemFailures"]] == ["a", "b"]
    # SQS gives no message of a group while one of it is hidden, so both come back together.
    expected = [("https://sqs/1/receipts-dev-embed-lambda.fifo", f"handle {name}", seconds) for name in ("a", "b")]
    assert world.queues.delayed == ([] if seconds is None else expected)


def test_a_failed_upload_records_no_run(world, monkeypatch):
    message = world.message()
    monkeypatch.setattr(world.s3, "head_object", lambda **_: {"ChecksumSHA256": "of something else"}, raising=True)
    assert dispositions(world, world.incoming(message)) == [Disposition.RETRY]
    assert world.run_of(message) is None


def test_a_failed_merchant_resolution_is_recorded_and_does_not_look_like_no_merchant(world):
    core = replace(world.core, merchants=MerchantResolver(snapshots=BrokenSnapshots()))
    message = world.message()
    core.process([world.incoming(message)])
    run = world.run_of(message)
    assert run.merchant_source == "failed"
    assert "PermissionError: bad credential" in run.merchant_error


def test_ids_are_stable_across_releases(world):
    """A change here orphans every vector and pays for every receipt again."""
    message = world.message()
    assert message.group_id == f"{UUID('0c1a7f0e-53a2-4b45-9a4e-6d0b7c8f3a11')}-00001"
    assert message.run_id == "09e28017693e22625109edf2b88ff4c2"
