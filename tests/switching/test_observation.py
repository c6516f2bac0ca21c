"""What counts as on, draining and off. A slip here starts a consumer beside one that still works."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from one_consumer.audit.judgement import ExpectedQueue, Finding, judge
from one_consumer.live.drain import left_behind
from one_consumer.live.observation import (
    Identity,
    LiveConsumer,
    QueueObservation,
    SeenMapping,
    SeenPipe,
    SeenService,
    SeenTask,
    Standing,
    consumers,
)
from ops.auditing import expected_queues
from ops.switching.plan import BLOCKING, plan
from stack.choice import consumers as assigned

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ON, DRAINING, OFF = Standing.ON, Standing.DRAINING, Standing.OFF


def seen(*, in_flight: int = 0, **found: Any) -> QueueObservation:
    return QueueObservation(url="https://sqs/1/q.fifo", arn="arn:q", visible=0, in_flight=in_flight, **found)


def mapping(state: str, *, seconds_ago: float = 0, timeout: int = 60) -> SeenMapping:
    changed_at = NOW - timedelta(seconds=seconds_ago)
    return SeenMapping(
        identifier="u", function="f", state=state, changed_at=changed_at, function_timeout_seconds=timeout
    )


def service(desired: int, tasks: int, *, refers: bool = True, maximum: int = 0) -> SeenService:
    return SeenService(
        cluster="c", name="s", desired_count=desired, tasks=tasks, refers=refers, maximum_capacity=maximum
    )


@pytest.mark.parametrize(
    ("state", "in_flight", "seconds_ago", "standing"),
    [
        ("Enabled", 0, 900, ON),
        ("Enabling", 0, 0, ON),
        ("Disabling", 0, 0, ON),
        ("Updating", 0, 900, ON),
        ("Disabled", 0, 59, DRAINING),
        ("Disabled", 0, 60, OFF),
        ("Disabled", 1, 899, DRAINING),
        ("Disabled", 1, 900, OFF),
    ],
)
def test_a_mapping_is_off_when_it_is_disabled_and_its_last_run_has_ended(state, in_flight, seconds_ago, standing):
    """That nothing is in flight is believed when SQS's counts have had their minute."""
    observed = seen(in_flight=in_flight, mappings=(mapping(state, seconds_ago=seconds_ago, timeout=900),))
    (live,) = consumers(observed, NOW)
    assert live.standing is standing


@pytest.mark.parametrize(
    ("found", "standing"),
    [
        (service(1, 1), ON),
        (service(1, 0), ON),
        (service(0, 0, maximum=4), ON),
        (service(0, 2), DRAINING),
        (service(2, 2, refers=False), DRAINING),
        (service(0, 0), OFF),
    ],
)
def test_a_service_is_off_when_no_task_runs_and_none_may_start(found, standing):
    (live,) = consumers(seen(services=(found,)), NOW)
    assert live.standing is standing


def test_a_lone_task_and_a_pipe_count_as_well():
    observed = seen(tasks=(SeenTask(cluster="c", name="t"),), pipes=(SeenPipe(name="p", state="RUNNING"),))
    assert [live.standing for live in consumers(observed, NOW)] == [ON, ON]
    assert consumers(seen(pipes=(SeenPipe(name="p", state="STOPPED"),)), NOW)[0].standing is OFF


def test_a_handover_waits_for_everybody_but_the_winner():
    observed = seen(mappings=(mapping("Enabled"),), services=(service(0, 1),))
    worker = Identity(kind="service", name="s", cluster="c")
    assert [item.name for item in left_behind(observed, worker, NOW)] == ["f"]
    assert [item.name for item in left_behind(observed, Identity(kind="mapping", name="f"), NOW)] == ["s"]
    for namesake in (Identity(kind="service", name="s", cluster="d"), Identity(kind="service", name="f", cluster="c")):
        assert [item.name for item in left_behind(observed, namesake, NOW)] == ["f", "s"]
    assert [item.name for item in left_behind(observed, None, NOW)] == ["f", "s"]


def live(name: str, standing: Standing = ON) -> LiveConsumer:
    return LiveConsumer(kind="mapping", name=name, standing=standing, why="")


@pytest.mark.parametrize(
    ("expected", "found", "finding"),
    [
        ("f", [live("f"), live("s", OFF)], None),
        ("f", [live("f"), live("s")], Finding.TWO_CONSUMERS),
        ("f", [live("f"), live("f")], Finding.TWO_CONSUMERS),
        ("f", [live("f", OFF)], Finding.NO_CONSUMER),
        ("f", [live("f", DRAINING)], Finding.NO_CONSUMER),
        ("f", [live("s")], Finding.WRONG_CONSUMER),
        (None, [live("s")], Finding.UNEXPECTED_CONSUMER),
        (None, [live("s", OFF)], None),
    ],
)
def test_the_audit_finds_what_is_wrong(expected, found, finding):
    assert judge(ExpectedQueue(label="q", url="u", consumer=expected), found) is finding


def test_a_dead_letter_queue_may_be_consumed_by_anybody_but_not_by_two():
    queue = ExpectedQueue(label="q", url="u", consumer=None, optional=True)
    assert judge(queue, [live("somebody")]) is None
    assert judge(queue, [live("somebody"), live("else")]) is Finding.TWO_CONSUMERS


@pytest.mark.parametrize("chosen", ["lambda", "ecs", "hybrid", "none"])
def test_every_embed_queue_has_at_most_one_consumer(chosen):
    urls = {name: f"https://sqs/{name}" for name in assigned(chosen)}
    outputs = {"embedConsumer": chosen, "embedFunctionName": "f", "serviceName": "s", "embedQueueUrls": urls}
    names = ("ocrResultsQueueUrl", "uploadFunctionName", "linesQueueUrl", "wordsQueueUrl", "mergeFunctionName")
    dead = ("ocrResults", "embed", "lines", "words")
    outputs |= dict.fromkeys(names, "x") | {f"{name}DeadLetterQueueUrl": "x" for name in dead}
    outputs["streamFailureQueueUrl"] = "x"
    found = {item.label: item.consumer for item in expected_queues(outputs)}
    expected = {
        "lambda": {"embed": "f"},
        "ecs": {"embed": "s"},
        "hybrid": {"embed": "f", "embed-lambda": "f", "embed-ecs": "s"},
        "none": {"embed": None},
    }[chosen]
    assert {label: consumer for label, consumer in found.items() if label in urls} == expected


def test_a_plan_turns_off_before_it_hands_over_before_it_turns_on():
    resources = [step.resource for step in plan("lambda", "ecs")]
    assert resources == ["embed-queue", "embed-lambda-maps-embed", "embed-lock", "worker-service", "worker-scaling"]
    back = [step.resource for step in plan("ecs", "lambda")]
    assert back == ["embed-queue", "worker-service", "worker-scaling", "embed-lock", "embed-lambda-maps-embed"]
    assert [step.resource for step in plan("ecs", "none")][-1] == "embed-lock"
    assert plan("none", "lambda")[1].resource == "embed-lock"
    assert plan("lambda", "lambda") == plan("hybrid", "hybrid") == []


def test_that_nobody_works_does_not_block_a_switch():
    assert Finding.NO_CONSUMER not in BLOCKING
    # A queue that is not there has nothing to take from; the switch makes it.
    assert set(Finding) - BLOCKING == {Finding.NO_CONSUMER, Finding.QUEUE_MISSING}
