"""Looking at AWS, against recorded answers; what is overlooked here works beside the winner.

The emulator runs no tasks, so what ECS says of them is told by hand, in the shapes of its API reference.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from one_consumer.live.observation import Standing, consumers
from one_consumer.live.observer import ConsumerObserver
from one_consumer.live.tasks import is_named
from tests.switching.test_observation import NOW

URL, ARN = "https://sqs.us-east-1.amazonaws.com/1/embed.fifo", "arn:aws:sqs:us-east-1:1:embed.fifo"
CLUSTER = "arn:aws:ecs:us-east-1:1:cluster/c"


class Answers:
    """Every AWS client at once."""

    def __init__(self) -> None:
        self.variables = {"EMBED_NDJSON_QUEUE": URL}
        self.command: list[str] = []
        self.role: str | None = "arn:aws:iam::1:role/worker"
        self.gone_roles: set[str] = set()
        self.target: dict[str, Any] = {"Arn": CLUSTER, "EcsParameters": {"TaskDefinitionArn": "d"}}
        self.services: list[dict[str, Any]] = []
        self.tasks: dict[str, list[dict[str, Any]]] = {"RUNNING": [], "STOPPED": []}

    def __call__(self, service: str) -> "Answers":
        return self

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        counts = {"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "10"}
        return {"Attributes": {"QueueArn": ARN, **counts}}

    def get_paginator(self, operation: str) -> "Pages":
        return Pages(getattr(self, operation))

    def list_event_source_mappings(self, **_: Any) -> dict[str, Any]:
        return {"EventSourceMappings": []}

    def list_pipes(self, **_: Any) -> dict[str, Any]:
        return {"Pipes": []}

    def list_clusters(self) -> dict[str, Any]:
        return {"clusterArns": [CLUSTER]}

    def list_tasks(self, cluster: str, desiredStatus: str = "RUNNING") -> dict[str, Any]:
        return {"taskArns": [task["taskArn"] for task in self.tasks[desiredStatus]]}

    def describe_tasks(self, cluster: str, tasks: list[str]) -> dict[str, Any]:
        return {"tasks": [task for found in self.tasks.values() for task in found if task["taskArn"] in tasks]}

    def list_services(self, cluster: str) -> dict[str, Any]:
        return {"serviceArns": [service["serviceName"] for service in self.services]}

    def describe_services(self, cluster: str, services: list[str]) -> dict[str, Any]:
        return {"services": self.services}

    def describe_task_definition(self, taskDefinition: str) -> dict[str, Any]:
        environment = [{"name": name, "value": value} for name, value in self.variables.items()]
        definition: dict[str, Any] = {
            "containerDefinitions": [{"environment": environment, "command": self.command}]
            if taskDefinition == "d"
            else []
        }
        return {"taskDefinition": definition | ({"taskRoleArn": self.role} if self.role else {})}

    def simulate_principal_policy(self, PolicySourceArn: str, **_: Any) -> dict[str, Any]:
        if PolicySourceArn in self.gone_roles:
            raise ClientError({"Error": {"Code": "NoSuchEntity", "Message": "gone"}}, "SimulatePrincipalPolicy")
        return {"EvaluationResults": [{"EvalDecision": "allowed"}]}

    def describe_scalable_targets(self, **_: Any) -> dict[str, Any]:
        return {"ScalableTargets": []}

    def list_event_buses(self, **_: Any) -> dict[str, Any]:
        return {"EventBuses": [{"Name": "default"}]}

    def list_rules(self, **_: Any) -> dict[str, Any]:
        return {"Rules": [{"Name": "hourly", "State": "ENABLED"}]}

    def list_targets_by_rule(self, **_: Any) -> dict[str, Any]:
        return {"Targets": [self.target]}

    def list_schedules(self, **_: Any) -> dict[str, Any]:
        return {"Schedules": [{"Name": "nightly", "GroupName": "default", "Target": {"Arn": CLUSTER}}]}

    def get_schedule(self, **_: Any) -> dict[str, Any]:
        return {"Name": "nightly", "State": "DISABLED", "Target": self.target}


class Pages:
    def __init__(self, call: Callable[..., dict[str, Any]]) -> None:
        self._call = call

    def paginate(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        arguments.pop("SourcePrefix", None)
        yield self._call(**arguments)


def service(**fields: Any) -> dict[str, Any]:
    return {
        "serviceName": "worker",
        "taskDefinition": "d",
        "desiredCount": 0,
        "runningCount": 0,
        "pendingCount": 0,
    } | fields


def task(status: str, group: str = "service:worker", **fields: Any) -> dict[str, Any]:
    return {"taskArn": f"t/{status}", "taskDefinitionArn": "d", "lastStatus": status, "group": group} | fields


@pytest.fixture
def aws() -> Answers:
    return Answers()


def standings(aws: Answers) -> list[tuple[str, Standing]]:
    return [(item.kind, item.standing) for item in consumers(ConsumerObserver(aws).observe(URL), NOW)]


@pytest.mark.parametrize(
    ("status", "standing"),
    [
        ("DEACTIVATING", Standing.DRAINING),
        ("STOPPING", Standing.DRAINING),
        ("DEPROVISIONING", Standing.DRAINING),
        ("STOPPED", Standing.OFF),
    ],
)
def test_a_task_that_is_stopping_still_works(aws, status, standing):
    """ECS lists it under STOPPED, which it shall be, and the service's counts leave it out."""
    aws.services = [service()]
    aws.tasks["STOPPED"] = [task(status)]
    assert standings(aws) == [("service", standing)]


def test_a_daemon_is_on_whatever_its_count(aws):
    aws.services = [service(schedulingStrategy="DAEMON")]
    assert standings(aws) == [("service", Standing.ON)]


def test_a_service_of_an_external_controller_is_known_by_its_task_sets(aws):
    external = service(desiredCount=1, taskSets=[{"taskDefinition": "other"}, {"taskDefinition": "d"}])
    del external["taskDefinition"]
    aws.services = [external]
    assert standings(aws) == [("service", Standing.ON)]
    external["taskSets"] = []
    assert standings(aws) == []


def test_a_task_that_was_run_with_the_queue_as_an_argument_is_seen(aws):
    override = {"containerOverrides": [{"environment": [{"name": "Q", "value": URL}], "command": []}]}
    aws.tasks["RUNNING"] = [task("RUNNING", "family:x", taskDefinitionArn="other", overrides=override)]
    assert standings(aws) == [("task", Standing.ON)]


def test_a_task_that_a_rule_starts_with_the_queue_as_its_input_is_seen_once_while_it_runs(aws):
    override = {"containerOverrides": [{"environment": [{"name": "Q", "value": URL}]}]}
    aws.target = {"Arn": CLUSTER, "EcsParameters": {"TaskDefinitionArn": "other"}, "Input": json.dumps(override)}
    aws.tasks["RUNNING"] = [task("RUNNING", "family:other", taskDefinitionArn="other", overrides=override)]
    seen = ConsumerObserver(aws, scheduled=True).observe(URL)
    (schedule,) = consumers(seen, NOW)
    assert (schedule.kind, schedule.name, schedule.standing) == ("schedule", "other", Standing.ON)
    assert schedule.why == "started by rule hourly; 1 task now"


@pytest.mark.parametrize("told", ["$.detail", '"text"', "{", None])
def test_an_input_of_a_rule_that_is_no_override_is_none(aws, told):
    aws.target = {"Arn": CLUSTER, "EcsParameters": {"TaskDefinitionArn": "other"}, "Input": told}
    assert consumers(ConsumerObserver(aws, scheduled=True).observe(URL), NOW) == ()


def test_a_rule_whose_task_definition_is_gone_starts_nothing(aws, monkeypatch):
    def gone(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "ClientException", "Message": "gone"}}, "DescribeTaskDefinition")

    monkeypatch.setattr(aws, "describe_task_definition", gone)
    assert consumers(ConsumerObserver(aws, scheduled=True).observe(URL), NOW) == ()


def test_a_service_whose_role_is_gone_receives_nothing_and_one_without_a_role_may(aws):
    aws.services = [service(desiredCount=1)]
    aws.gone_roles = {aws.role or ""}
    assert standings(aws) == []
    aws.role = None
    assert standings(aws) == [("service", Standing.ON)]


@pytest.mark.parametrize(
    "value",
    [
        URL,
        ARN,
        "embed.fifo",
        f"--queue-url={URL}",
        f"exec poll {URL} --forever",
        f'{{"queue": "{URL}"}}',
        "poll embed.fifo now",
        "QUEUES=a.fifo,embed.fifo",
    ],
)
def test_a_queue_is_named_by_address_arn_or_name_wherever_it_stands(value):
    assert is_named(value, URL, ARN)


@pytest.mark.parametrize(
    "value",
    [
        URL.replace("embed", "embed-lambda"),
        URL + "-dlq",
        "my-embed.fifo",
        "embed.fifo-dlq",
        "https://example.com/embed.fifo",
        "embed",
        "",
    ],
)
def test_another_queue_is_not_it(value):
    assert not is_named(value, URL, ARN)
