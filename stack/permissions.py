"""Roles and statements: exact actions, exact resources, a ``Sid`` that names the intent. Receiving is not here."""

import json
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
    """A role that one service may take, and its policy."""
    trust = {
        "Version": POLICY_VERSION,
        "Statement": [
            {
                "Sid": "TakenByOneService",
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {"Service": service},
            }
        ],
    }
    role = aws.iam.Role(
        f"{name}-role",
        name=physical_name(name),
        assume_role_policy=json.dumps(trust),
        tags=tags(),
        opts=pulumi.ResourceOptions(parent=parent),
    )
    policy = aws.iam.RolePolicy(
        f"{name}-policy",
        role=role.id,
        policy=document(statements),
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return role, policy


def send_to(sid: str, *queue_arns: Any) -> Statement:
    """The right to send; anyone may be given it. Receiving exists only in a queue's claim."""
    return statement(sid, ["sqs:SendMessage"], queue_arns)


def read_objects(sid: str, bucket: aws.s3.Bucket, *patterns: str) -> list[Statement]:
    """Read, and list, so that what is missing is told from what is forbidden."""
    return [
        statement(f"Read{sid}", ["s3:GetObject"], [pulumi.Output.concat(bucket.arn, "/", item) for item in patterns]),
        statement(f"List{sid}", ["s3:ListBucket"], [bucket.arn]),
    ]


def write_objects(sid: str, bucket: aws.s3.Bucket, *patterns: str) -> Statement:
    """Write objects."""
    return statement(
        f"Write{sid}", ["s3:PutObject"], [pulumi.Output.concat(bucket.arn, "/", item) for item in patterns]
    )


def use_table(table: aws.dynamodb.Table) -> Statement:
    """Read and write items and ask the index; nothing about the table itself."""
    return statement(
        "KeepRuns",
        [
            "dynamodb:GetItem",
            "dynamodb:BatchGetItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
            "dynamodb:DeleteItem",
            "dynamodb:ConditionCheckItem",
            "dynamodb:Query",
        ],
        [table.arn, pulumi.Output.concat(table.arn, "/index/unfinished-runs")],
    )
