"""Merging and publishing with a real Chroma; a failure loses a receipt's rows, doubles them, or hides a bad one."""

import itertools
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from compaction_handler import publishing
from compaction_handler.handler import TICK_SOURCE, delay_seconds
from compaction_handler.lease import Lease, acquire
from compaction_handler.marking import MAXIMUM_ATTEMPTS
from compaction_handler.merging import CollectionMerger
from compaction_handler.planning import Plan
from compaction_handler.queue_requests import BODY_BYTES
from compaction_handler.working_copy import WorkingCopy
from pipeline.collections.layout import DATABASE_NAME, INDEX_NAME, ROWS_NAME, current_path, version_path
from pipeline.collections.receipts import ReceiptKey
from pipeline.collections.rows import NewRow, RowTable
from pipeline.collections.versions import read_current, read_current_object
from pipeline.contracts.identifiers import COLLECTIONS
from pipeline.contracts.messages import CompactionMessage, RunReference
from pipeline.contracts.run import RunState
from pipeline.errors import ErrorCode, PermanentError, PipelineError, RetryableError
from pipeline.objects import ObjectStore
from pipeline.runs.repository import RunRepository
from pipeline.runs.transitions import AttemptFailed
from tests.compaction.world import START, Killed, MergeWorld, ids, spoil
from tests.stages.anything import ERRORS, TEXTS
from tests.world import BUCKET, TABLE

replace_rows = RowTable.replace

EVERY_CALL = bool(os.environ.get("EVERY_CALL"))


def record(message_id: str, body: str, group: str = "lines", **more: str) -> dict[str, Any]:
    attributes = {"MessageGroupId": group, "MessageDeduplicationId": "d-" + message_id, **more}
    return {"messageId": message_id, "receiptHandle": "r-" + message_id, "body": body, "attributes": attributes}


def message(collection: Any, *references: RunReference) -> str:
    return CompactionMessage(collection=collection, runs=references).model_dump_json()


def failing(error: BaseException, original: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    def step(*arguments: Any, **named: Any) -> None:
        if after:
            original(*arguments, **named)
        raise error

    return step


class FlakyClient:
    """A client of which one call fails, or has its answer lost."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._left, self._after, self.has_failed = 0, False, False

    def fail(self, number: int, *, after: bool) -> None:
        """Let the n-th call from now on fail; 0 for none."""
        self._left, self._after, self.has_failed = number, after, False

    def __getattr__(self, name: str) -> Any:
        original = getattr(self._client, name)

        def call(**arguments: Any) -> Any:
            self._left -= 1
            if self._left != 0:
                return original(**arguments)
            self.has_failed = True
            if self._after:
                original(**arguments)
            raise EndpointConnectionError(endpoint_url="https://example.invalid")

        return call if callable(original) and name != "get_paginator" else original


def expire_the_lease(world: MergeWorld) -> None:
    """What time does after a kill."""
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"PK": {"S": "COLLECTION#lines"}, "SK": {"S": "LEASE"}},
        UpdateExpression="SET expires = :zero",
        ExpressionAttributeValues={":zero": {"N": "0"}},
    )


def without_the_last_row(table: RowTable, key: ReceiptKey, texts: Sequence[str], rows: Sequence[NewRow]) -> list[int]:
    """A ``RowTable.replace`` that loses a row."""
    return replace_rows(table, key, texts, rows[:-1])


def unavailable() -> RetryableError:
    return RetryableError(ErrorCode.SERVICE_UNAVAILABLE, value="503", rule="S3 answers", way_out="wait")


def test_a_merged_receipt_is_completed_and_found_by_readers_of_the_directory_and_of_s3(world):
    reference = world.run(1)
    records = [
        record("a", message("lines", reference)),
        record("b", message("words", reference), "words"),
    ]
    assert world.process().handle({"Records": records}) == {"batchItemFailures": []}
    run = world.runs.find(reference)
    for collection in COLLECTIONS:
        progress = run.progress(collection)
        assert (progress.state, progress.merged_count, progress.attempts) == (RunState.COMPLETED, 2, 0)
        pointer = read_current(world.root, collection)
        assert pointer is not None
        assert progress.snapshot_version == pointer.version
        assert pointer == read_current_object(world.objects, BUCKET, collection)
        assert world.readers(collection) == [ids(1), ids(1)]


@pytest.mark.parametrize("again", ["in one batch", "later", "after a cold start"])
def test_a_message_that_is_delivered_twice_changes_nothing(world, again):
    reference = world.run(1)
    process = world.process()
    first = record("a", message("lines", reference))
    process.handle({"Records": [first, record("b", first["body"])] if again == "in one batch" else [first]})
    before = read_current(world.root, "lines")
    if again != "in one batch":
        process = world.process() if again == "after a cold start" else process
        assert process.handle({"Records": [first]}) == {"batchItemFailures": []}
    assert read_current(world.root, "lines") == before
    assert world.readers() == [ids(1), ids(1)]


@pytest.mark.parametrize(
    ("recorded", "stored", "code"),
    [
        ({}, b"x", ErrorCode.OBJECT_CHANGED),
        ({}, None, ErrorCode.OBJECT_MISSING),
        ({"model": "another"}, ..., ErrorCode.DELTA_INCOMPATIBLE),
        ({"dimensions": 5}, ..., ErrorCode.DELTA_INCOMPATIBLE),
        ({"expected": 3}, ..., ErrorCode.DELTA_INVALID),
    ],
    ids=["corrupted", "missing", "of another model", "of other dimensions", "short of rows"],
)
def test_a_bad_delta_fails_its_own_receipt_with_the_reason_and_its_neighbour_is_completed(
    world, recorded, stored, code
):
    bad, good = world.run(1, **recorded), world.run(2)
    key = world.delta_key(bad)
    if stored is None:
        world.s3.delete_object(Bucket=BUCKET, Key=key)
    elif stored is not ...:
        world.s3.put_object(Bucket=BUCKET, Key=key, Body=stored)
    answer = world.process().handle({"Records": [record("a", message("lines", bad, good))]})
    assert answer == {"batchItemFailures": []}
    assert world.states(bad, good) == [RunState.FAILED, RunState.COMPLETED]
    assert world.lines(bad).error.startswith(code)
    assert world.readers() == [ids(2), ids(2)]


def test_a_receipt_that_was_there_and_one_that_was_not_are_merged_in_one_chunk(world):
    merger = world.merger()
    merger.merge([world.run(1)])
    again, other = world.operation("upsert", 1, rows=2), world.run(2)
    merger.merge([again, other])
    assert world.readers() == [ids(1, 2)] * 2
    assert merger.copy is not None
    rows = [row.metadata for row in merger.copy.rows.all_rows()]
    assert {(row["image_id"], row["run_id"]) for row in rows} == {
        (str(run.image_id), run.run_id) for run in (again, other)
    }


def test_readers_do_not_wait_for_marks(world, monkeypatch):
    merger, reference = world.merger(), world.run(1)
    original, published_before = RunRepository.move, []

    def move(*arguments: Any, **named: Any) -> bool:
        published_before.append(read_current(world.root, "lines") is not None)
        return original(*arguments, **named)

    monkeypatch.setattr(RunRepository, "move", move)
    merger.merge([reference])
    assert published_before == [True, True]
    assert world.states(reference) == [RunState.COMPLETED]


def test_a_message_of_a_run_that_does_not_exist_does_not_stop_its_neighbour(world):
    ghost = RunReference(image_id=UUID(int=9), receipt_id=1, run_id="0" * 32)
    good = world.run(1)
    world.merger().merge([ghost, good])
    assert world.states(good) == [RunState.COMPLETED]


@pytest.mark.parametrize("by", ["tick", "message"])
@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
def test_a_receipt_waits_merged_until_the_interval_is_over_and_is_then_published(world, by, cold):
    world.settings["publish_every_seconds"] = 300
    first, second = world.run(1), world.run(2)
    merger = world.merger()
    merger.merge([first])
    merger.merge([second])
    merger.tick()
    assert world.states(first, second) == [RunState.COMPLETED, RunState.MERGED]
    assert world.readers() == [ids(1), ids(1)]
    world.moment += timedelta(seconds=301)
    merger = world.merger() if cold else merger
    expected = [1, 2]
    if by == "tick":
        merger.tick()
    else:
        merger.merge([world.run(3)])
        expected.append(3)
    assert world.states(first, second) == [RunState.COMPLETED] * 2
    assert world.readers() == [ids(*expected)] * 2


def test_the_tick_merges_a_receipt_whose_message_was_lost_but_not_one_that_was_just_recorded(world):
    reference = world.run(1)
    merger = world.merger()
    world.moment = START + timedelta(minutes=4)
    merger.tick()
    assert world.states(reference) == [RunState.PENDING]
    world.moment = START + timedelta(minutes=6)
    merger.tick()
    assert world.states(reference) == [RunState.COMPLETED]


STEPS: dict[str, tuple[Any, str]] = {
    "the copy to the directory": (publishing, "copy_version"),
    "the upload to S3": (publishing, "upload_version"),
    "moving the pointer": (Lease, "point"),
    "the pointer on the directory": (publishing, "write_current"),
    "the pointer in S3": (publishing, "write_current_object"),
}


@pytest.mark.parametrize(
    ("after", "first"), [(False, False), (True, True)], ids=["before, of a later version", "after, of the first"]
)
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_around_any_step_of_a_publication_neither_loses_nor_doubles_a_row(
    world, monkeypatch, step, after, first
):
    published = [] if first else [world.run(1)]
    if published:
        world.merger().merge(published)
    waiting = world.run(2)
    owner, name = STEPS[step]
    original = getattr(owner, name)
    crash = failing(Killed(), original, after=after)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, crash)
        with pytest.raises(Killed):
            world.merger().merge([waiting])
    assert world.states(waiting) != [RunState.COMPLETED]
    world.merger().merge([waiting])
    assert world.states(*published, waiting) == [RunState.COMPLETED] * (len(published) + 1)
    expected = ids(2) if first else ids(1, 2)
    assert world.readers() == [expected, expected]


@pytest.mark.parametrize("step", ["the copy to the directory", "the upload to S3", "the pointer on the directory"])
def test_after_a_publication_that_found_s3_unavailable_the_same_process_publishes_at_the_next_try(
    world, monkeypatch, step
):
    waiting, later = world.run(1), world.run(2)
    merger = world.merger()
    owner, name = STEPS[step]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing(unavailable(), getattr(owner, name), after=False))
        with pytest.raises(RetryableError):
            merger.merge([waiting])
    merger.merge([waiting, later])
    assert world.states(waiting, later) == [RunState.COMPLETED] * 2
    assert world.readers() == [ids(1, 2)] * 2


@pytest.mark.parametrize("cold", [False, True])
def test_what_s3_does_not_have_yet_is_published_but_not_completed(world, monkeypatch, cold):
    done, waiting = world.run(1), world.run(2)
    merger = world.merger()
    merger.merge([done])
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "upload_version", failing(unavailable(), publishing.upload_version, after=False))
        with pytest.raises(RetryableError):
            merger.merge([waiting])
    published = read_current(world.root, "lines")
    assert world.states(done, waiting) == [RunState.COMPLETED, RunState.MERGED]
    assert world.readers() == [ids(1, 2), ids(1)]
    (world.merger() if cold else merger).merge([waiting])
    assert world.states(waiting) == [RunState.COMPLETED]
    assert world.readers() == [ids(1, 2)] * 2
    assert read_current(world.root, "lines") == published


@pytest.mark.parametrize("every", [0, 300])
def test_a_published_file_that_changed_before_s3_had_it_is_found_out_and_its_runs_are_merged_again(
    world, monkeypatch, every
):
    world.settings["publish_every_seconds"] = every
    done, waiting = world.run(1), world.run(2)
    merger = world.merger()
    merger.merge([done])
    world.moment += timedelta(seconds=every)

    def damaged(*arguments: Any) -> None:
        version = version_path(world.root, "lines", arguments[3].version)
        with (version / ROWS_NAME).open("r+b") as file:
            file.truncate(5_000)
        # What S3 makes of it, tests/compaction/test_parts.py; moto believes every checksum.
        raise RetryableError(ErrorCode.OBJECT_UPLOAD_UNVERIFIED, value="another", rule="as checked", way_out="again")

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "upload_version", damaged)
        with pytest.raises(RetryableError) as caught:
            merger.merge([waiting])
    assert caught.value.code is ErrorCode.OBJECT_UPLOAD_UNVERIFIED
    assert world.states(done, waiting) == [RunState.COMPLETED, RunState.MERGED]
    merger.merge([waiting])
    assert world.states(done, waiting) == [RunState.COMPLETED] * 2
    assert world.readers() == [ids(1, 2)] * 2


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("service", ["dynamodb", "s3"])
def test_whichever_call_fails_once_a_receipt_that_is_completed_is_published(world, service, after):
    client = FlakyClient(getattr(world, service))
    process = world.process()
    if service == "dynamodb":
        merger = replace(process.mergers["lines"], dynamodb=client, runs=RunRepository(TABLE, client))
    else:
        merger = replace(process.mergers["lines"], objects=ObjectStore(client))
    process.mergers["lines"] = merger
    # Each call fails either before or after it has its effect; in `make torture` both.
    calls = itertools.count(1) if EVERY_CALL else itertools.count(1 + after, 2)
    for number, call in enumerate(calls, 1):
        reference = world.run(number)
        client.fail(call, after=after)
        with suppress(RetryableError):
            merger.merge([reference])
        has_failed = client.has_failed
        client.fail(0, after=after)
        expire_the_lease(world)
        merger.merge([reference])
        assert world.states(reference) == [RunState.COMPLETED]
        assert world.readers() == [sorted(ids(*range(1, number + 1)))] * 2
        if not has_failed:
            break
    assert call > (8 if service == "dynamodb" else 4)


def test_what_another_process_merged_survives_an_outage_before_this_one_looked(world, monkeypatch):
    here, there = world.merger(), world.merger()
    waiting = world.run(3)
    here.merge([world.run(1)])
    there.merge([world.run(2)])
    named = [waiting.model_dump(mode="json")]
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"PK": {"S": "COLLECTION#lines"}, "SK": {"S": "LEASE"}},
        UpdateExpression="SET suspects = :named",
        ExpressionAttributeValues={":named": {"S": json.dumps(named)}},
    )
    with monkeypatch.context() as patch:
        patch.setattr(RunRepository, "find_all", failing(unavailable(), RunRepository.find_all, after=False))
        with pytest.raises(RetryableError):
            here.merge([waiting])
    here.merge([waiting])
    assert world.readers() == [ids(1, 2, 3)] * 2


def test_half_a_receipt_is_never_published_although_its_failure_could_not_be_recorded(world, monkeypatch):
    merger, broken, other = world.merger(), world.run(1, rows=3), world.run(2)
    with monkeypatch.context() as patch:
        patch.setattr(RowTable, "replace", without_the_last_row)
        patch.setattr(RunRepository, "move", failing(unavailable(), RunRepository.move, after=False))
        with pytest.raises(RetryableError):
            merger.merge([broken])
    merger.merge([other])
    assert world.readers() == [ids(2)] * 2


def test_who_finds_a_newer_version_in_s3_has_lost_the_collection_and_completes_nothing(world, monkeypatch):
    merger, waiting = world.merger(), world.run(1)
    original = publishing.read_current_object

    def newer(*arguments: Any) -> Any:
        pointer = read_current(world.root, "lines")
        return pointer and pointer.model_copy(update={"version": "999999999999-thief-000001"})

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "read_current_object", newer)
        with pytest.raises(RetryableError) as caught:
            merger.merge([waiting])
    assert caught.value.code is ErrorCode.LEASE_LOST
    assert publishing.read_current_object is original
    assert world.states(waiting) == [RunState.MERGED]


def test_what_happens_to_a_version_is_told_although_a_mark_failed_too(world, monkeypatch):
    unverified = RetryableError(ErrorCode.OBJECT_UPLOAD_UNVERIFIED, value="another", rule="as checked", way_out="again")
    monkeypatch.setattr(publishing, "upload_version", failing(unverified, publishing.upload_version, after=False))
    monkeypatch.setattr(RunRepository, "move", failing(unavailable(), RunRepository.move, after=False))
    with pytest.raises(RetryableError) as caught:
        world.merger().merge([world.run(1)])
    assert caught.value.code is ErrorCode.OBJECT_UPLOAD_UNVERIFIED


def test_a_first_version_that_is_lost_before_s3_had_it_has_a_way_out(world, monkeypatch):
    reference = world.run(1)
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "upload_version", failing(unavailable(), publishing.upload_version, after=False))
        with pytest.raises(RetryableError):
            world.merger().merge([reference])
    current = read_current(world.root, "lines")
    assert current is not None
    (version_path(world.root, "lines", current.version) / INDEX_NAME / DATABASE_NAME).unlink()
    with pytest.raises(PermanentError) as caught:
        world.merger().merge([reference])
    assert caught.value.code is ErrorCode.SNAPSHOT_MISSING
    assert "delete the item COLLECTION#lines, CURRENT of the table and the file CURRENT" in caught.value.way_out
    assert version_path(world.root, "lines", current.version).exists()
    world.dynamodb.delete_item(TableName=TABLE, Key={"PK": {"S": "COLLECTION#lines"}, "SK": {"S": "CURRENT"}})
    current_path(world.root, "lines").unlink()
    world.merger().merge([reference])
    assert world.states(reference) == [RunState.COMPLETED]
    assert world.readers() == [ids(1)] * 2


def test_a_merge_whose_lease_was_stolen_publishes_nothing_and_the_receipt_is_merged_by_the_next(world, monkeypatch):
    done, waiting = world.run(1), world.run(2)
    merger = world.merger()
    merger.merge([done])
    before = read_current(world.root, "lines")
    original = publishing.copy_version
    lease = {"PK": {"S": "COLLECTION#lines"}, "SK": {"S": "LEASE"}}

    def stolen(*arguments: Any, **named: Any) -> str:
        thief = lease | {"lease_owner": {"S": "thief"}, "fence": {"N": "99"}, "expires": {"N": "0"}}
        world.dynamodb.put_item(TableName=TABLE, Item=thief)
        return original(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "copy_version", stolen)
        with pytest.raises(RetryableError) as caught:
            merger.merge([waiting])
    assert caught.value.code is ErrorCode.LEASE_LOST
    assert read_current(world.root, "lines") == before == read_current_object(world.objects, BUCKET, "lines")
    assert world.dynamodb.get_item(TableName=TABLE, Key=lease)["Item"]["lease_owner"] == {"S": "thief"}
    assert world.states(done, waiting) == [RunState.COMPLETED, RunState.PENDING]
    merger.merge([waiting])
    assert world.states(waiting) == [RunState.COMPLETED]
    assert world.readers() == [ids(1, 2)] * 2


def test_a_missing_snapshot_is_never_an_empty_collection_and_its_messages_wait(world):
    world.settings["bootstrap_collections"] = False
    reference = world.run(1)
    answer = world.process().handle({"Records": [record("a", message("lines", reference))]})
    assert answer == {"batchItemFailures": [{"itemIdentifier": "a"}]}
    assert world.states(reference) == [RunState.PENDING]
    assert world.lines(reference).attempts == 0
    assert world.perform_requests().sent == []


def test_an_empty_directory_is_restored_from_s3_and_nothing_that_was_published_is_lost(world):
    world.merger().merge([world.run(1)])
    world.settings |= {"collections_directory": str(world.path / "new"), "bootstrap_collections": False}
    world.merger().merge([world.run(2)])
    assert world.readers() == [ids(1, 2)] * 2


def test_a_version_of_another_model_is_not_written_to(world):
    world.merger().merge([world.run(1)])
    world.settings["embedding_model"] = "another"
    with pytest.raises(PermanentError) as caught:
        world.merger().merge([world.run(2, model="another")])
    assert caught.value.code is ErrorCode.DELTA_INCOMPATIBLE


@pytest.mark.parametrize("group", ["lines", "words"])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("no json", "MESSAGE_INVALID"),
        ("{}", "MESSAGE_INVALID"),
        (json.dumps({"version": "2.0"}), "VERSION_UNSUPPORTED"),
    ],
)
def test_a_message_that_cannot_be_read_is_parked_where_it_belongs_and_its_neighbour_is_merged(world, group, body, code):
    reference = world.run(1)
    records = [record("bad", body, group), record("good", message("lines", reference))]
    assert world.process().handle({"Records": records}) == {"batchItemFailures": []}
    (parked,) = world.perform_requests().sent
    assert (parked["QueueUrl"], parked["MessageBody"]) == (f"{group}-dlq", body)
    assert (parked["MessageGroupId"], parked["MessageDeduplicationId"]) == (group, "bad")
    assert parked["MessageAttributes"]["error_code"]["StringValue"] == code
    assert world.states(reference) == [RunState.COMPLETED]


def test_a_bad_message_behind_one_that_comes_back_is_parked_once_and_not_at_every_delivery(world, monkeypatch):
    """SQS delivers it again whatever is answered, because its group stays in order."""
    reference, process = world.run(1), world.process()
    records = [record("first", message("lines", reference)), record("bad", "no json")]
    with monkeypatch.context() as outage:
        outage.setattr(RunRepository, "find_all", failing(unavailable(), RunRepository.find_all, after=False))
        for _ in range(3):
            answer = process.handle({"Records": records})
            assert answer == {"batchItemFailures": [{"itemIdentifier": "first"}, {"itemIdentifier": "bad"}]}
    assert world.perform_requests().sent == []
    assert process.handle({"Records": records}) == {"batchItemFailures": []}
    assert [parked["MessageDeduplicationId"] for parked in world.perform_requests().sent] == ["bad"]


def test_whatever_a_merge_raises_its_messages_come_back_and_the_other_collection_is_merged(world, monkeypatch):
    process = world.process()
    reference = RunReference(image_id=UUID(int=1), receipt_id=1, run_id="0" * 32)
    records = [record(name, message(name, reference), name) for name in ("lines", "words")]
    for error in ERRORS:
        done: list[str] = []

        def merge(merger: CollectionMerger, *_: Any, error: Exception = error, done: list[str] = done) -> set[str]:
            if merger.collection == "lines":
                raise error
            done.append("words")
            return set()

        monkeypatch.setattr(CollectionMerger, "merge", merge)
        monkeypatch.setattr(CollectionMerger, "tick", merge)
        assert process.handle({"Records": records}) == {"batchItemFailures": [{"itemIdentifier": "lines"}]}
        assert [handle for _, handle, _ in world.perform_requests().delayed] == ["r-lines"], "and soon"
        with pytest.raises(PipelineError):
            process.handle({"source": TICK_SOURCE})
        assert done == ["words", "words"], f"a tick gives the other collection its turn too: {error!r}"


def test_whatever_a_message_says_it_is_parked_with_a_reason(world):
    process = world.process()
    for body in TEXTS:
        assert process.handle({"Records": [record("bad", body)]}) == {"batchItemFailures": []}
        (parked,) = world.perform_requests().sent
        assert parked["MessageBody"] == body
        assert parked["MessageAttributes"]["error_code"]["StringValue"] in {"MESSAGE_INVALID", "VERSION_UNSUPPORTED"}


def test_a_message_too_large_for_the_table_is_left_to_its_queue(world):
    body, process = "x" * (BODY_BYTES + 1), world.process()
    answer = process.handle({"Records": [record("large", body), record("next", "no json")]})
    assert answer == {"batchItemFailures": [{"itemIdentifier": "large"}, {"itemIdentifier": "next"}]}
    done = world.perform_requests()
    assert done.sent == []
    assert [handle for _, handle, _ in done.delayed] == ["r-large", "r-next"]
    assert process.handle({"Records": [record("fits", "x" * BODY_BYTES)]}) == {"batchItemFailures": []}
    (parked,) = world.perform_requests().sent
    assert len(parked["MessageBody"]) == BODY_BYTES


def test_a_table_that_takes_nothing_keeps_what_cannot_be_read_on_its_queue(world, monkeypatch):
    process = world.process()

    def throttled(**_: object) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "PutItem")

    with monkeypatch.context() as outage:
        outage.setattr(world.dynamodb, "put_item", throttled)
        answer = process.handle({"Records": [record("bad", "no json")]})
    assert answer == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    assert world.perform_requests().sent == []


def poisoned(bad: RunReference, error: BaseException) -> Callable[..., None]:
    """A merge that breaks as soon as it writes one certain receipt."""
    apply = WorkingCopy.apply

    def step(copy: WorkingCopy, plan: Plan, *arguments: Any) -> None:
        if bad.run_id in {operation.run_id for operation in plan.upserts.values()}:
            raise error
        apply(copy, plan, *arguments)

    return step


def test_a_receipt_that_keeps_breaking_the_merge_is_tried_five_times_and_then_quarantined(world, monkeypatch):
    bad, process = world.run(1), world.process()
    monkeypatch.setattr(WorkingCopy, "apply", poisoned(bad, RuntimeError("boom")))
    for attempt in range(1, MAXIMUM_ATTEMPTS + 1):
        assert world.states(bad) == [RunState.PENDING]
        answer = process.handle({"Records": [record("a", message("lines", bad))]})
        assert answer == {"batchItemFailures": [{"itemIdentifier": "a"}]}
        assert world.lines(bad).attempts == attempt
        assert world.lines(bad).error.startswith(ErrorCode.MERGE_BROKEN)
    assert world.states(bad) == [RunState.FAILED]
    good = world.run(2)
    assert process.handle({"Records": [record("a", message("lines", bad, good))]}) == {"batchItemFailures": []}
    assert world.states(good) == [RunState.COMPLETED]


def test_a_receipt_that_kills_the_process_is_quarantined_and_its_neighbours_get_through(world, monkeypatch):
    """Nothing catches a segmentation fault: whoever takes over counts what the dead one was writing."""
    bad, good = world.run(1), world.run(2)
    monkeypatch.setattr(WorkingCopy, "apply", poisoned(bad, Killed()))
    monkeypatch.setattr(Lease, "release", lambda *_, **__: None)
    kills = 0
    for _ in range(MAXIMUM_ATTEMPTS + 1):
        if world.states(bad) != [RunState.PENDING]:
            break
        try:
            world.process().handle({"Records": [record("a", message("lines", bad, good))]})
        except Killed:
            kills += 1
        expire_the_lease(world)
    assert kills == MAXIMUM_ATTEMPTS
    assert world.states(bad, good) == [RunState.FAILED, RunState.COMPLETED]
    assert world.lines(bad).error.startswith(ErrorCode.MERGE_KILLED)


def test_an_outage_quarantines_nothing_however_long_it_lasts(world, monkeypatch):
    bad, process = world.run(1), world.process()
    original = ObjectStore.get_verified

    def broken(store: ObjectStore, bucket: str, key: str, digest: str) -> bytes:
        if bad.run_id in key:
            raise unavailable()
        return original(store, bucket, key, digest)

    good = world.run(2)
    with monkeypatch.context() as outage:
        outage.setattr(ObjectStore, "get_verified", broken)
        for _ in range(MAXIMUM_ATTEMPTS + 1):
            answer = process.handle({"Records": [record("a", message("lines", bad, good))]})
            assert answer == {"batchItemFailures": [{"itemIdentifier": "a"}]}
            assert world.states(bad, good) == [RunState.PENDING, RunState.COMPLETED]
            assert world.lines(bad).attempts == 0
    assert process.handle({"Records": [record("a", message("lines", bad))]}) == {"batchItemFailures": []}
    assert world.states(bad) == [RunState.COMPLETED]


@pytest.mark.parametrize(("receives", "seconds"), [(1, 30), (2, 60), (3, 120), (10, 3_600)])
def test_a_message_is_hidden_longer_after_each_receive_up_to_an_hour(receives, seconds):
    assert delay_seconds(receives) == seconds


def test_a_message_that_failed_comes_back_soon_and_not_when_its_queue_would_bring_it(world):
    process = world.process()
    busy = acquire(TABLE, world.dynamodb, "lines", 60)
    records = [
        record("a", message("lines", world.run(1)), ApproximateReceiveCount="3"),
        record("b", message("words", world.run(1)), "words"),
    ]
    assert process.handle({"Records": records}) == {"batchItemFailures": [{"itemIdentifier": "a"}]}
    assert world.perform_requests().delayed == [("lines-queue", "r-a", 120)]
    busy.release("")


@pytest.mark.parametrize("fields", [{"version": "9.0"}, {"run_id": "no run id"}, {"created_at": "yesterday"}])
def test_an_item_that_cannot_be_read_keeps_nobody_else_from_being_merged(world, fields):
    strange, good = world.run(1), world.run(2)
    spoil(world, strange, **fields)
    process = world.process()
    body = message("lines", strange, good)
    assert process.handle({"Records": [record("a", body)]}) == {"batchItemFailures": []}
    assert world.states(good) == [RunState.COMPLETED]
    waiting = world.run(3)
    world.moment += timedelta(hours=1)
    process.handle({"source": "receipts.tick"})
    assert world.runs.find(waiting).words.state is RunState.COMPLETED


def test_old_versions_that_cannot_be_removed_keep_no_receipt_from_being_completed(world, monkeypatch):
    def refused(*_: Any, **__: Any) -> None:
        raise unavailable()

    monkeypatch.setattr(publishing, "delete_expired", refused)
    reference = world.run(1)
    world.merger().merge([reference])
    assert world.states(reference) == [RunState.COMPLETED]


def test_what_a_replayed_receipt_came_to_is_recorded_anew(world, monkeypatch):
    """Superseded in a copy that was lost; by then the newer operation has failed, and the older one counts."""
    world.settings["publish_every_seconds"] = 3_600
    published = world.run(9)
    merger = world.merger()
    merger.merge([published])
    older, newer = world.run(1), world.operation("upsert", 1, rows=3)
    merger.merge([older, newer])
    assert (world.lines(older).merged_count, world.lines(older).superseded_by) == (0, 2)
    failure = AttemptFailed(before=RunState.MERGED, error="DELTA_INVALID: why", gives_up=True)
    world.runs.move(newer, "lines", failure)
    merger.close()
    world.moment += timedelta(hours=2)
    world.merger().merge([older])
    progress = world.lines(older)
    assert (progress.state, progress.merged_count, progress.superseded_by) == (RunState.COMPLETED, 2, None)


def test_a_copy_in_which_a_row_is_missing_is_never_published(world, monkeypatch):
    bad, good = world.run(1), world.run(2)
    merger = world.merger()
    with monkeypatch.context() as patch:
        patch.setattr(RowTable, "replace", without_the_last_row)
        with pytest.raises(RetryableError) as caught:
            merger.merge([bad, good])
    assert caught.value.code is ErrorCode.MERGE_INCOMPLETE
    assert read_current(world.root, "lines") is None
    assert world.lines(bad).attempts == 1
    merger.merge([bad, good])
    assert world.readers() == [ids(1, 2)] * 2


def test_a_collection_that_needs_an_operator_does_not_keep_the_tick_from_the_other_one(world):
    world.settings["bootstrap_collections"] = False
    reference, process = world.run(1), world.process()
    bootstrapped = process.environment.model_copy(update={"bootstrap_collections": True})
    process.mergers["words"] = replace(process.mergers["words"], environment=bootstrapped)
    world.moment += timedelta(hours=1)
    with pytest.raises(PermanentError) as caught:
        process.handle({"source": "receipts.tick"})
    assert caught.value.code is ErrorCode.SNAPSHOT_MISSING
    assert world.runs.find(reference).words.state is RunState.COMPLETED
