"""Every call that the hosts make is allowed by their roles, and what the roles allow is called or said to be rare.

The calls are recorded while receipts go the whole way, by both consumers. A right that is missing is a stage that stops
on AWS alone; one that is never used is what a stolen role could do.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from typer.testing import CliRunner

from ops import cli
from ops.commands import options
from ops.dead_letters.looking import look
from ops.local.provisioners.context import Context
from ops.local.stack import LocalStack
from ops.operations import correct, remove
from ops.preflight.rights import OPERATOR
from ops.rendering import encode, render
from ops.stacks.local import local_target
from ops.target import Target
from pipeline.collections.receipts import ReceiptKey
from tests.end_to_end.test_thread import (
    SAMPLES,
    eventually,
    follow,
    parked,
    process,
    process_picture,
    samples,
    switch,
)
from tests.pictures import files
from tests.recorded_calls.sitecustomize import DIRECTORY, record_calls

RECORDER = Path(__file__).resolve().parents[1] / "recorded_calls"
ROLES = {"worker": "receipts-local-worker-task"}
"""A function's role has its name."""
OPERATIONS = {
    "s3": {
        "HeadObject": "GetObject",
        "ListObjectsV2": "ListBucket",
        "CreateMultipartUpload": "PutObject",
        "UploadPart": "PutObject",
        "CompleteMultipartUpload": "PutObject",
    },
    "sqs": {
        "SendMessageBatch": "SendMessage",
        "DeleteMessageBatch": "DeleteMessage",
        "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    },
}
"""Where an operation needs a right of another name (AWS service authorization reference)."""
pytestmark = pytest.mark.long
PARTS = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}
BY_AWS = ("logs:", "elasticfilesystem:", "ec2:", "dynamodb:DescribeStream", "dynamodb:GetRecords")
BY_AWS += ("dynamodb:GetShardIterator", "dynamodb:ListStreams", "ecs:")
"""Rights that Lambda, EFS and the ECS agent use on the host's behalf."""
POLLED = {
    f"sqs:{name}" for name in ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes")
}
"""Lambda polls with the function's role, and asks for all four when a mapping is made."""
# S3 asks for the right to list when an object is not there, to say so.
RARE: Mapping[str, set[str]] = {
    "receipts-local-upload-process-ocr-results": {"s3:ListBucket"},
    "receipts-local-upload-read-pictures": {"s3:ListBucket"},
    # A receipt that another message changed meanwhile is looked at again. A worker's heartbeat is for slow messages.
    "receipts-local-embed-lambda": {"s3:ListBucket", "dynamodb:GetItem"},
    "receipts-local-worker-task": {
        "s3:ListBucket",
        "dynamodb:GetItem",
        "sqs:ChangeMessageVisibility",
    },
    "receipts-local-worker-waiting": set(),
    "receipts-local-compaction-stream-processor": set(),
    # An upload in parts that fails; a rebuild from deltas; a replaced version, when its readers have had their time.
    "receipts-local-compaction-merge": {"s3:AbortMultipartUpload", "dynamodb:Scan", "s3:ListBucket", "s3:DeleteObject"},
}


OPERATOR_HOST = "operator"
OPERATORS_RARE = {
    # `reconcile --repair` deletes deltas that no run records.
    "s3:DeleteObject",
    # An audit asks only where somebody has rules, and schedules that start ECS tasks.
    "events:ListTargetsByRule",
    "scheduler:GetSchedule",
}
ONLY_ON_AWS = {
    # The emulator has none of these, or is not asked: the local stack's logs are files, its queues' ages are its own,
    # and its key is the shell's.
    "cloudwatch:GetMetricData",
    "application-autoscaling:DescribeScalableTargets",
    "logs:FilterLogEvents",
    "secretsmanager:GetSecretValue",
    # Only for tasks and functions that are found to consume, in a moment in which none is stopping.
    "iam:SimulatePrincipalPolicy",
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Target, list[dict[str, Any]]]]:
    directory = tmp_path_factory.mktemp("calls")
    plain = Context.process_environment

    def environment(self: Context) -> dict[str, str]:
        return {**plain(self), "PYTHONPATH": str(RECORDER), DIRECTORY: str(directory)}

    with pytest.MonkeyPatch.context() as patch, LocalStack(tmp_path_factory.mktemp("stack")) as stack:
        patch.setattr(Context, "process_environment", environment)
        stack.up({"embedConsumer": "lambda"})
        target = local_target(stack)
        (document, *_) = process(target, samples("greenleaf-1", "hardware-1"))
        run = document.runs[0]
        follow(target, correct(target, ReceiptKey(str(run.image_id), run.receipt_id), "CORRECTED"))
        follow(target, remove(target, ReceiptKey(str(run.image_id), run.receipt_id)))
        target.s3.put_object(Bucket=target.outputs["artifactsBucket"], Key="ocr/bad.json", Body=b"{}")
        eventually(lambda: parked(target, "ocrResultsDeadLetterQueueUrl"))
        process_picture(target)
        target.s3.put_object(Bucket=target.outputs["artifactsBucket"], Key="images/bad.jpg", Body=b"text")
        eventually(lambda: parked(target, "picturesDeadLetterQueueUrl"))
        _send_bad(target, "lambda")
        target = switch(stack, "ecs")
        (live, _) = process(target, samples("greenleaf-2", "boulangerie-2"))
        _send_bad(target, "ecs")
        patch.setattr(options, "connect", lambda _: target)
        with pytest.MonkeyPatch.context() as recording:
            base: Any = BaseClient
            # So that it is put back: record_calls replaces it.
            recording.setattr(base, "_make_api_call", base._make_api_call)
            record_calls(directory, host=OPERATOR_HOST)
            _use_every_command(target, str(live.runs[0].image_id), tmp_path_factory.mktemp("export"))
        calls = [json.loads(line) for file in directory.glob("*.jsonl") for line in file.read_text().splitlines()]
        yield target, calls
        stack.down(destroy=True)


def _use_every_command(target: Target, image: str, directory: Path) -> None:
    for queue in ("words", "embed"):
        # Those that a test has looked at are hidden for a while.
        eventually(lambda queue=queue: len(look(target, [queue]).letters) == 2)
    sample = str(SAMPLES / "sakura-1.json")
    directory.mkdir(exist_ok=True)
    picture = directory / "photo.jpg"
    picture.write_bytes(encode(render(files.OTHER_TEXTS), "JPEG"))
    for arguments in (
        ["upload", sample, str(picture)],
        ["send"],
        ["status"],
        ["audit"],
        ["logs"],
        ["dead-letters", "list"],
        ["dead-letters", "retry", "--queue", "words"],
        ["dead-letters", "discard", "--queue", "embed", "--yes", "--output", str(directory / "dead-letters")],
        ["search", "oat milk"],
        ["show", image, "1"],
        ["export", "--output", str(directory / "lines")],
        ["correct", image, "1", "--merchant", "CORRECTED"],
        ["remove", image, "1"],
        ["resolve"],
        ["rebuild", "--collection", "lines"],
        ["reconcile", "--repair"],
    ):
        result = CliRunner().invoke(cli.application, arguments)
        assert result.exit_code == 0, (arguments, result.output)


def _send_bad(target: Target, name: str) -> None:
    """Messages that every consumer of stage 2 and 3 parks."""
    for queue, dead in (("embed", "embed"), ("lines", "lines"), ("words", "words")):
        target.sqs.send_message(
            QueueUrl=target.outputs[f"{queue}QueueUrl"],
            MessageBody='{"version": "9.0"}',
            MessageGroupId=queue if queue != "embed" else name,
            MessageDeduplicationId=f"{name}-{queue}",
        )
        eventually(lambda dead=dead: parked(target, f"{dead}DeadLetterQueueUrl"))


def statements(target: Target, role: str) -> list[dict[str, Any]]:
    with closing(target.client("iam")) as iam:
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        documents = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    return [item for document in documents for item in document["Statement"] if item["Effect"] == "Allow"]


def needed(call: Mapping[str, Any]) -> Iterator[tuple[str, str, str | None]]:
    """Right, resource and, of a list, its prefix."""
    service, operation = call["service"], call["operation"]
    if service == "s3":
        resource = f"arn:aws:s3:::{call['Bucket']}" + (f"/{call['Key']}" if "Key" in call else "")
        yield f"s3:{OPERATIONS['s3'].get(operation, operation)}", resource, call.get("Prefix")
    elif service == "sqs":
        yield f"sqs:{OPERATIONS['sqs'].get(operation, operation)}", call["QueueUrl"].rsplit("/", 1)[-1], None
    elif operation == "TransactWriteItems":
        for item in call["TransactItems"]:
            ((part, arguments),) = item.items()
            yield f"dynamodb:{PARTS[part]}", f"table/{arguments['TableName']}", None
    elif operation == "BatchGetItem":
        for table in call["RequestItems"]:
            yield "dynamodb:BatchGetItem", f"table/{table}", None
    elif service == "dynamodb":
        index = f"/index/{call['IndexName']}" if "IndexName" in call else ""
        yield f"dynamodb:{operation}", f"table/{call['TableName']}{index}", None
    else:
        yield f"{service}:{'InvokeFunction' if operation == 'Invoke' else operation}", "*", None


def allows(statement: Mapping[str, Any], action: str, resource: str, prefix: str | None) -> bool:
    if action not in statement["Action"] or not any(_covers(pattern, resource) for pattern in statement["Resource"]):
        return False
    prefixes = statement.get("Condition", {}).get("StringLikeIfExists", {}).get("s3:prefix")
    return prefixes is None or prefix is None or any(fnmatchcase(prefix, pattern) for pattern in prefixes)


def _covers(pattern: str, resource: str) -> bool:
    """A call names only the end of an ARN, except with S3."""
    return fnmatchcase(resource, pattern) or pattern.endswith(f":{resource}")


def test_every_call_is_allowed_by_the_hosts_role(recorded) -> None:
    target, calls = recorded
    hosts = {call["host"] for call in calls} - {OPERATOR_HOST}
    assert {ROLES.get(host, host) for host in hosts} == RARE.keys()
    refused = set()
    for host in hosts:
        allowed = statements(target, ROLES.get(host, host))
        for call in calls:
            if call["host"] == host:
                for action, resource, prefix in needed(call):
                    if not any(allows(item, action, resource, prefix) for item in allowed):
                        refused.add((host, action, resource, prefix))
    assert refused == set()


def test_an_operator_has_the_rights_of_the_commands_and_no_others(recorded) -> None:
    _, calls = recorded
    used = {action for call in calls if call["host"] == OPERATOR_HOST for action, _, _ in needed(call)}
    granted = {right.action for right in OPERATOR}
    assert used - granted == set()
    assert granted - used == OPERATORS_RARE | (ONLY_ON_AWS - used)


def test_every_right_is_used_or_said_to_be_rare(recorded) -> None:
    target, calls = recorded
    used = defaultdict(set)
    for call in calls:
        used[ROLES.get(call["host"], call["host"])] |= {action for action, _, _ in needed(call)}
    for role, rare in RARE.items():
        granted = {action for item in statements(target, role) for action in item["Action"]}
        by_others = {action for action in granted if action.startswith(BY_AWS)}
        by_others |= POLLED if role != ROLES["worker"] else set()
        assert granted - by_others - used[role] - rare == set(), role
        # What turns out to be used is no longer rare.
        assert rare <= granted, role
