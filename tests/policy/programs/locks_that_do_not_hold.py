"""Queues whose policy denies something, and lets the second consumer receive all the same."""

from typing import Any

import pulumi
import pulumi_aws as aws

from tests.policy.parts import RECEIVE, SEND, allow, document, mapping, role, service

POLLER = "arn:aws:iam::000000000000:role/poller"
aws.iam.RolePolicy("poller-policy", role="poller", policy=document(allow("sqs:*", "*")))


def denied(name: str, *statements: dict[str, Any], **rest: Any) -> None:
    queue = aws.sqs.Queue(name, **rest)
    mapping(f"{name}-mapping", queue.arn)
    for number, statement in enumerate(statements):
        lock = {"Effect": "Deny", "Principal": "*", "Action": RECEIVE, "Resource": "*", **statement}
        aws.sqs.QueuePolicy(
            f"{name}-lock-{number}",
            queue_url=queue.url,
            policy=document(lock),
            opts=pulumi.ResourceOptions(ignore_changes=["policy"] if name == "ignored-lock" else None),
        )
    service(f"{name}-service", {"QUEUE_URL": queue.url}, task_role=POLLER, desired_count=1)


denied("lets-it-in", {"Condition": {"ArnNotEquals": {"aws:PrincipalArn": [POLLER]}}})
denied("lets-its-account-in", {"Condition": {"StringNotEquals": {"aws:PrincipalAccount": "000000000000"}}})
denied("lets-its-kind-in", {"Condition": {"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/pol*"}}})
denied("excepts-it", {"Principal": None, "NotPrincipal": {"AWS": POLLER}})
denied("another", {"Principal": {"AWS": "arn:aws:iam::000000000000:role/other"}})
denied("sending", {"Action": SEND})
denied("elsewhere", {"Resource": "arn:aws:sqs:us-east-1:000000000000:other"})
denied("sometimes", {"Condition": {"DateLessThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}}})
# A queue has one policy, and either of two may be it.
denied("one-of-two", {}, {"Action": SEND})
denied("of-another-organization", {"Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-example"}}})
# What a queue shows may be a lock that the program does not write any more.
denied("shown", policy=document({**allow(RECEIVE, "*", effect="Deny"), "Principal": "*"}))
# Who these are is nowhere in the stack.
denied("ignored-lock", {})
denied("by-user", {"Condition": {"StringNotLike": {"aws:userid": ["AROAEXAMPLE:*"]}}})
denied(
    "by-session", {"Condition": {"ArnNotLike": {"aws:PrincipalArn": "arn:aws:sts::000000000000:assumed-role/poller/*"}}}
)

tagged = aws.sqs.Queue("tagged")
mapping("tagged-mapping", tagged.arn)
right = {**allow(RECEIVE, "*"), "Principal": "*", "Condition": {"StringEquals": {"aws:PrincipalTag/team": "any"}}}
aws.sqs.QueuePolicy("tagged-policy", queue_url=tagged.url, policy=document(right))
service("tagged-service", {"QUEUE_URL": tagged.url}, task_role=role("tagged-role").arn, desired_count=1)
