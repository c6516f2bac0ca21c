"""Every switch is lived through by AWS's rules: never two consumers, a worker that wakes, checks that pass.

A failure here is a consumer that scaling takes away or brings back in the middle of a switch, on an account that nobody
can look at beforehand. Each guard is also taken out, and the simulation must then find what it was there for.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from ops.switching import checks
from stack.choice import EmbedConsumer
from tests.program.engine import DIGEST_IMAGE, Made, Recording, run_program
from tests.program.scaling_world import ALARM, SCHEDULE, SERVICE, TARGET, Scenario, switch

CONSUMERS: tuple[EmbedConsumer, ...] = ("lambda", "ecs", "hybrid", "none")
SWITCHES = list(itertools.permutations(CONSUMERS, 2))
HOURS = 3_600
IDLE = Scenario(start_seconds=590, phase=30)
"""The slowest honest start is the one that the update and the checks have time for."""
BACKLOG = Scenario(backlog=3_000, start_seconds=30, phase=0)
SLOW_BACKLOG = Scenario(backlog=3_000, start_seconds=590, phase=30)
SLOW_STOP = Scenario(backlog=3_000, stop_seconds=180)
SCENARIOS = {"idle": IDLE, "backlog": BACKLOG, "slow-backlog": SLOW_BACKLOG}
Recordings = dict[EmbedConsumer, Recording]


@pytest.fixture(scope="module")
def recordings() -> Recordings:
    return {consumer: run_program({"embedConsumer": consumer, "imageUri": DIGEST_IMAGE}) for consumer in CONSUMERS}


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
@pytest.mark.parametrize(("old", "new"), SWITCHES)
def test_a_switch_ends_with_its_consumer_alone_and_at_work(recordings, old, new, scenario) -> None:
    assert switch(recordings[old], recordings[new], scenario, old=old, new=new).faults == []


@pytest.mark.parametrize("new", ["ecs", "hybrid"])
def test_a_worker_at_zero_is_told_to_start_within_two_minutes_after_a_day_of_silence(recordings, new) -> None:
    scenario = Scenario(silence=24 * HOURS)
    assert switch(recordings["lambda"], recordings[new], scenario, old="lambda", new=new).faults == []


def test_a_backlog_gets_as_many_tasks_as_it_is_worth(recordings) -> None:
    world = switch(recordings["none"], recordings["ecs"], BACKLOG, old="none", new="ecs")
    assert world.most == 4


Change = Callable[[Made], Made]


def _with(**inputs: Any) -> Change:
    return lambda made: dataclasses.replace(made, inputs={**made.inputs, **inputs})


def _waits_for_nothing(made: Made) -> Made:
    return dataclasses.replace(made, depends_on=frozenset())


def _by_sqs(made: Made) -> Made:
    """The alarm as it would be on SQS's own metric; nobody else counts."""
    if made.type == SCHEDULE:
        return _with(state="DISABLED")(made)
    if made.type != ALARM:
        return made
    dimensions = made.inputs["dimensions"]
    metric = {"namespace": "AWS/SQS", "metricName": "ApproximateNumberOfMessagesVisible", "dimensions": dimensions}
    return _with(metricQueries=[{"metric": metric}])(made)


def _without_treatment(made: Made) -> Made:
    inputs = {key: value for key, value in made.inputs.items() if key != "treatMissingData"}
    return dataclasses.replace(made, inputs=inputs)


SET_BACK = "the new worker is set back to zero"
GUARDS: dict[str, tuple[EmbedConsumer, EmbedConsumer, Scenario, str | None, Change, str]] = {
    "alarms act while the worker is off": (
        *("ecs", "lambda", IDLE, ALARM, _with(actionsEnabled=True)),
        "an alarm calls the scaling of a worker that is off",
    ),
    "scaling is not suspended before the service is turned off": (
        *("ecs", "lambda", SLOW_STOP, SERVICE, lambda made: dataclasses.replace(made, hooks={})),
        "scaling brings tasks back while the worker is turned off",
    ),
    "missing counts are taken for an idle worker": (
        *("lambda", "ecs", IDLE, ALARM, _with(treatMissingData="breaching")),
        SET_BACK,
    ),
    "missing counts are left out": ("lambda", "ecs", IDLE, ALARM, _without_treatment, SET_BACK),
    "the count goes on while the worker is off": ("none", "ecs", IDLE, SCHEDULE, _with(state="ENABLED"), SET_BACK),
    "the count begins before the worker has started": ("lambda", "ecs", IDLE, SCHEDULE, _waits_for_nothing, SET_BACK),
    "nobody counts": (
        *("ecs", "hybrid", BACKLOG, SCHEDULE, _with(state="DISABLED")),
        "the idle worker keeps its tasks",
    ),
    "nobody counts while the worker is at zero": (
        *("lambda", "ecs", Scenario(silence=7 * HOURS), None, _by_sqs),
        "a message waits and no task is started",
    ),
    "the last task goes in the first quiet minute": (
        *("lambda", "ecs", IDLE, ALARM, _with(evaluationPeriods=1)),
        SET_BACK,
    ),
    "the update has less time than a task's start": (
        *("lambda", "ecs", IDLE, SERVICE, lambda made: dataclasses.replace(made, timeouts={"update": "300s"})),
        "the update gives up before the service is steady",
    ),
    "a worker that is off may be scaled": (
        *("ecs", "lambda", IDLE, TARGET, _with(maxCapacity=4)),
        "the update never ends",
    ),
}


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_each_guard_is_needed(recordings: Recordings, guard: Any) -> None:
    old, new, scenario, kind, change, fault = guard
    before, after = (_changed(recordings[consumer], kind, change) for consumer in (old, new))
    assert switch(recordings[old], recordings[new], scenario, old=old, new=new).faults == []
    assert fault in switch(before, after, scenario, old=old, new=new).faults


def _changed(recording: Recording, kind: str | None, change: Change) -> Recording:
    """The recording with every resource of a kind changed; of schedules only the one that counts."""
    made = {
        urn: change(item) if kind in (None, item.type) and "tick" not in item.name else item
        for urn, item in recording.made.items()
    }
    return dataclasses.replace(recording, made=made)


@pytest.mark.parametrize("names", [("COUNT_SECONDS", "ALARM_SECONDS"), ("WORKER_START_SECONDS",)])
def test_checks_without_the_time_of_a_start_from_zero_would_undo_a_good_switch(recordings, monkeypatch, names) -> None:
    # The worker of hybrid is at zero when it is to take over the queue of the function.
    scenario = Scenario(start_seconds=600, phase=30)
    monkeypatch.setattr(checks, "CHECK_SECONDS", 0.0)
    assert switch(recordings["hybrid"], recordings["ecs"], scenario, old="hybrid", new="ecs").faults == []
    for name in names:
        monkeypatch.setattr(checks, name, 0.0)
    world = switch(recordings["hybrid"], recordings["ecs"], scenario, old="hybrid", new="ecs")
    assert world.faults == ["a good switch fails its checks"]


@pytest.mark.parametrize("consumer", ["lambda", "none"])
def test_nothing_scales_or_counts_for_a_worker_that_is_off(recordings, consumer) -> None:
    recording = recordings[consumer]
    (target,) = recording.of(TARGET)
    assert (target.inputs["minCapacity"], target.inputs["maxCapacity"]) == (0, 0)
    assert all(target.inputs["suspendedState"].values())
    assert len(target.inputs["suspendedState"]) == 3
    assert [alarm.inputs["actionsEnabled"] for alarm in recording.of(ALARM)] == [False, False]
    assert recording.one(SCHEDULE, "worker-waiting-schedule").inputs["state"] == "DISABLED"
    assert recording.one(SCHEDULE, "compaction-tick-schedule").inputs["state"] == "ENABLED"
