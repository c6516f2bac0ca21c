"""The policies of docs/github.md: what the workflows' roles may do is what they do, and reading is not looking inside.

A role that a pull request's code can take on is a role that anybody with a branch has.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from one_consumer.audit.account import RIGHTS
from one_consumer.live.observer import ConsumerObserver
from tests.program.engine import PROJECT, run_program
from tests.switching.test_observer import ARN, URL, Answers
from tests.world import REGION, Clients

CLIENTS = Clients(region_name=REGION)
"""Only their models of the services are asked."""
BLOCKS: dict[str, dict[str, Any]] = {
    name: json.loads(text)
    for name, text in re.findall(
        r"^```json (\w+)\n(.*?)^```", (PROJECT / "docs" / "github.md").read_text(), flags=re.MULTILINE | re.DOTALL
    )
}
SERVICES = {
    "elasticfilesystem": "efs",
    "appautoscaling": "application-autoscaling",
    "efs": "elasticfilesystem",
    "vpc": "ec2",
}
"""Names in rights to those in boto3, and names of the SDK's modules to those in rights."""
READING = ("Get", "List", "Describe", "Simulate")
INSIDE = {"s3:GetObject", "dynamodb:GetItem", "secretsmanager:GetSecretValue", "logs:GetLogEvents", "ssm:GetParameter"}


def statements(role: str) -> dict[str, dict[str, Any]]:
    return {statement["Sid"]: statement for statement in BLOCKS[role]["Statement"]}


def actions(role: str, *names: str) -> set[str]:
    return {
        action for name, told in statements(role).items() if not names or name in names for action in told["Action"]
    }


@pytest.mark.parametrize("role", ["preview", "nightly", "release"])
def test_every_right_is_named_as_a_whole_and_exists(role):
    for action in actions(role):
        service, name = action.split(":")
        assert "*" not in action
        if service == "s3":
            continue  # Its rights have other names than its calls.
        client = CLIENTS(SERVICES.get(service, service))
        known = set(client.meta.service_model.operation_names)
        assert name in known, action


@pytest.mark.parametrize("role", ["preview", "nightly"])
def test_what_only_looks_may_only_read_and_sees_no_data(role):
    for sid, told in statements(role).items():
        for action in told["Action"]:
            if sid == "TellSomebody":
                assert (action, told["Resource"]) == ("sns:Publish", ["arn:aws:sns:REGION:ACCOUNT:TOPIC"])
            else:
                assert action.split(":")[1].startswith(READING), action
            if action in INSIDE:
                assert sid == "ReadTheState"
                assert all(resource.startswith("arn:aws:s3:::STATE") for resource in told["Resource"])


def test_a_release_may_write_one_repository():
    for told in BLOCKS["release"]["Statement"]:
        assert (
            told["Resource"] == "*" if told["Action"] == ["ecr:GetAuthorizationToken"] else len(told["Resource"]) == 1
        )


def test_each_role_trusts_one_subject_of_one_repository():
    (told,) = BLOCKS["trust"]["Statement"]
    assert set(told["Condition"]) == {"StringEquals"}
    assert {key.rsplit(":", 1)[1] for key in told["Condition"]["StringEquals"]} == {"aud", "sub"}


class Busy(Answers):
    """A queue with one of everything that an audit may find."""

    def __init__(self) -> None:
        super().__init__()
        task = {"taskArn": "t", "taskDefinitionArn": "d", "lastStatus": "RUNNING", "group": "family:f"}
        self.tasks["RUNNING"] = [task]
        counts = {"desiredCount": 1, "runningCount": 1, "pendingCount": 0}
        self.services = [{"serviceName": "s", "status": "ACTIVE", "taskDefinition": "d", **counts}]

    def list_event_source_mappings(self, **_: Any) -> dict[str, Any]:
        found = {"UUID": "u", "FunctionArn": "arn:aws:lambda:us-east-1:1:function:f", "State": "Enabled"}
        return {"EventSourceMappings": [found | {"LastModified": None}]}

    def get_function_configuration(self, **_: Any) -> dict[str, Any]:
        return {"Timeout": 1}

    def describe_scalable_targets(self, **_: Any) -> dict[str, Any]:
        return {"ScalableTargets": []}


def test_an_audit_makes_the_calls_that_the_nightly_role_allows_and_no_other():
    called: set[str] = set()
    answers = Busy()

    def client(service: str) -> Any:
        calls = CLIENTS(service).meta.method_to_api_mapping

        class Recording:
            def __getattr__(self, name: str) -> Callable[..., Any]:
                if name != "get_paginator":
                    called.add(f"{service}:{calls[name]}")
                    return getattr(answers, name)

                def paginator(operation: str) -> Any:
                    called.add(f"{service}:{calls[operation]}")
                    return answers.get_paginator(operation)

                return paginator

        return Recording()

    seen = ConsumerObserver(client, scheduled=True).observe(URL)
    assert seen.arn == ARN
    assert (len(seen.mappings), len(seen.services), len(seen.schedules)) == (1, 1, 1)
    assert called == actions("nightly", "Audit")
    assert called | {"sqs:ListQueues"} == set(RIGHTS)


def test_the_nightly_role_reads_every_kind_of_resource_that_the_program_makes():
    kinds = {made.type for made in run_program({"embedConsumer": "hybrid"}).made.values()}
    services = {kind.split(":")[1].split("/")[0] for kind in kinds if kind.startswith("aws:")}
    read = {action.split(":")[0] for action in actions("nightly", "Drift", "Audit")}
    assert {SERVICES.get(service, service) for service in services} <= read
    assert "aws:cloudwatch/logGroup:LogGroup" in kinds
    assert "logs:DescribeLogGroups" in actions("nightly", "Drift")
