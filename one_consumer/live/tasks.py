"""ECS tasks and services as ECS and IAM describe them, and which of them may receive from a queue. It judges nothing.

A task may receive when its definition, or what it was started with, names the queue (by URL, ARN or name, in a
variable or an argument) and its role's own policies let it receive. A task without a role may hold any credentials, so
it counts.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from one_consumer.live.clients import AwsClient

SERVICES_AT_ONCE = 10
"""Amazon ECS API reference, DescribeServices."""
TASKS_AT_ONCE = 100
"""Amazon ECS API reference, DescribeTasks."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster's services, and its tasks that have not stopped, as ECS describes them."""

    name: str
    services: tuple[Mapping[str, Any], ...]
    tasks: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class Told:
    """Something that a container is given.

    Attributes:
        place: where, such as "variable QUEUE_URL of container worker".
    """

    place: str
    value: str


def clusters(ecs: AwsClient) -> Iterator[Cluster]:
    """Every cluster of the account and region."""
    for arn in pages(ecs, "list_clusters", "clusterArns"):
        yield Cluster(name=short(arn), services=tuple(_services(ecs, arn)), tasks=tuple(_unstopped(ecs, arn)))


@dataclass(kw_only=True)
class Receivers:
    """Answers which task definitions receive from which queue; asks for each definition, and each role, once.

    Attributes:
        client: a boto3 client of a service by name.
    """

    client: Callable[[str], AwsClient]
    _definitions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _roles: dict[tuple[str, str], bool] = field(default_factory=dict)

    def because(
        self, definition: str, queue_url: str, queue_arn: str, overrides: Mapping[str, Any] | None = None
    ) -> str | None:
        """Why a task of this definition, started with these overrides, may receive from the queue; None if it may not.

        Raises:
            ClientError: whatever AWS answers.
        """
        described, given = self._described(definition), overrides or {}
        told = [*_told(described, "containerDefinitions"), *_told(given, "containerOverrides")]
        named = next((item for item in told if is_named(item.value, queue_url, queue_arn)), None)
        if named is None:
            return None
        role = given.get("taskRoleArn") or described.get("taskRoleArn") or ""
        if not self._may_receive(role, queue_arn):
            return None
        right = f"its role {short(role)} may receive" if role else "it has no role that could keep it out"
        return f"{named.place} names the queue, and {right}"

    def _described(self, definition: str) -> Mapping[str, Any]:
        if definition not in self._definitions:
            answer = self.client("ecs").describe_task_definition(taskDefinition=definition)
            self._definitions[definition] = answer["taskDefinition"]
        return self._definitions[definition]

    def _may_receive(self, role_arn: str, queue_arn: str) -> bool:
        if not role_arn:
            return True
        if (role_arn, queue_arn) not in self._roles:
            self._roles[role_arn, queue_arn] = self._simulated(role_arn, queue_arn)
        return self._roles[role_arn, queue_arn]

    def _simulated(self, role_arn: str, queue_arn: str) -> bool:
        try:
            answer = self.client("iam").simulate_principal_policy(
                PolicySourceArn=role_arn, ActionNames=["sqs:ReceiveMessage"], ResourceArns=[queue_arn]
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchEntity":
                return False  # A deleted role gives no credentials.
            raise
        return any(result["EvalDecision"] == "allowed" for result in answer["EvaluationResults"])


def is_named(value: str, queue_url: str, queue_arn: str) -> bool:
    """Whether a variable or an argument names a queue: address or ARN anywhere in it, or its name as a word; pure."""
    name = re.escape(queue_arn.rsplit(":", 1)[-1])
    whole = "|".join(re.escape(address) for address in (queue_url, queue_arn))
    return re.search(rf"(?:{whole})(?![\w-])|(?<![\w.:/-]){name}(?![\w.-])", value) is not None


def definitions(service: Mapping[str, Any]) -> list[str]:
    """A service's task definition; with an external controller those of its task sets."""
    own = [service["taskDefinition"]] if service.get("taskDefinition") else []
    return own + [task_set["taskDefinition"] for task_set in service.get("taskSets", [])]


def desired_count(service: Mapping[str, Any]) -> int:
    """How many tasks are wanted; a daemon's count is what its instances make of it, and not what is written."""
    return max(service["desiredCount"], int(service.get("schedulingStrategy") == "DAEMON"))


def pages(client: AwsClient, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
    """What a listing holds, over all its pages."""
    for page in client.get_paginator(operation).paginate(**arguments):
        yield from page.get(key, [])


def short(arn: str) -> str:
    """The name at the end of an ARN."""
    return arn.rsplit("/", 1)[-1]


def _told(definition: Mapping[str, Any], containers: str) -> Iterator[Told]:
    """What a task definition, or the overrides of a task, tells its containers: variables, arguments."""
    for container in definition.get(containers) or []:
        of = f"of container {container.get('name', '?')}"
        for item in container.get("environment") or []:
            yield Told(place=f"variable {item.get('name')} {of}", value=item.get("value", ""))
        for part in ("command", "entryPoint"):
            yield from (Told(place=f"the {part} {of}", value=value) for value in container.get(part) or [])


def _unstopped(ecs: AwsClient, cluster: str) -> Iterator[Mapping[str, Any]]:
    """Tasks that have not stopped. One that is stopping is listed under what it shall be, not under what it is."""
    arns = [
        arn
        for wanted in ("RUNNING", "STOPPED")
        for arn in pages(ecs, "list_tasks", "taskArns", cluster=cluster, desiredStatus=wanted)
    ]
    for start in range(0, len(arns), TASKS_AT_ONCE):
        answer = ecs.describe_tasks(cluster=cluster, tasks=arns[start : start + TASKS_AT_ONCE])
        yield from (task for task in answer["tasks"] if task.get("lastStatus") != "STOPPED")


def _services(ecs: AwsClient, cluster: str) -> Iterator[Mapping[str, Any]]:
    arns = list(pages(ecs, "list_services", "serviceArns", cluster=cluster))
    for start in range(0, len(arns), SERVICES_AT_ONCE):
        answer = ecs.describe_services(cluster=cluster, services=arns[start : start + SERVICES_AT_ONCE])
        yield from (service for service in answer["services"] if service.get("status") != "INACTIVE")
