"""What is seen of a stack becomes a snapshot.

A failure shows an operator a consumer that is off as on, work that nobody does, or hides an error.
"""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import boto3
import pytest
from botocore.stub import ANY, Stubber

from ops.local.timeline import RECENT_BYTES, Timeline, TimelineEntry, read_recent
from ops.reporting import merchant_sources, was_embedded
from ops.stacks.local_view import functions_of, spans_of
from ops.watching.lanes import (
    LANES,
    STREAM_LANE,
    WORKER_LANE,
    in_order,
    lanes_of,
    measured,
    metric_queries,
)
from ops.watching.snapshot import (
    RECENT_RUNS,
    TIMELINE_SECONDS,
    as_document,
    count_runs,
    oldest_age,
    service_standing,
)
from pipeline.contracts.run import CompactionRun
from tests.watching.snapshots import IMAGE, MOMENT, PLAIN

NOW = MOMENT.timestamp()


def entry(seconds_ago: float, event: Any, name: str = "embed", identifier: str = "1") -> TimelineEntry:
    return {"at": NOW - seconds_ago, "event": event, "name": name, "identifier": identifier}


def spans(*entries: TimelineEntry, alive: tuple[str, ...] = ()) -> list[tuple[str, float, float, bool]]:
    found = spans_of(entries, MOMENT, lanes={"embed": "Lambda function", "worker": "ECS worker"}, alive=alive)
    return [(span.lane, span.started, span.ended, span.is_running) for span in found]


def test_an_invocation_is_a_span_from_its_start_to_its_end_and_one_without_an_end_still_runs():
    ended = (entry(20, "invocation started"), entry(15, "invocation ended"))
    assert spans(*ended, entry(3, "invocation started", identifier="2")) == [
        ("Lambda function", 20.0, 15.0, False),
        ("Lambda function", 3.0, 0.0, True),
    ]


def test_a_worker_runs_as_long_as_its_process_does_and_one_that_was_killed_with_its_stack_is_not_shown():
    started = entry(5_000, "worker started", "worker", "77")
    assert spans(started, alive=("77",)) == [("ECS worker", float(TIMELINE_SECONDS), 0.0, True)]
    assert spans(started) == []
    assert spans(entry(5_000, "invocation started")) == []


def test_what_ended_before_the_window_and_what_has_no_lane_is_left_out():
    old = (entry(500, "invocation started"), entry(400, "invocation ended"))
    other = (entry(5, "worker started", "page"), entry(3, "worker ended", "page"))
    assert spans(*old, *other, entry(2, "invocation ended", identifier="never started")) == []


def test_the_work_of_a_lane_is_counted_and_a_worker_has_no_invocations():
    found = spans_of(
        [entry(9, "invocation started"), entry(8, "invocation ended"), entry(1, "invocation started")],
        MOMENT,
        lanes={"embed": LANES[2]},
        alive=(),
    )
    counted = {item.label: (item.running, item.recent) for item in functions_of(found, LANES, WORKER_LANE)}
    assert counted[LANES[2]] == (1, 2)
    assert counted[WORKER_LANE] == (0, None)
    assert counted[LANES[0]] == (0, 0)


def test_only_the_end_of_a_long_timeline_is_read_and_no_line_of_it_in_part(tmp_path):
    file = tmp_path / "timeline.jsonl"
    assert read_recent(file) == []
    timeline = Timeline(file)
    for number in range(3_000):
        timeline.record("invocation started", "embed", str(number))
    with file.open("a") as lines:
        lines.write('{"at": 1, "eve')
    read = read_recent(file)
    assert file.stat().st_size > RECENT_BYTES
    assert [item["identifier"] for item in read] == [str(number) for number in range(3_000 - len(read), 3_000)]
    assert len(read) > 1_000


@pytest.mark.parametrize(
    ("desired", "running", "standing"), [(1, 1, "on"), (2, 0, "starting"), (0, 1, "stopping"), (0, 0, "off")]
)
def test_a_service_is_on_when_it_runs_what_is_desired(desired, running, standing):
    assert service_standing(desired, running) == standing


def run(minute: int, **fields: Any) -> CompactionRun:
    progress = {"state": "COMPLETED", "expected_count": 1, "delta_sha256": "0" * 64}
    return CompactionRun.model_validate(
        {
            "image_id": UUID(IMAGE),
            "receipt_id": minute + 1,
            "run_id": f"{minute:032x}",
            "embedding_model": "m",
            "dimensions": 2,
            "delta_bucket": "b",
            "lines": progress,
            "words": progress,
            "merchant_source": "none",
            "consumer": "lambda",
            "created_at": MOMENT + timedelta(minutes=minute),
            "updated_at": MOMENT,
        }
        | fields
    )


def test_every_receipt_counts_once_by_where_its_merchant_is_from_now():
    named = {"kind": "metadata", "changes": {"merchant_name": "A", "merchant_source": "resolved"}, "consumer": "tick"}
    runs = [run(1), run(2, receipt_id=2, **named), run(3, merchant_source="given")]
    runs += [run(4), run(5, receipt_id=5, kind="delete", consumer="operator")]
    assert merchant_sources(runs) == {"given": 1, "resolved": 1}
    assert merchant_sources(reversed(runs)) == {"given": 1, "resolved": 1}


def test_runs_are_counted_and_the_latest_are_kept_with_the_errors_of_failed_ones():
    failed = {"state": "FAILED", "expected_count": 1, "delta_sha256": "0" * 64, "error": "DELTA_INVALID: cut"}
    runs = [run(minute) for minute in range(40)]
    runs += [run(50, lines=failed, consumer="ecs"), run(60, kind="metadata", changes={"a": 1}, consumer="tick")]
    counts = count_runs(reversed(runs), MOMENT)
    assert counts.by_state == {"lines COMPLETED": 41, "lines FAILED": 1, "words COMPLETED": 42}
    assert counts.by_consumer == {"ecs": 1, "lambda": 40}
    assert sum(was_embedded(item) for item in runs) == 41
    assert [item.receipt_id for item in counts.recent] == [61, 51, *range(40, 40 - RECENT_RUNS + 2, -1)]
    assert counts.errors == (f"receipt 51 of image {IMAGE}, lines: DELTA_INVALID: cut",)


def test_the_oldest_message_gives_a_queues_age_and_a_clock_that_is_behind_gives_none_below_zero():
    assert oldest_age([NOW - 5, NOW - 70, NOW], MOMENT) == 70
    assert oldest_age([NOW + 5], MOMENT) == 0
    assert oldest_age([], MOMENT) is None


def test_a_snapshot_is_plain_json_for_programs():
    document = json.loads(json.dumps(as_document(PLAIN)))
    assert document["at"] == "2026-05-01T12:00:00.000+00:00"
    assert document["queues"][1] == {
        "label": "embed",
        "visible": 12,
        "in_flight": 3,
        "oldest_seconds": 75.0,
        "is_dead_letter": False,
        "is_missing": False,
    }


OUTPUTS = {
    "embedConsumer": "lambda",
    "embedFunctionName": "embed",
    "serviceName": "worker",
    "clusterName": "cluster",
    "uploadFunctionName": "upload",
    "mergeFunctionName": "merge",
    "streamProcessorFunctionName": "stream",
    "embedMappingId": "mapping",
    "embedQueueUrls": {"embed": "https://sqs/1/embed.fifo"},
    **{
        f"{name}QueueUrl": f"https://sqs/1/{name}"
        for name in (
            *("ocrResults", "lines", "words", "ocrResultsDeadLetter", "embedDeadLetter", "linesDeadLetter"),
            *("wordsDeadLetter", "streamFailure"),
        )
    },
}


def test_cloudwatch_is_asked_once_for_every_age_and_every_function_in_a_form_that_it_takes():
    client = boto3.client("cloudwatch", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    queries = metric_queries(OUTPUTS)
    labels = [query["Label"] for query in queries]
    assert labels[1] == "age embed"
    assert queries[1]["MetricStat"]["Metric"]["Dimensions"] == [{"Name": "QueueName", "Value": "embed.fifo"}]
    assert f"errors {LANES[2]}" in labels
    results = [
        {"Label": "age embed", "Values": [30.0, 90.0]},
        {"Label": f"errors {LANES[2]}", "Values": [1.0, 2.0]},
        {"Label": "age lines", "Values": []},
    ]
    with Stubber(client) as stubber:
        stubber.add_response(
            "get_metric_data",
            {"MetricDataResults": results},
            {"MetricDataQueries": queries, "StartTime": ANY, "EndTime": ANY},
        )
        answer = client.get_metric_data(MetricDataQueries=queries, StartTime=MOMENT, EndTime=MOMENT)
    assert measured(answer["MetricDataResults"]) == {"age embed": 30.0, f"errors {LANES[2]}": 3.0}


def test_who_works_is_told_by_the_outputs_and_pictures_are_read_only_where_a_function_does():
    without = lanes_of(OUTPUTS)
    assert without["stream"] == STREAM_LANE
    assert in_order(without) == LANES[1:]
    pictures = {"pictureFunctionName": "read", "picturesQueueUrl": "https://sqs/1/pictures"}
    assert in_order(lanes_of({**OUTPUTS, **pictures})) == LANES
    labels = [query["Label"] for query in metric_queries({**OUTPUTS, **pictures})]
    assert {"age pictures", "invocations read pictures"} <= set(labels)
    assert "invocations ECS worker" not in labels
    # A stack that an older program made does not say which function its stream processor is.
    assert in_order(lanes_of({**OUTPUTS, "streamProcessorFunctionName": None})) == (*LANES[1:4], LANES[5])
    assert f"errors {STREAM_LANE}" in labels
