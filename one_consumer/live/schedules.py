"""What starts ECS tasks: rules of EventBridge and schedules of its Scheduler. Which queue the tasks read: ``tasks``.

Every rule of every bus is read, whatever triggers it: a task that an event starts receives as well.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from one_consumer.live.clients import AwsClient
from one_consumer.live.tasks import pages, short


@dataclass(frozen=True, kw_only=True)
class Starter:
    """A rule or schedule, and one ECS task definition that it starts.

    Attributes:
        kind: ``rule`` or ``schedule``.
        definition: as ECS takes it: with its revision, or the family alone for the newest.
        overrides: what the task is started with.
    """

    kind: str
    name: str
    enabled: bool
    cluster: str
    definition: str
    overrides: Mapping[str, Any]

    @property
    def family(self) -> str:
        """The task definition's name without its revision."""
        return family_of(self.definition)


def starters(client: Callable[[str], AwsClient]) -> Iterator[Starter]:
    """Everything that starts ECS tasks by time or event.

    Args:
        client: a boto3 client of a service by name.

    Raises:
        ClientError: whatever AWS answers.
    """
    events, scheduler = client("events"), client("scheduler")
    for bus in _buses(events):
        for rule in pages(events, "list_rules", "Rules", EventBusName=bus):
            enabled = rule.get("State", "ENABLED") != "DISABLED"
            targets = pages(events, "list_targets_by_rule", "Targets", Rule=rule["Name"], EventBusName=bus)
            yield from _of_targets("rule", rule["Name"], enabled, targets)
    for listed in pages(scheduler, "list_schedules", "Schedules"):
        if ":ecs:" in listed.get("Target", {}).get("Arn", ""):
            schedule = scheduler.get_schedule(Name=listed["Name"], GroupName=listed["GroupName"])
            enabled = schedule.get("State", "ENABLED") != "DISABLED"
            yield from _of_targets("schedule", schedule["Name"], enabled, [schedule["Target"]])


def family_of(definition: str) -> str:
    """A task definition's name without its revision; pure."""
    return re.sub(r":\d+$", "", short(definition))


def _buses(events: AwsClient) -> Iterator[str]:
    """The names of all event buses; boto3 has no pages for them."""
    more: dict[str, str] = {}
    while True:
        answer = events.list_event_buses(**more)
        yield from (bus["Name"] for bus in answer["EventBuses"])
        if not answer.get("NextToken"):
            return
        more = {"NextToken": answer["NextToken"]}


def _of_targets(kind: str, name: str, enabled: bool, targets: Any) -> Iterator[Starter]:
    for target in targets:
        definition = target.get("EcsParameters", {}).get("TaskDefinitionArn", "")
        if definition:
            # Without a revision the newest one is started; ECS describes that by its family.
            whole = definition if re.search(r":\d+$", definition) else short(definition)
            overrides = _overrides(target.get("Input"))
            cluster = short(target["Arn"])
            yield Starter(kind=kind, name=name, enabled=enabled, cluster=cluster, definition=whole, overrides=overrides)


def _overrides(text: str | None) -> Mapping[str, Any]:
    """The overrides in a target's input; none when it is missing or something else."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
