"""The questions that a preflight asks, answered by the emulator and by recorded answers of AWS."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from typer.testing import CliRunner

from ops import cli
from ops.local.provisioners.context import client_options
from ops.preflight.account import ACTIONS_AT_ONCE, Caller, Concurrency, Unread, read_account
from ops.preflight.needs import needs
from ops.preflight.procedure import declared
from ops.target import OperatorError
from pipeline.aws import connect
from stack.errors import SettingsRefused
from stack.loading import load

NEEDED = needs(load({}), project="receipts", stack="test")
ACCOUNT = "123456789012"


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Operation")


class Pages:
    def __init__(self, *pages: dict[str, Any]) -> None:
        self.pages = pages

    def paginate(self) -> Any:
        return self.pages


class Recorded:
    """One client for every service: an answer, or what is raised, by operation; and what was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked = answers, []

    def __call__(self, service: str) -> "Recorded":
        return self

    def get_paginator(self, operation: str) -> Pages:
        return Pages(self.answers[operation])

    def __getattr__(self, operation: str) -> Any:
        def call(**arguments: Any) -> Any:
            self.asked.append((operation, arguments))
            answer = self.answers[operation]
            answer = answer(arguments) if callable(answer) else answer
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def allow_all(arguments: dict[str, Any]) -> dict[str, Any]:
    names = arguments["ActionNames"]
    return {"EvaluationResults": [{"EvalActionName": name, "EvalDecision": "allowed"} for name in names]}


USUAL: dict[str, Any] = {
    "get_caller_identity": {"Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/me", "Account": ACCOUNT},
    "get_role": lambda arguments: {
        "Role": {"Arn": f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/{arguments['RoleName']}"}
    },
    "describe_availability_zones": {
        "AvailabilityZones": [
            {"ZoneName": "us-east-1a", "State": "available"},
            {"ZoneName": "us-east-1b", "State": "impaired"},
        ]
    },
    "describe_vpcs": {"Vpcs": [{"VpcId": "vpc-1"}, {"VpcId": "vpc-2", "Tags": [{"Key": "Stack", "Value": "test"}]}]},
    "get_account_settings": {"AccountLimit": {"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 8}},
    "simulate_principal_policy": allow_all,
    "get_service_quota": {"Quota": {"Value": 5}},
}


def test_the_answers_are_read_as_aws_gives_them() -> None:
    client = Recorded(**USUAL)
    account = read_account(client, NEEDED)
    role = f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/Admin"
    assert account.caller == Caller(account=ACCOUNT, arn=USUAL["get_caller_identity"]["Arn"], policy_source=role)
    assert account.zones == {"us-east-1a"}
    assert account.concurrency == Concurrency(limit=10, unreserved=8)
    assert account.denied == ()
    assert (account.vpcs, account.own_vpc) == (2, True)
    assert set(account.quotas.values()) == {5.0}
    assert not isinstance(account.service_roles, Unread)
    assert set(account.service_roles.values()) == {True}


def test_rights_are_simulated_of_the_callers_role_on_the_stacks_own_resources() -> None:
    def deny_queues(arguments: dict[str, Any]) -> dict[str, Any]:
        answer = allow_all(arguments)
        for result in answer["EvaluationResults"]:
            if result["EvalActionName"] == "sqs:CreateQueue":
                result["EvalDecision"] = "implicitDeny"
        return answer

    client = Recorded(**{**USUAL, "simulate_principal_policy": deny_queues})
    assert read_account(client, NEEDED).denied == ("sqs:CreateQueue",)
    asked = [arguments for operation, arguments in client.asked if operation == "simulate_principal_policy"]
    assert {item["PolicySourceArn"] for item in asked} == {f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/Admin"}
    assert all(1 <= len(item["ActionNames"]) <= ACTIONS_AT_ONCE for item in asked)
    # A policy that is scoped to the stack would not be found on a wildcard.
    queues = next(item for item in asked if "sqs:CreateQueue" in item["ActionNames"])
    assert queues["ResourceArns"] == [f"arn:aws:sqs:us-east-1:{ACCOUNT}:receipts-test-preflight"]


def test_the_accounts_root_is_not_simulated() -> None:
    root = {"Arn": f"arn:aws:iam::{ACCOUNT}:root", "Account": ACCOUNT}
    client = Recorded(**{**USUAL, "get_caller_identity": root})
    assert read_account(client, NEEDED).denied == ()
    assert "simulate_principal_policy" not in {operation for operation, _ in client.asked}


def test_a_quota_that_was_never_raised_is_the_default() -> None:
    client = Recorded(
        **{
            **USUAL,
            "get_service_quota": refused("NoSuchResourceException"),
            "get_aws_default_service_quota": {"Quota": {"Value": 6}},
        }
    )
    assert set(read_account(client, NEEDED).quotas.values()) == {6.0}


def test_a_service_role_that_is_not_there_is_told_from_one_that_may_not_be_read() -> None:
    missing = Recorded(
        **{**USUAL, "get_caller_identity": {"Arn": "arn:user", "Account": "1"}, "get_role": refused("NoSuchEntity")}
    )
    roles = read_account(missing, NEEDED).service_roles
    assert not isinstance(roles, Unread)
    assert set(roles.values()) == {False}
    hidden = Recorded(
        **{**USUAL, "get_caller_identity": {"Arn": "arn:user", "Account": "1"}, "get_role": refused("AccessDenied")}
    )
    assert isinstance(read_account(hidden, NEEDED).service_roles, Unread)


@pytest.mark.parametrize("operation", [name for name in USUAL if name not in ("describe_vpcs", "get_role")])
@pytest.mark.parametrize("error", [refused("AccessDenied"), NoCredentialsError()])
def test_what_is_not_answered_is_no_error(operation, error) -> None:
    account = read_account(Recorded(**{**USUAL, operation: error}), NEEDED)
    answers = [account.caller, account.zones, account.concurrency, account.denied, *account.quotas.values()]
    assert any(isinstance(answer, Unread) for answer in answers)


def test_the_emulator_answers_what_it_knows(emulator) -> None:
    clients: list[Any] = []

    def client(service: str) -> Any:
        clients.append(connect(service, **client_options(emulator.endpoint)))
        return clients[-1]

    account = read_account(client, NEEDED)
    for item in clients:
        item.close()
    assert isinstance(account.caller, Caller)
    assert not isinstance(account.zones, Unread)
    assert "us-east-1a" in account.zones
    assert isinstance(account.concurrency, Concurrency)
    assert isinstance(account.vpcs, int)
    assert not isinstance(account.service_roles, Unread)
    assert account.service_roles


def test_the_command_answers_in_json_and_with_its_exit_code(emulator, monkeypatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    result = CliRunner().invoke(cli.application, ["preflight", "--json"])
    document = json.loads(result.stdout)
    assert document["stack"] == "dev"
    assert document["needs"]["concurrency"] == 10
    assert result.exit_code == (1 if document["refused"] else 0)
    assert document["refused"] is any(remark["weight"] == "refused" for remark in document["remarks"])


def test_the_command_writes_the_policy_and_asks_nothing(monkeypatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    result = CliRunner().invoke(cli.application, ["preflight", "--policy", "deployer", "--account", ACCOUNT])
    assert result.exit_code == 0
    policy = json.loads(result.stdout)
    assert f"arn:aws:sqs:us-east-1:{ACCOUNT}:receipts-dev-*" in [item["Resource"] for item in policy["Statement"]]


def test_a_stack_is_read_from_its_file_with_how_its_provider_reaches_aws(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.live.yaml").write_text(
        """config:
  aws:region: us-east-1
  aws:profile: live
  aws:secretKey: {secure: v1:xyz}
  aws:assumeRoles: [{roleArn: "arn:role", externalId: x}]
  receipts:merge: {memoryMb: 4096}
"""
    )
    stack = declared("organization/receipts/live", tmp_path)
    assert stack.needs.name == "receipts-live-"
    assert stack.needs.memory_mb["receipts:merge.memoryMb"] == 4096
    assert (stack.access.profile, stack.access.secret_key) == ("live", None)
    assert [role.arn for role in stack.access.assumed_roles] == ["arn:role"]


@pytest.mark.parametrize("content", [None, "config: [", "a list"])
def test_a_file_that_is_none_is_the_operators_to_mend(tmp_path: Path, content) -> None:
    if content is not None:
        (tmp_path / "Pulumi.dev.yaml").write_text(content)
    with pytest.raises(OperatorError, match="CONFIGURATION_UNREADABLE"):
        declared("dev", tmp_path)


def test_settings_that_the_program_refuses_are_refused_first(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text("config:\n  receipts:embedConsumer: lambda\n")
    with pytest.raises(SettingsRefused, match="REGION_UNSET"):
        declared("dev", tmp_path)
