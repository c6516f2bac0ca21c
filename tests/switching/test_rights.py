"""With IAM enforced, the program's own policies let one role receive from each queue: the chosen consumer's.

A slip here lets a forgotten task, or a mapping that somebody made by hand, take messages beside the consumer.
"""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from ops.local.stack import LocalStack

ROLES = {"lambda": "receipts-local-embed-lambda", "ecs": "receipts-local-worker-task"}
STRANGER = "stranger"
SEND_IN_THE_CLEAR = URLLib3Session.send


@pytest.fixture(scope="module")
def by_tls() -> Iterator[None]:
    """Every call of this process says that it came by TLS, as a proxy would: loopback has none."""

    def send(self: URLLib3Session, request: Any) -> Any:
        request.headers["X-Forwarded-Proto"] = "https"
        return SEND_IN_THE_CLEAR(self, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(URLLib3Session, "send", send)
        yield


@pytest.fixture(scope="module")
def stack(by_tls: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack whose emulator enforces IAM; its own hosts run as the account's root there, which a lock denies too."""
    with pytest.MonkeyPatch.context() as patch, LocalStack(tmp_path_factory.mktemp("stack")) as running:
        patch.setenv("AUTH", "true")
        running.up({"embedConsumer": "none"})
        yield running
        running.down(destroy=True)


@pytest.fixture(scope="module")
def sessions(stack: LocalStack) -> dict[str, dict[str, Any]]:
    """Credentials of each host's role, and of a role of somebody else that may receive from everything."""
    options = stack.client_options()
    iam, sts = boto3.client("iam", **options), boto3.client("sts", **options)
    everybody = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [everybody]})
    everything = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}
    iam.create_role(RoleName=STRANGER, AssumeRolePolicyDocument=trust)
    document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    iam.put_role_policy(RoleName=STRANGER, PolicyName="everything", PolicyDocument=document)
    taken = {}
    for name, role in {**ROLES, "stranger": STRANGER}.items():
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=trust)
        arn = iam.get_role(RoleName=role)["Role"]["Arn"]
        answer = sts.assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        taken[name] = {
            **options,
            "aws_access_key_id": answer["AccessKeyId"],
            "aws_secret_access_key": answer["SecretAccessKey"],
            "aws_session_token": answer["SessionToken"],
        }
    iam.close()
    sts.close()
    return taken


def may_receive(session: dict[str, Any], queue_url: str) -> bool:
    client = boto3.client("sqs", **session)
    try:
        client.receive_message(QueueUrl=queue_url, VisibilityTimeout=0, WaitTimeSeconds=0)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException"):
            raise
        return False
    finally:
        client.close()
    return True


@pytest.mark.parametrize(
    "chosen", ["ecs", *(pytest.param(one, marks=pytest.mark.long) for one in ("lambda", "hybrid", "none"))]
)
def test_only_the_chosen_consumers_role_may_receive(stack, sessions, chosen):
    outputs = stack.up({"embedConsumer": chosen}).outputs
    allowed = {
        name: {who for who, session in sessions.items() if may_receive(session, url)}
        for name, url in outputs["embedQueueUrls"].items()
    }
    assert (
        allowed
        == {
            "lambda": {"embed": {"lambda"}},
            "ecs": {"embed": {"ecs"}},
            "hybrid": {"embed": {"lambda"}, "embed-lambda": {"lambda"}, "embed-ecs": {"ecs"}},
            "none": {"embed": set()},
        }[chosen]
    )


def test_nobody_receives_without_tls(stack, sessions, monkeypatch):
    url = stack.up({"embedConsumer": "ecs"}).outputs["embedQueueUrl"]
    assert may_receive(sessions["ecs"], url)
    monkeypatch.setattr(URLLib3Session, "send", SEND_IN_THE_CLEAR)
    assert not may_receive(sessions["ecs"], url)


def test_who_lost_the_queue_may_still_finish_what_it_holds(stack, sessions):
    url = stack.up({"embedConsumer": "ecs"}).outputs["embedQueueUrl"]
    stack.up({"embedConsumer": "none"})
    client = boto3.client("sqs", **sessions["ecs"])
    with pytest.raises(ClientError, match="ReceiptHandle"):
        client.delete_message(QueueUrl=url, ReceiptHandle="of nothing")
    client.close()
