"""Switching on the local stack: the order of events, a loser at work, somebody else's consumer, and the way back."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from one_consumer.audit.judgement import Finding
from ops.auditing import audit
from ops.local.engines.steps import EngineError, Step
from ops.local.stack import LocalStack, UpResult
from ops.stacks.local import LocalSwitchable, local_target
from ops.submitting import upload
from ops.switching.plan import plan
from ops.target import Target
from ops.waiting import wait_until_searchable
from tests.switching.conftest import SHORT, eventually, samples


def changed(result: UpResult) -> list[Step]:
    """Resources that changed and hooks that ran, in the order in which they ended."""
    return sorted((step for step in result.steps if step.operation != "same"), key=lambda step: step.at)


def findings(target: Target) -> dict[str, Finding]:
    return {item.expected.label: item.finding for item in audit(target) if item.finding}


FOLLOWING = {"worker-busy-alarm", "worker-idle-alarm", "worker-waiting-schedule", "alarms-worker-absent"}
"""What a switch changes and its plan does not tell: it follows from the rest."""


def hooked(steps: list[Step], name: str) -> str:
    """The resource at which a hook was run, once."""
    (hook,) = [step for step in steps if step.operation == "hook" and name in step.summary]
    return hook.name


def test_every_switch_changes_what_its_plan_says_and_in_that_order(stack):
    current = "lambda"
    stack.up({"embedConsumer": current})
    for wanted in ("ecs", "lambda"):
        steps = changed(stack.up({"embedConsumer": wanted}))
        planned = [step.resource for step in plan(current, wanted)]
        done = [step.name for step in steps if step.operation == "update" and step.name not in FOLLOWING]
        assert sorted(done) == sorted(planned)
        lock = done.index("embed-lock")
        assert set(done[:lock]) == set(planned[: planned.index("embed-lock")])
        drained, scaling = hooked(steps, "embed.fifo-is-drained"), hooked(steps, "-scaling-is-")
        assert drained == "embed-lock"
        assert scaling == "worker-service"
        assert findings(local_target(stack)) == {}
        current = wanted


@pytest.fixture
def patient(stack: LocalStack) -> Iterator[LocalStack]:
    """The stack with a function that may run for long: a busy machine must not end what a test holds up."""
    patience = {"timeoutSeconds": 58, "maximumConcurrency": 2}
    stack.up({"embedConsumer": "lambda", "lambda": patience, "handover": SHORT["handover"] | {"timeoutSeconds": 90}})
    yield stack
    stack.up({"embedConsumer": "lambda", **SHORT})


def test_a_function_at_work_is_waited_for_and_the_worker_starts_after_it(patient):
    stack = patient
    target = local_target(stack)
    ((name, content),) = samples("greenleaf-1")
    wait_until_searchable(target, [upload(target, name, content)], timeout_seconds=240)
    process = stack.status()["functions"][target.outputs["embedFunctionName"]]
    results: list[UpResult] = []
    switch = threading.Thread(target=lambda: results.append(stack.up({"embedConsumer": "ecs"})))
    os.kill(process, signal.SIGSTOP)
    try:
        ((name, content),) = samples("boulangerie-1")
        waiting = upload(target, name, content)
        queue = target.outputs["embedQueueUrl"]
        eventually(lambda: target.consumer_observer().observe(queue).in_flight == 1)
        switch.start()
        eventually(lambda: findings(target).get("embed") is Finding.NO_CONSUMER)
        switch.join(2)
        assert switch.is_alive()
        assert stack.status()["services"][target.outputs["serviceName"]] == []
    finally:
        os.kill(process, signal.SIGCONT)
        if switch.ident is not None:
            switch.join()
    (result,) = results
    at = {step.name: step.at for step in changed(result) if step.operation == "update"}
    started = max(item["at"] for item in stack.timeline() if item["event"] == "worker started")
    runs = [
        item
        for item in stack.timeline()
        if item["name"] == target.outputs["embedFunctionName"] and item["event"] == "invocation ended"
    ]
    assert at["embed-lambda-maps-embed"] < runs[-1]["at"] < at["embed-lock"] < started
    done = wait_until_searchable(target, [waiting], timeout_seconds=240)
    assert [run.consumer for run in done.completed] == ["lambda"]


def test_somebody_elses_consumer_stops_the_update_with_no_consumer_on(stack, intruder):
    stack.up({"embedConsumer": "lambda"})
    intruder.enable(True)
    target = local_target(stack)
    assert findings(target) == {"embed": Finding.TWO_CONSUMERS}
    with pytest.raises(EngineError, match=r"HANDOVER_NOT_DRAINED.*compaction-merge is on"):
        stack.up({"embedConsumer": "ecs"})
    stopped = stack.status()
    assert stopped["services"][target.outputs["serviceName"]] == []
    embed = next(item for item in audit(target) if item.expected.label == "embed")
    assert [item.name for item in embed.on] == [target.outputs["mergeFunctionName"]]
    intruder.enable(False)
    result = stack.up()
    assert {step.name for step in result.changes} == {"embed-lock", "worker-service", "worker-scaling", *FOLLOWING}
    assert findings(local_target(stack)) == {}


def test_beside_a_mapping_that_was_enabled_by_hand_the_worker_does_not_poll(stack, intruder):
    stack.up({"embedConsumer": "ecs"})
    target = local_target(stack)
    service = target.outputs["serviceName"]
    eventually(lambda: stack.status()["services"][service])
    intruder.enable(True)
    (worker,) = stack.status()["services"][service]
    since = datetime.now(UTC)
    os.kill(worker, signal.SIGTERM)
    log = LocalSwitchable(stack)
    eventually(lambda: any("FENCED" in line for line in log.logs("ecs", since)))
    assert findings(target) == {"embed": Finding.TWO_CONSUMERS}
    intruder.enable(False)
    ((name, content),) = samples("mueller-1")
    done = wait_until_searchable(target, [upload(target, name, content)], timeout_seconds=240)
    assert [run.consumer for run in done.completed] == ["ecs"], log.logs("ecs", since)


@pytest.mark.parametrize(("action", "found"), [("sqs:ReceiveMessage", True), ("sqs:SendMessage", False)])
def test_a_service_that_somebody_runs_elsewhere_is_seen_if_it_may_receive(stack, action, found):
    target = local_target(stack)
    ecs, iam = target.client("ecs"), target.client("iam")
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}
    name = f"elsewhere-{action[4:].lower()}"
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
    rights = policy({"Effect": "Allow", "Action": action, "Resource": "*"})
    iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=rights)
    ecs.create_cluster(clusterName=name)
    variables = [{"name": "ANY", "value": target.outputs["embedQueueUrl"]}]
    definition = ecs.register_task_definition(
        family=name, taskRoleArn=role, containerDefinitions=[{"name": "c", "image": "i", "environment": variables}]
    )["taskDefinition"]["taskDefinitionArn"]
    ecs.create_service(cluster=name, serviceName=name, taskDefinition=definition, desiredCount=1)
    try:
        assert (Finding.TWO_CONSUMERS in findings(target).values()) is found
    finally:
        ecs.delete_service(cluster=name, service=name, force=True)
        ecs.delete_cluster(cluster=name)
        ecs.close()
        iam.close()


def policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
