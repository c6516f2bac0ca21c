"""Services whose count of 0 turns nothing off: something puts tasks back, the 0 is ignored, or it was never written."""

from typing import Any

import pulumi
import pulumi_aws as aws

from tests.policy.parts import RECEIVE, allow, mapping, role, scaling, scheduled, service, task, task_set


def poller(name: str) -> dict[str, Any]:
    """What a task is given to poll a queue that a mapping polls already: its URL, and a role."""
    queue = aws.sqs.Queue(name)
    mapping(f"{name}-mapping", queue.arn)
    return {"variables": {"QUEUE_URL": queue.url}, "task_role": role(f"{name}-role", allow(RECEIVE, queue.arn)).arn}


for name, ignore, count in (
    ("scaled", [], 0),
    ("scheduled", [], 0),
    ("scheduled-by-text", [], 0),
    ("ignored", ["desired_count"], 0),
    ("all", ["*"], 0),
    ("unset", [], None),
):
    made = service(
        f"{name}-service",
        **poller(name),
        name=name if name == "scheduled-by-text" else None,
        desired_count=count,
        opts=pulumi.ResourceOptions(ignore_changes=ignore),
    )
    if name == "scaled":
        scaling("scaling", made, minimum=1, maximum=4)
    if name == "scheduled":
        target = scaling("scaling-by-hour", made, minimum=0, maximum=0)
        scheduled("morning", target, min_capacity=1, max_capacity=2)
    if name == "scheduled-by-text":
        # One bound is enough, and the target may be made elsewhere.
        aws.appautoscaling.ScheduledAction(
            "evening",
            service_namespace="ecs",
            scalable_dimension="ecs:service:DesiredCount",
            resource_id="service/main/scheduled-by-text",
            schedule="cron(0 18 * * ? *)",
            scalable_target_action={"max_capacity": 1},
        )

# A daemon has a task on every instance, whatever its count.
service("daemon-service", **poller("daemon"), scheduling_strategy="DAEMON", desired_count=0)

# What runs is written in task sets, of a service here or elsewhere.
external = aws.ecs.Service(
    "external-service", cluster="main", deployment_controller={"type": "EXTERNAL"}, desired_count=1
)
task_set("external-set", external.id, task("external", **poller("external")), 100)
task_set("foreign-set", "service-of-another-stack", task("foreign", **poller("foreign")), 50)
