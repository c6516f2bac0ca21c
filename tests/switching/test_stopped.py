"""Why the worker's tasks stopped, on moto and in ECS's own words: without it a crash is a timeout of half an hour."""

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from ops.console import Output
from ops.local.engines.steps import EngineError
from ops.switching.procedure import SwitchOptions, run_switch
from ops.switching.stopped import StoppedTask, failed, stopped_tasks, told
from tests.switching.fakes import FakeStack

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ARN = "arn:aws:ecs:us-east-1:1:task/c/0123"


def described(**more: Any) -> dict[str, Any]:
    return {"taskArn": ARN, "stoppedAt": MOMENT, **more}


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (
            described(
                stopCode="EssentialContainerExited",
                stoppedReason="Essential container in task exited",
                containers=[{"name": "worker", "exitCode": 2}],
            ),
            ["EssentialContainerExited", "exit code 2", "a variable is missing or wrong"],
        ),
        (
            described(
                stopCode="TaskFailedToStart",
                stoppedReason="CannotPullContainerError: pull image manifest has been retried",
                containers=[{"name": "worker", "reason": "CannotPullContainerError: no such image"}],
            ),
            ["TaskFailedToStart", "pull image manifest", "container worker: CannotPullContainerError"],
        ),
        (
            # Killed for its memory: the code is none of the worker's own.
            described(
                stopCode="EssentialContainerExited",
                containers=[{"name": "worker", "exitCode": 137, "reason": "OutOfMemoryError"}],
            ),
            ["exit code 137; OutOfMemoryError"],
        ),
        (
            described(stopCode="ServiceSchedulerInitiated", containers=[{"name": "worker", "exitCode": 4}]),
            ["exit code 4", "what it held was released"],
        ),
        (described(), ["ECS gives no reason"]),
        (described(stopCode="SpotInterruption", stoppedReason="Your Spot Task was interrupted."), ["SpotInterruption"]),
    ],
)
def test_a_task_that_failed_says_its_reason_and_what_its_exit_code_means(task, expected) -> None:
    found = failed(task)
    assert found is not None
    assert (found.task, found.stopped_at) == ("0123", MOMENT)
    for part in expected:
        assert part in found.why


@pytest.mark.parametrize(
    "task",
    [
        {"taskArn": ARN, "lastStatus": "RUNNING"},
        described(stopCode="ServiceSchedulerInitiated", containers=[{"name": "worker", "exitCode": 0}]),
        described(stopCode="UserInitiated", stoppedReason="Scaling activity initiated by deployment"),
    ],
)
def test_a_task_that_runs_or_was_told_to_stop_has_not_failed(task) -> None:
    assert failed(task) is None


def test_the_newest_are_told_and_the_others_counted() -> None:
    tasks = [StoppedTask(task=f"{number}", stopped_at=MOMENT, why="no") for number in range(5)]
    assert told(tasks)[0] == "task 0 stopped at 03:04:05: no"
    assert told(tasks)[-1] == "and 2 more before"
    assert len(told(tasks[:3])) == 3
    assert told([]) == []


@pytest.fixture
def ecs(aws: None) -> Any:
    client = boto3.client("ecs", region_name="us-east-1")
    client.create_cluster(clusterName="c")
    client.register_task_definition(
        family="worker", containerDefinitions=[{"name": "worker", "image": "image", "memory": 64}]
    )
    client.create_service(cluster="c", serviceName="s", taskDefinition="worker", desiredCount=1)
    client.meta.events.register("after-call.ecs.DescribeTasks", date)
    return client


def date(parsed: dict[str, Any], **_: Any) -> None:
    """What moto leaves out of an answer."""
    for task in parsed["tasks"]:
        if task["lastStatus"] == "STOPPED":
            task["stoppedAt"] = datetime.now(UTC)


def start(ecs: Any) -> str:
    (task,) = ecs.run_task(cluster="c", taskDefinition="worker", launchType="FARGATE", startedBy="s")["tasks"]
    return task["taskArn"]


def test_only_what_stopped_since_the_update_began_is_its_own(ecs) -> None:
    start(ecs)
    stopped = start(ecs)
    ecs.stop_task(cluster="c", task=stopped, reason="out of memory")
    now, arguments = datetime.now(UTC), {"cluster": "c", "service": "s"}
    (found,) = stopped_tasks(ecs, **arguments, since=now - timedelta(minutes=1))
    assert found.task == stopped.rsplit("/", 1)[-1]
    assert "out of memory" in found.why
    assert stopped_tasks(ecs, **arguments, since=now + timedelta(minutes=1)) == []


def switched(stack: FakeStack, wanted: Any) -> dict[str, Any]:
    stack.update_fails = [EngineError("aws:ecs/service:Service worker-service: the deployment failed")]
    return run_switch(Output(as_json=True), stack, wanted, SwitchOptions(timeout_seconds=0.0)).document


def test_a_switch_that_failed_says_why_the_tasks_stopped(ecs) -> None:
    ecs.stop_task(cluster="c", task=start(ecs), reason="no such image")
    (line,) = switched(FakeStack("lambda", on_fargate=True, ecs=ecs), "ecs")["stopped_tasks"]
    assert "no such image" in line


def test_that_ecs_does_not_answer_hides_no_failure() -> None:
    document = switched(FakeStack("lambda", on_fargate=True), "ecs")
    assert "the deployment failed" in document["failure"]
    assert document["stopped_tasks"][0].startswith("ECS does not say")


@pytest.mark.parametrize(("old", "wanted", "on_fargate"), [("ecs", "lambda", True), ("lambda", "ecs", False)])
def test_nobody_is_asked_for_tasks_that_the_switch_did_not_start(old, wanted, on_fargate) -> None:
    assert switched(FakeStack(old, on_fargate=on_fargate), wanted)["stopped_tasks"] == []
