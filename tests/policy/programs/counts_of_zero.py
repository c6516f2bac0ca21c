"""Services whose count of 0 turns nothing off: scaling puts tasks back, the 0 is ignored, or it was never written."""

import pulumi
import pulumi_aws as aws

from tests.policy.parts import RECEIVE, allow, mapping, role, scaling, service

for name, ignore, count in (
    ("scaled", [], 0),
    ("ignored", ["desired_count"], 0),
    ("all", ["*"], 0),
    ("unset", [], None),
):
    queue = aws.sqs.Queue(name)
    mapping(f"{name}-mapping", queue.arn)
    poller = role(f"{name}-role", allow(RECEIVE, queue.arn))
    made = service(
        f"{name}-service",
        task_role=poller.arn,
        desired_count=count,
        opts=pulumi.ResourceOptions(ignore_changes=ignore),
    )
    if name == "scaled":
        scaling("scaling", made, minimum=1, maximum=4)
