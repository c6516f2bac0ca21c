"""Queues whose own policy keeps a service from receiving that everything else would let; so there is one consumer."""

from typing import Any

import pulumi
import pulumi_aws as aws

from tests.policy.parts import RECEIVE, allow, document, mapping, role, service

CONSUMER = "arn:aws:iam::000000000000:role/consumer"
SESSIONS = "arn:aws:sts::000000000000:assumed-role/consumer/*"
OUTSIDE = "arn:aws:iam::000000000000:role/platform"
consumer = role("consumer")
everything = role("everything", allow("sqs:*", "*"))


def deny(resource: pulumi.Input[str] = "*", action: str = RECEIVE, **rest: Any) -> dict[str, Any]:
    return {"Principal": "*", **allow(action, resource, effect="Deny"), **rest}


def locked(name: str, **rest: Any) -> aws.sqs.Queue:
    made = aws.sqs.Queue(name, **rest)
    mapping(f"{name}-mapping", made.arn)
    for holder, held in (("inside", everything.arn), ("outside", OUTSIDE)):
        service(f"{name}-{holder}", {"QUEUE_URL": made.url}, task_role=held, desired_count=1)
    return made


# Known before the update.
for name, lock in (
    ("for-everybody", deny()),
    ("all-actions", deny(action="sqs:*")),
    ("but-one-by-arn", deny(Condition={"ArnNotEquals": {"aws:PrincipalArn": [CONSUMER, SESSIONS]}})),
    ("but-one-by-text", deny(Condition={"StringNotEqualsIfExists": {"AWS:principalarn": CONSUMER}})),
    (
        "but-others-by-pattern",
        deny(Condition={"StringNotLike": {"aws:PrincipalArn": "arn:aws:iam::111111111111:role/*"}}),
    ),
    ("for-no-service", deny(Condition={"ArnNotEquals": {"aws:SourceArn": "arn:aws:sns:us-east-1:000000000000:any"}})),
):
    aws.sqs.QueuePolicy(f"{name}-lock", queue_url=locked(name).url, policy=document(lock))
excepted = {**allow(RECEIVE, "*", effect="Deny"), "NotPrincipal": {"AWS": [CONSUMER, "arn:aws:iam::000000000000:root"]}}
aws.sqs.QueuePolicy("excepted-lock", queue_url=locked("excepted").url, policy=document(excepted))

# Made of what is known after the update only.
locked("its-own", policy=document(deny(Principal={"AWS": [everything.arn, OUTSIDE]})))
mine = locked("like-ours")
sessions = consumer.arn.apply(lambda arn: arn.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/") + "/*")
but_mine = {"ArnNotLike": {"aws:PrincipalArn": [consumer.arn, sessions]}}
aws.sqs.QueuePolicy("like-ours-lock", queue_url=mine.url, policy=document(deny(mine.arn, Condition=but_mine)))

both = locked("both-by-name")
by_name = deny(both.arn, Principal={"AWS": [everything.arn, OUTSIDE]})
aws.sqs.QueuePolicy("both-by-name-lock", queue_url=both.url, policy=document(by_name))

account = locked("whole-account")
aws.sqs.QueuePolicy(
    "whole-account-lock", queue_url=account.url, policy=document(deny(account.arn, Principal={"AWS": "000000000000"}))
)

# What is open to everybody on a condition that no task meets is open to none.
opened = aws.sqs.Queue("open-to-others")
mapping("open-to-others-mapping", opened.arn)
for number, condition in enumerate(
    (
        {"ArnEquals": {"aws:SourceArn": "arn:aws:sns:us-east-1:000000000000:any"}},
        {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::111111111111:role/*"}},
    )
):
    allowed = {**allow("sqs:*", opened.arn), "Principal": "*", "Condition": condition}
    aws.sqs.QueuePolicy(f"open-to-others-{number}", queue_url=opened.url, policy=document(allowed))
service("open-to-others-service", {"QUEUE_URL": opened.url}, task_role=role("no-rights").arn, desired_count=1)

# What is open to everybody of a kind is no business of containers that do not know the queue.
for name, condition in (
    ("public", {}),
    ("for-roles", {"Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*"}}}),
):
    public = aws.sqs.Queue(name)
    mapping(f"{name}-mapping", public.arn)
    public_right = {"Effect": "Allow", "Principal": "*", "Action": RECEIVE, "Resource": "*", **condition}
    aws.sqs.QueuePolicy(f"{name}-policy", queue_url=public.url, policy=document(public_right))
service("unaware", task_role=role("unaware-role").arn, desired_count=1)
