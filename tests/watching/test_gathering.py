"""Looking at a stack in an account: what is asked of AWS, and how often.

A failure leaves a view that shows last hour's table as now, or a view that costs more than what it watches.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from botocore.exceptions import ClientError

from compaction_handler.storing import write_current_object
from ops.errors import OperatorError
from ops.stacks.account_view import AccountView
from ops.target import Target
from ops.watching.gathering import Watcher
from ops.watching.lanes import METRICS_SECONDS
from ops.watching.paced import Paced
from pipeline.collections.layout import Pointer
from pipeline.contracts.run import CompactionRun
from pipeline.objects import ObjectStore
from pipeline.runs.repository import RunRepository
from tests.watching.snapshots import IMAGE, MOMENT
from tests.world import BUCKET, REGION, TABLE, World, create_queue

QUEUES = {
    "ocrResultsQueueUrl": "ocr",
    "linesQueueUrl": "lines",
    "wordsQueueUrl": "words",
    "ocrResultsDeadLetterQueueUrl": "ocr-dead",
    "embedDeadLetterQueueUrl": "embed-dead",
    "linesDeadLetterQueueUrl": "lines-dead",
    "wordsDeadLetterQueueUrl": "words-dead",
    "streamFailureQueueUrl": "stream-failures",
}


class Fakes:
    """Clients of the services of which moto has too little here; ``asked`` counts their calls."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.mapping, self.desired, self.running = "Enabled", 0, 0
        self.metrics: list[dict[str, Any]] | None = []
        self.labels: set[str] = set()

    def get_event_source_mapping(self, **_: Any) -> dict[str, Any]:
        self.asked["mapping"] += 1
        return {"State": self.mapping}

    def describe_services(self, **_: Any) -> dict[str, Any]:
        self.asked["service"] += 1
        return {"services": [{"desiredCount": self.desired, "runningCount": self.running}]}

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        self.asked["metrics"] += 1
        self.labels = {query["Label"] for query in request["MetricDataQueries"]}
        if self.metrics is None:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetMetricData")
        return {"MetricDataResults": self.metrics}


@pytest.fixture
def account(aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Watcher, Fakes, Target]]:
    fakes, world = Fakes(), World().create()
    urls = {output: create_queue(world.sqs, name) for output, name in QUEUES.items()}
    embed = create_queue(world.sqs, "embed.fifo")
    outputs = {
        **urls,
        "embedQueueUrls": {"embed": embed},
        "embedConsumer": "lambda",
        "embedFunctionName": "embed",
        "uploadFunctionName": "upload",
        "mergeFunctionName": "merge",
        "embedMappingId": "m",
        "clusterName": "c",
        "serviceName": "s",
        "tableName": TABLE,
        "vectorsBucket": BUCKET,
    }
    clients = {"sqs": world.sqs, "s3": world.s3, "dynamodb": world.dynamodb}
    monkeypatch.setattr("ops.target.connect", lambda service, **_: clients.get(service, fakes))
    target = Target(outputs=outputs, client_options={"region_name": REGION}, cache_directory=tmp_path)
    with Watcher(AccountView(target, "dev")) as watcher:
        yield watcher, fakes, target


def test_after_a_switch_the_ages_of_the_new_queues_are_asked_for(account, monkeypatch):
    _, fakes, target = account
    hybrid = {**target.outputs, "embedConsumer": "hybrid", "embedFunctionName": "another"}
    hybrid["embedQueueUrls"] = {
        "embed": "https://sqs/1/embed",
        "embed-lambda": "https://sqs/1/small",
        "embed-ecs": "https://sqs/1/large",
    }
    switched = Target(outputs=hybrid, client_options=target.client_options, cache_directory=target.cache_directory)
    monkeypatch.setattr("ops.stacks.account_view.pulumi_target", lambda _: switched)
    monkeypatch.setattr("ops.stacks.account_view.METRICS_SECONDS", 0)
    view = AccountView(target, "dev")
    try:
        for _ in range(100):
            outputs, _ = view.settings()
            view.work(outputs, MOMENT)
            if "age embed-lambda" in fakes.labels:
                break
            time.sleep(0.01)
    finally:
        view.close()
    assert {"age embed-lambda", "age embed-ecs"} <= fakes.labels


def test_outputs_that_cannot_be_read_are_told_the_last_ones_are_used_and_they_are_read_again(account, monkeypatch):
    _, _, target = account
    later = Target(outputs={**target.outputs, "embedConsumer": "ecs"}, client_options={}, cache_directory=Path())
    refusals = [OperatorError("STACK_UNREADABLE", "no connection", "pulumi login")]

    def read(_: str) -> Target:
        if refusals:
            raise refusals.pop()
        return later

    monkeypatch.setattr("ops.stacks.account_view.pulumi_target", read)
    monkeypatch.setattr("ops.stacks.account_view.METRICS_SECONDS", 0)
    told = []
    with Watcher(AccountView(target, "dev")) as watcher:
        deadline = time.monotonic() + 10
        while (seen := watcher.look()).chosen != "ecs":
            told += [(seen.chosen, remark) for remark in seen.remarks]
            assert time.monotonic() < deadline
    assert seen.remarks == ()
    ((chosen, remark),) = set(told)
    assert chosen == "lambda"
    assert "an earlier reading: STACK_UNREADABLE: no connection" in remark


def test_a_table_that_cannot_be_read_again_keeps_its_counts_and_is_told(account, monkeypatch):
    watcher, _, _ = account
    counted = watcher.look().runs
    throttled = ClientError({"Error": {"Code": "Throttling", "Message": "slow down"}}, "Query")

    def refuse(_: RunRepository) -> Iterator[CompactionRun]:
        raise throttled

    monkeypatch.setattr(RunRepository, "all_runs", refuse)
    deadline = time.monotonic() + 10
    while not (seen := watcher.look()).remarks:
        assert time.monotonic() < deadline
    assert (seen.runs is not None) == (counted is not None)
    assert seen.remarks == (f"runs are of an earlier reading: {throttled}",)


def test_everything_that_an_account_tells_is_in_one_snapshot(account):
    watcher, fakes, target = account
    fakes.mapping, fakes.desired, fakes.running = "Disabling", 2, 1
    fakes.metrics = [
        {"Label": "age embed", "Values": [75.0]},
        {"Label": "invocations Lambda function", "Values": [3.0, 4.0]},
    ]
    embed = target.outputs["embedQueueUrls"]["embed"]
    target.sqs.send_message(QueueUrl=embed, MessageBody="b", MessageGroupId="g", MessageDeduplicationId="d")
    target.sqs.delete_queue(QueueUrl=target.outputs["wordsQueueUrl"])
    pointer = Pointer(
        version="000000000001-0123abcd-000001",
        fence=1,
        count=9,
        texts=7,
        layout=2,
        model="m",
        dimensions=2,
        digest="0" * 64,
        published_at=MOMENT,
    )
    write_current_object(ObjectStore(target.s3), BUCKET, "lines", pointer)
    progress = {"state": "PENDING", "expected_count": 1, "delta_sha256": "0" * 64}
    fields: dict[str, Any] = {"image_id": UUID(IMAGE), "receipt_id": 1, "run_id": "a" * 32, "embedding_model": "m"}
    fields |= {"dimensions": 2, "delta_bucket": BUCKET, "merchant_source": "none", "consumer": "ecs"}
    fields |= {"lines": progress, "words": progress, "created_at": MOMENT, "updated_at": MOMENT}
    RunRepository(TABLE, target.dynamodb).record(CompactionRun.model_validate(fields))
    seen = watcher.look()
    assert (seen.stack, seen.chosen, seen.unfinished, seen.spans) == ("dev", "lambda", None, None)
    queue = seen.queue("embed")
    assert queue is not None
    assert (queue.visible, queue.oldest_seconds) == (1, 75.0)
    missing = seen.queue("words")
    assert missing is not None
    assert missing.is_missing
    assert [(host.kind, host.standing, host.is_chosen) for host in seen.hosts] == [
        ("lambda", "stopping", True),
        ("ecs", "on", False),
    ]
    assert {item.label: item.recent for item in seen.functions}["Lambda function"] == 7
    assert [(item.version, item.rows) for item in seen.versions] == [("000000000001-0123abcd-000001", 9), (None, 0)]
    assert seen.runs is not None
    assert seen.runs.by_state == {"lines PENDING": 1, "words PENDING": 1}


def test_metrics_are_asked_for_once_a_minute_and_may_be_forbidden(account):
    watcher, fakes, _ = account
    fakes.metrics = None
    looks = [watcher.look() for _ in range(5)]
    assert fakes.asked["metrics"] == 1
    assert fakes.asked["mapping"] == fakes.asked["service"] == 5
    assert METRICS_SECONDS == 60
    assert "AccessDenied" in looks[-1].remarks[0]


def test_a_slow_reading_is_made_beside_and_no_second_one_begins_before_its_share_of_the_time_is_over():
    begun, go_on = [], threading.Event()

    def read() -> int:
        begun.append(time.monotonic())
        go_on.wait(10)
        return len(begun)

    paced = Paced(read, first=0)
    assert paced.value() == 0
    assert paced.value() == 0
    assert len(begun) <= 1
    time.sleep(0.2)
    go_on.set()
    deadline = time.monotonic() + 10
    while paced.value() != 1:
        assert time.monotonic() < deadline
    # It took 0.2 s and more, so the next is due 4 s after it began.
    assert paced.value() == 1
    assert len(begun) == 1
    paced.close()


def test_who_asks_after_a_pause_is_not_given_what_was_read_before_it(monkeypatch: pytest.MonkeyPatch):
    answers = iter(range(2))
    paced = Paced(lambda: next(answers))
    assert paced.value() == 0
    later = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert paced.value() == 1
    paced.close()


def test_a_reading_that_fails_later_keeps_the_value_and_is_tried_again_no_sooner_than_one_that_succeeds(monkeypatch):
    clock = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    answers: list[int | Exception] = [5, OperatorError("STACK_UNREADABLE", "no", "wait"), 6]

    def read() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    paced = Paced(read, least_seconds=60)
    assert (paced.value(), paced.failure) == (5, None)
    clock[0] += 70
    assert paced.value() == 5
    assert "STACK_UNREADABLE" in str(paced.failure)
    clock[0] += 50
    assert (paced.value(), len(answers)) == (5, 1)
    assert paced.failure
    clock[0] += 20
    assert (paced.value(), paced.failure) == (6, None)
    paced.close()


def test_the_error_of_a_first_slow_reading_is_raised_and_it_is_tried_again():
    answers = iter([ValueError("once"), 5])

    def read() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    paced = Paced(read)
    with pytest.raises(ValueError, match="once"):
        paced.value()
    deadline = time.monotonic() + 10
    while paced.value() != 5:
        assert time.monotonic() < deadline
    paced.close()
