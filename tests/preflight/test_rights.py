"""The deployer's rights against the recorded program and the API's models: who lacks one is stopped half way."""

import json
import re

import botocore.session
import pytest

from ops.preflight.rights import BY_TYPE, HOOKS, OPERATOR, PREFLIGHT, by_resource, deployer_rights, policy_document
from tests.program.engine import ACCOUNT, Recording, run_program

MODELS = {"logs": "logs", "elasticfilesystem": "efs", "servicequotas": "service-quotas"}
S3_NAMES = {
    "GetAccelerateConfiguration": "GetBucketAccelerateConfiguration",
    "GetBucketCORS": "GetBucketCors",
    "GetBucketObjectLockConfiguration": "GetObjectLockConfiguration",
    "GetBucketPublicAccessBlock": "GetPublicAccessBlock",
    "PutBucketPublicAccessBlock": "PutPublicAccessBlock",
    "GetEncryptionConfiguration": "GetBucketEncryption",
    "PutEncryptionConfiguration": "PutBucketEncryption",
    "GetLifecycleConfiguration": "GetBucketLifecycleConfiguration",
    "PutLifecycleConfiguration": "PutBucketLifecycleConfiguration",
    "GetReplicationConfiguration": "GetBucketReplication",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
    "ListBucket": "ListObjectsV2",
    "ListBucketVersions": "ListObjectVersions",
    "DeleteObjectVersion": "DeleteObject",
}
"""Where a right of S3 has another name than its operation (Amazon S3 user guide, list_amazons3)."""
NO_OPERATION = {"iam:PassRole", "lambda:InvokeFunction", "budgets:ModifyBudget", "budgets:ViewBudget"}
INLINE_POLICY_CHARACTERS = 10_240
"""Of a role's inline policies (IAM user guide, reference_iam-quotas)."""
ARGUMENTS = {"name": "receipts-test-", "region": "us-east-1", "account": ACCOUNT}


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    optional = {"alarmAddress": "somebody@example.com", "monthlyBudget": "50"}
    return [run_program({"embedConsumer": consumer, **optional}) for consumer in ("hybrid", "lambda")]


def test_every_type_of_the_program_and_no_other_is_listed(recordings) -> None:
    made = {item.type for recording in recordings for item in recording.made.values() if ":" in item.type}
    assert BY_TYPE.keys() == {kind for kind in made if not kind.startswith("receipts:")}


def test_every_right_is_that_of_an_operation() -> None:
    session = botocore.session.get_session()
    for right in (*deployer_rights(), *HOOKS, *PREFLIGHT, *OPERATOR):
        service, action = right.action.split(":")
        if right.action not in NO_OPERATION:
            operation = S3_NAMES.get(action, action) if service == "s3" else action
            names = session.get_service_model(MODELS.get(service, service)).operation_names
            assert operation in names, right.action


def test_a_named_right_covers_what_the_program_names(recordings) -> None:
    """What has a physical name has it under the pattern, so the policy is for this stack and enough for it."""
    groups = dict(by_resource(deployer_rights(), **ARGUMENTS))
    created = {
        "sqs:CreateQueue": ("aws:sqs/queue:Queue", "arn:aws:sqs:us-east-1:{account}:{name}"),
        "dynamodb:CreateTable": ("aws:dynamodb/table:Table", "arn:aws:dynamodb:us-east-1:{account}:table/{name}"),
        "lambda:CreateFunction": (
            "aws:lambda/function:Function",
            "arn:aws:lambda:us-east-1:{account}:function:{name}",
        ),
        "iam:CreateRole": ("aws:iam/role:Role", "arn:aws:iam::{account}:role/{name}"),
        "ecr:CreateRepository": ("aws:ecr/repository:Repository", "arn:aws:ecr:us-east-1:{account}:repository/{name}"),
        "logs:CreateLogGroup": (
            "aws:cloudwatch/logGroup:LogGroup",
            "arn:aws:logs:us-east-1:{account}:log-group:{name}",
        ),
        "scheduler:CreateSchedule": (
            "aws:scheduler/schedule:Schedule",
            "arn:aws:scheduler:us-east-1:{account}:schedule/default/{name}",
        ),
        "cloudwatch:PutMetricAlarm": (
            "aws:cloudwatch/metricAlarm:MetricAlarm",
            "arn:aws:cloudwatch:us-east-1:{account}:alarm:{name}",
        ),
        "sns:CreateTopic": ("aws:sns/topic:Topic", "arn:aws:sns:us-east-1:{account}:{name}"),
        "budgets:ModifyBudget": ("aws:budgets/budget:Budget", "arn:aws:budgets::{account}:budget/{name}"),
        "ecs:CreateService": ("aws:ecs/service:Service", "arn:aws:ecs:us-east-1:{account}:service/{name}/{name}"),
    }
    for action, (kind, form) in created.items():
        patterns = [
            re.escape(resource).replace(r"\*", ".*") for resource, actions in groups.items() if action in actions
        ]
        for recording in recordings:
            for made in recording.of(kind):
                arn = form.format(account=ACCOUNT, name=made.inputs["name"])
                assert any(re.fullmatch(pattern, arn) for pattern in patterns), arn


def test_an_operator_receives_dead_letters_alone(recordings) -> None:
    groups = dict(by_resource(OPERATOR, **ARGUMENTS))
    patterns = [
        re.escape(resource).replace(r"\*", ".*")
        for resource, actions in groups.items()
        if "sqs:ReceiveMessage" in actions
    ]
    for recording in recordings:
        for queue in recording.of("aws:sqs/queue:Queue"):
            arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{queue.inputs['name']}"
            is_dead = "redrivePolicy" not in queue.inputs
            assert any(re.fullmatch(pattern, arn) for pattern in patterns) is is_dead, arn


def test_the_policy_fits_a_role_and_passes_the_stacks_roles_to_three_services_alone() -> None:
    policy = policy_document(deployer_rights(), **ARGUMENTS)
    assert len(json.dumps(policy, separators=(",", ":"))) <= INLINE_POLICY_CHARACTERS
    passing = [item for item in policy["Statement"] if "iam:PassRole" in item["Action"]]
    (only,) = passing
    assert only["Resource"] == f"arn:aws:iam::{ACCOUNT}:role/receipts-test-*"
    services = {f"{service}.amazonaws.com" for service in ("lambda", "ecs-tasks", "scheduler")}
    assert set(only["Condition"]["StringEquals"]["iam:PassedToService"]) == services
    assert all(item["Action"] for item in policy["Statement"])


def test_no_right_to_what_the_stack_keeps_is_for_other_stacks() -> None:
    everywhere = dict(by_resource(deployer_rights(), **ARGUMENTS))["*"]
    for service in ("s3", "dynamodb", "sqs", "secretsmanager", "logs"):
        changing = [action for action in everywhere if action.startswith(f"{service}:") and ":Describe" not in action]
        assert changing == []
