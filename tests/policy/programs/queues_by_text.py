"""Queues that are only written down as texts, one of them a queue of this very stack."""

import pulumi_aws as aws

from tests.policy.parts import RECEIVE, TRUST, allow, document, mapping, service

OUTSIDE = "arn:aws:sqs:us-east-1:000000000000:outside.fifo"
mapping("outside-mapping", OUTSIDE)
poller = aws.iam.Role("poller", name="outside-poller", assume_role_policy=TRUST)
aws.iam.RolePolicy("poller-policy", role="outside-poller", policy=document(allow(RECEIVE, OUTSIDE)))
service("outside-service", task_role=poller.arn, desired_count=1)

own = aws.sqs.Queue("own", name="own-jobs")
mapping("own-mapping", own.arn)
mapping("own-by-text", "arn:aws:sqs:us-east-1:000000000000:own-jobs")
