"""Roles and statements: exact actions, exact resources, a ``Sid`` that names the intent. Receiving is not here."""

from collections.abc import Sequence
from typing import Any

import pulumi

from stack import aws
from stack.naming import physical_name, tags

Statement = dict[str, Any]
"""One statement of a policy; its values may be outputs."""
POLICY_VERSION = "2012-10-17"


def statement(sid: str, actions: Sequence[str], resources: Sequence[Any], **rest: Any) -> Statement:
    """An Allow."""
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(resources), **rest}


def document(statements: Sequence[Statement]) -> pulumi.Output[str]:
    """The policy's JSON."""
    return pulumi.Output.json_dumps({"Version": POLICY_VERSION, "Statement": list(statements)})


def create_role(
    name: str, *, service: str, statements: Sequence[Statement], parent: pulumi.Resource
) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
    """A role that one service may take, on behalf of this account alone, and its policy."""
    trust: Statement = {
        "Sid": "TakenByOneService",
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": service},
        "Condition": {"StringEquals": {"aws:SourceAccount": account_id()}},
    }
    role = aws.iam.Role(
        f"{name}-role",
        name=physical_name(name),
        assume_role_policy=document([trust]),
        tags=tags(),
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return role, attach_policy(f"{name}-policy", role, statements, parent=parent)


def attach_policy(
    name: str, role: aws.iam.Role, statements: Sequence[Statement], *, parent: pulumi.Resource
) -> aws.iam.RolePolicy:
    """A policy of a role."""
    return aws.iam.RolePolicy(
        name, role=role.id, policy=document(statements), opts=pulumi.ResourceOptions(parent=parent)
    )


def account_id() -> pulumi.Output[str]:
    """The account that is deployed to."""
    return aws.caller_account()


def send_to(sid: str, *queue_arns: Any) -> Statement:
    """The right to send; anyone may be given it. Receiving exists only in a queue's claim."""
    return statement(sid, ["sqs:SendMessage"], queue_arns)


def read_objects(sid: str, bucket: aws.s3.Bucket, *patterns: str) -> list[Statement]:
    """Read, and list, so that S3 distinguishes a missing object from a forbidden one.

    To do so for one object, S3 demands the right to list without a prefix, hence ``IfExists``.
    """
    return [
        statement(f"Read{sid}", ["s3:GetObject"], [pulumi.Output.concat(bucket.arn, "/", item) for item in patterns]),
        statement(
            f"List{sid}",
            ["s3:ListBucket"],
            [bucket.arn],
            Condition={"StringLikeIfExists": {"s3:prefix": list(patterns)}},
        ),
    ]


def write_objects(sid: str, bucket: aws.s3.Bucket, *patterns: str) -> Statement:
    """Write objects."""
    return statement(
        f"Write{sid}", ["s3:PutObject"], [pulumi.Output.concat(bucket.arn, "/", item) for item in patterns]
    )


def use_table(sid: str, table: aws.dynamodb.Table, *operations: str, **rest: Any) -> Statement:
    """Operations on the table's items; nothing about the table itself. A transaction needs those of its parts."""
    return statement(sid, [f"dynamodb:{operation}" for operation in operations], [table.arn], **rest)


def ask_index(table: aws.dynamodb.Table) -> Statement:
    """Find unfinished runs."""
    return statement(
        "FindUnfinishedRuns", ["dynamodb:Query"], [pulumi.Output.concat(table.arn, "/index/unfinished-runs")]
    )


def refuse_without_tls(service: str, actions: Sequence[str], resources: Sequence[Any]) -> Statement:
    """A resource policy's denial of what is sent in the clear, to everybody."""
    return {
        "Sid": "RefuseWithoutTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": [f"{service}:{action}" for action in actions],
        "Resource": list(resources),
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
