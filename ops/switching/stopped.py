"""Why tasks of the worker have stopped, which ECS remembers for about an hour; a failed switch reports it.

Without it an operator sees a deployment that the circuit breaker ended, and not that a variable was missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ops.failures import reason
from ops.switching.stacks import SwitchableStack
from pipeline.aws import AwsClient
from stack.choice import EmbedConsumer, consumers

TASKS_AT_ONCE = 100
"""Amazon ECS API reference, DescribeTasks."""
CLOCKS_DIFFER = timedelta(minutes=1)
"""ECS dates by its own clock."""
TOLD = 3
"""A circuit breaker ends a deployment after three tasks that failed; more of them say the same."""
WANTED = frozenset({"ServiceSchedulerInitiated", "UserInitiated"})
"""Stop codes of tasks that were asked to stop: no failure of theirs, unless a container says otherwise."""


@dataclass(frozen=True, kw_only=True)
class StoppedTask:
    """One task that ended.

    Attributes:
        task: its identifier.
        stopped_at: aware of its time zone.
        why: ECS's reason, and those of its containers.
    """

    task: str
    stopped_at: datetime
    why: str


def why_tasks_stopped(stack: SwitchableStack, wanted: EmbedConsumer, since: datetime) -> list[str]:
    """Why the worker's tasks stopped, where it was to become a consumer; on one machine see its log. No errors.

    Args:
        stack: whose switch has failed.
        wanted: who was to consume.
        since: when the update began, by this machine's clock.
    """
    if not stack.on_fargate or "ecs" not in consumers(wanted).values():
        return []
    try:
        target = stack.target()
        names = {"cluster": target.outputs["clusterName"], "service": target.outputs["serviceName"]}
        return told(stopped_tasks(target.client("ecs"), **names, since=since - CLOCKS_DIFFER))
    except Exception as error:  # noqa: BLE001 - the switch has failed already; this only says why
        return [f"ECS does not say whether tasks have stopped: {reason(error)}"]


def stopped_tasks(ecs_client: AwsClient, *, cluster: str, service: str, since: datetime) -> list[StoppedTask]:
    """A service's tasks that stopped by themselves, the last one first.

    Args:
        ecs_client: a boto3 client of ECS.
        cluster: its name.
        service: its name.
        since: tasks that stopped before are another update's.

    Raises:
        ClientError: whatever AWS answers.
    """
    pages = ecs_client.get_paginator("list_tasks").paginate(
        cluster=cluster, serviceName=service, desiredStatus="STOPPED"
    )
    arns = [arn for page in pages for arn in page["taskArns"]]
    tasks = [
        task
        for start in range(0, len(arns), TASKS_AT_ONCE)
        for task in ecs_client.describe_tasks(cluster=cluster, tasks=arns[start : start + TASKS_AT_ONCE])["tasks"]
    ]
    found = [failure for task in tasks if (failure := failed(task)) and failure.stopped_at >= since]
    return sorted(found, key=lambda task: task.stopped_at, reverse=True)


def failed(task: Mapping[str, Any]) -> StoppedTask | None:
    """What a task's description says of its end; None for one that runs, or that was asked to stop. Pure.

    Args:
        task: of DescribeTasks.
    """
    stopped_at = task.get("stoppedAt") or task.get("stoppingAt")
    if stopped_at is None:
        return None
    containers = [text for container in task.get("containers", []) if (text := _container(container))]
    if task.get("stopCode") in WANTED and not containers:
        return None
    parts = [task.get("stopCode"), task.get("stoppedReason"), *containers]
    return StoppedTask(
        task=task["taskArn"].rsplit("/", 1)[-1],
        stopped_at=stopped_at,
        why="; ".join(str(part) for part in parts if part) or "ECS gives no reason",
    )


def told(tasks: list[StoppedTask]) -> list[str]:
    """Lines for an operator: the newest ones, and how many there are. Pure."""
    lines = [f"task {task.task} stopped at {task.stopped_at:%H:%M:%S}: {task.why}" for task in tasks[:TOLD]]
    return [*lines, f"and {len(tasks) - TOLD} more before"] if len(tasks) > TOLD else lines


def _container(container: Mapping[str, Any]) -> str:
    """Exit code with its meaning, and reason; empty for a container that ended well."""
    from compaction_worker.worker import EXIT_MEANINGS  # noqa: PLC0415 - it imports the worker's adapters

    code, parts = container.get("exitCode"), [str(container["reason"])] if container.get("reason") else []
    if code:
        meaning = EXIT_MEANINGS.get(code)
        parts.insert(0, f"exit code {code}" + (f", {meaning}" if meaning else ""))
    return f"container {container.get('name')}: {'; '.join(parts)}" if parts else ""
