"""Who may do what, as the program asks for it: a right too many here is what a stolen role could do."""

import json
from typing import Any

import pytest

from tests.program.engine import ACCOUNT, DIGEST_IMAGE, Recording, run_program

POLICY, ROLE = "aws:iam/rolePolicy:RolePolicy", "aws:iam/role:Role"
QUEUE, QUEUE_POLICY = "aws:sqs/queue:Queue", "aws:sqs/queuePolicy:QueuePolicy"


@pytest.fixture(scope="module")
def recording() -> Recording:
    return run_program({"embedConsumer": "hybrid", "imageUri": DIGEST_IMAGE})


def statements(recording: Recording, policy: str) -> dict[str, dict[str, Any]]:
    found = json.loads(recording.one(POLICY, policy).inputs["policy"])["Statement"]
    return {item["Sid"]: item for item in found}


def test_a_role_is_taken_by_one_service_for_this_account_alone(recording: Recording) -> None:
    for role in recording.of(ROLE):
        (trust,) = json.loads(role.inputs["assumeRolePolicy"])["Statement"]
        assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
        assert trust["Principal"]["Service"] in {
            "lambda.amazonaws.com",
            "ecs-tasks.amazonaws.com",
            "scheduler.amazonaws.com",
        }


def test_every_queue_refuses_messages_without_tls_and_has_one_policy(recording: Recording) -> None:
    policies = [item.inputs["queueUrl"] for item in recording.of(QUEUE_POLICY)]
    assert sorted(policies) == sorted(
        f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/{queue.inputs['name']}" for queue in recording.of(QUEUE)
    )
    for item in recording.of(QUEUE_POLICY):
        tls = next(one for one in json.loads(item.inputs["policy"])["Statement"] if one["Sid"] == "RefuseWithoutTls")
        assert (tls["Effect"], tls["Principal"]) == ("Deny", "*")
        assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert {"sqs:SendMessage", "sqs:ReceiveMessage"} <= set(tls["Action"])


def test_only_the_stacks_own_bucket_announces(recording: Recording) -> None:
    lock = json.loads(recording.one(QUEUE_POLICY, "upload-ocr-results-lock").inputs["policy"])["Statement"]
    announced = next(item for item in lock if item["Sid"] == "AnnouncedByTheBucket")
    assert announced["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}
    assert announced["Condition"]["ArnEquals"]["aws:SourceArn"].endswith("receipts-test-artifacts-")


def test_the_collections_are_open_to_two_roles_by_the_access_point_and_tls(recording: Recording) -> None:
    (policy,) = recording.of("aws:efs/fileSystemPolicy:FileSystemPolicy")
    found = {item["Sid"]: item for item in json.loads(policy.inputs["policy"])["Statement"]}
    allowed = {sid: item for sid, item in found.items() if item["Effect"] == "Allow"}
    roles = {sid: item["Principal"]["AWS"].rsplit(":", 1)[-1] for sid, item in allowed.items()}
    assert roles == {"TheMergeWrites": "receipts-test-compaction-merge", "TheWorkerReads": "receipts-test-worker-task"}
    assert "elasticfilesystem:ClientWrite" not in allowed["TheWorkerReads"]["Action"]
    for item in allowed.values():
        assert item["Condition"]["Bool"] == {"aws:SecureTransport": "true"}
        assert item["Condition"]["StringEquals"].keys() == {"elasticfilesystem:AccessPointArn"}
    assert "elasticfilesystem:ClientMount" in found["RefuseWithoutTls"]["Action"]


@pytest.mark.parametrize(
    ("image", "arn"),
    [
        (DIGEST_IMAGE, f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/receipts"),
        (
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a/b@sha256:" + "a" * 64,
            "arn:aws:ecr:eu-west-1:123456789012:repository/a/b",
        ),
        ("localhost/receipts@sha256:" + "a" * 64, f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/receipts"),
        (None, f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/receipts-test-pipeline"),
    ],
)
def test_the_worker_pulls_from_its_images_repository_alone(image: str | None, arn: str) -> None:
    recording = run_program({} if image is None else {"imageUri": image})
    assert statements(recording, "worker-start-policy")["PullTheImage"]["Resource"] == [arn]


def test_the_functions_code_cannot_use_lambdas_rights_to_network_interfaces(recording: Recording) -> None:
    found = statements(recording, "compaction-merge-interfaces")
    refused = found["NotByTheFunctionsOwnCode"]
    assert refused["Effect"] == "Deny"
    assert set(refused["Action"]) == set(found["ManageNetworkInterfaces"]["Action"])
    pattern = refused["Condition"]["ArnLike"]["lambda:SourceFunctionArn"]
    assert pattern.endswith(":function:receipts-test-compaction-merge")
    for policy in recording.of(POLICY):
        if policy.name != "compaction-merge-interfaces":
            assert "ec2:" not in policy.inputs["policy"]


def test_an_endpoint_leads_to_what_the_stack_owns_and_to_the_layers_of_images(recording: Recording) -> None:
    endpoints = recording.of("aws:ec2/vpcEndpoint:VpcEndpoint")
    reached = {}
    for endpoint in endpoints:
        for item in json.loads(endpoint.inputs["policy"])["Statement"]:
            resources = item["Resource"] if isinstance(item["Resource"], list) else [item["Resource"]]
            reached[endpoint.name, item["Sid"]] = resources
    assert reached == {
        ("network-s3", "WhatTheStackOwns"): ["arn:aws:s3:::receipts-test-*", "arn:aws:s3:::receipts-test-*/*"],
        ("network-s3", "LayersOfImages"): ["arn:aws:s3:::prod-us-east-1-starport-layer-bucket/*"],
        ("network-dynamodb", "WhatTheStackOwns"): [f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/receipts-test-*"],
    }
    for kind, key in (("aws:s3/bucket:Bucket", "bucketPrefix"), ("aws:dynamodb/table:Table", "name")):
        assert all(made.inputs[key].startswith("receipts-test-") for made in recording.of(kind))


def test_the_merge_reaches_no_queue_and_the_stream_processor_does_it_for_it(recording: Recording) -> None:
    # From the network to SQS there is no way; what polls for the function is Lambda, outside.
    assert not [made for made in recording.of("aws:ec2/vpcEndpoint:VpcEndpoint") if "sqs" in made.inputs["serviceName"]]
    (merge,) = (
        made for made in recording.of("aws:lambda/function:Function") if made.name.startswith("compaction-merge")
    )
    assert not [value for value in merge.inputs["environment"]["variables"].values() if "sqs" in value]
    actions = [
        action for item in statements(recording, "compaction-merge-policy").values() for action in item["Action"]
    ]
    assert not [action for action in actions if action.startswith("sqs:")]
    found = statements(recording, "compaction-stream-processor-policy")
    queues = {item.rsplit(":", 1)[-1] for item in found["BringItsMessagesBack"]["Resource"]}
    assert queues == {f"receipts-test-compaction-{name}.fifo" for name in ("lines", "words")}
    assert found["BringItsMessagesBack"]["Action"] == ["sqs:ChangeMessageVisibility"]
    queues = {item.rsplit(":", 1)[-1] for item in found["SendItsDeadLetters"]["Resource"]}
    assert queues == {f"receipts-test-compaction-{name}-dead-letter.fifo" for name in ("lines", "words")}


def test_the_stream_is_read_by_its_own_arn(recording: Recording) -> None:
    (resource,) = statements(recording, "compaction-stream-processor-policy")["ReadTheStream"]["Resource"]
    assert resource == recording.one("aws:dynamodb/table:Table", "storage-table").properties["streamArn"]


def test_a_list_is_of_what_may_be_read(recording: Recording) -> None:
    for policy in recording.of(POLICY):
        for item in json.loads(policy.inputs["policy"])["Statement"]:
            if "s3:ListBucket" in item["Action"]:
                prefixes = item["Condition"]["StringLikeIfExists"]["s3:prefix"]
                reads = json.loads(policy.inputs["policy"])["Statement"]
                read = next(one for one in reads if one["Sid"] == item["Sid"].replace("List", "Read"))
                assert [resource.split("/", 1)[1] for resource in read["Resource"]] == prefixes
