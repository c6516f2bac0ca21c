"""Looks at a queue's consumers through AWS's interfaces: mappings, services and tasks, pipes. It judges nothing.

A task consumes a queue when its definition names the queue (address, ARN or name, among the values it is given) and its
role's own policies let it receive. A task without a role may hold any credentials, so it counts.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from one_consumer.live.clients import AwsClient
from one_consumer.live.observation import (
    COUNTS_SETTLE_SECONDS,
    QueueObservation,
    SeenMapping,
    SeenPipe,
    SeenService,
    SeenTask,
)

SERVICES_AT_ONCE = 10
"""Amazon ECS API reference, DescribeServices."""
TASKS_AT_ONCE = 100
"""Amazon ECS API reference, DescribeTasks."""


class ConsumerObserver:
    """Looks.

    Args:
        client: a boto3 client of a service by name.
        emulated: of the stack on one machine: there is no Application Auto Scaling to be asked, and counts are exact.
    """

    def __init__(self, client: Callable[[str], AwsClient], *, emulated: bool = False) -> None:
        self._client = client
        self._emulated = emulated

    def observe(self, queue_url: str) -> QueueObservation:
        """Everything that consumes, or may come to consume, one queue.

        Raises:
            ClientError: whatever AWS answers; an observation is whole or it is none.
        """
        attributes = self._client("sqs").get_queue_attributes(
            QueueUrl=queue_url,
            AttributeNames=["QueueArn", "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        arn = attributes["QueueArn"]
        services, tasks = self._tasks(queue_url, arn)
        return QueueObservation(
            url=queue_url,
            arn=arn,
            visible=int(attributes["ApproximateNumberOfMessages"]),
            in_flight=int(attributes["ApproximateNumberOfMessagesNotVisible"]),
            counts_settle_seconds=0 if self._emulated else COUNTS_SETTLE_SECONDS,
            mappings=tuple(self.mappings(arn)),
            services=tuple(services),
            tasks=tuple(tasks),
            pipes=tuple(self._pipes(arn)),
        )

    def mappings(self, queue_arn: str) -> Iterator[SeenMapping]:
        """The queue's mappings, whoever made them."""
        for mapping in list_mappings(self._client("lambda"), queue_arn):
            function = mapping["FunctionArn"]
            yield SeenMapping(
                identifier=mapping["UUID"],
                function=function.split(":function:")[-1],
                state=mapping["State"],
                changed_at=mapping["LastModified"],
                function_timeout_seconds=self._timeout(function),
            )

    def _timeout(self, function: str) -> int:
        try:
            return self._client("lambda").get_function_configuration(FunctionName=function)["Timeout"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return 0  # A function that is gone runs nothing.
            raise

    def _tasks(self, queue_url: str, queue_arn: str) -> tuple[list[SeenService], list[SeenTask]]:
        """Services and lone tasks, of every cluster, whose task definitions make them consumers."""
        ecs = self._client("ecs")
        definitions: dict[str, dict[str, Any]] = {}
        roles: dict[str, bool] = {}

        def refers(arn: str, overrides: Mapping[str, Any] | None = None) -> bool:
            """Whether a task of this definition, with what it was run with, consumes the queue."""
            if arn not in definitions:
                definitions[arn] = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
            given = overrides or {}
            told = (*_values(definitions[arn], "containerDefinitions"), *_values(given, "containerOverrides"))
            role = given.get("taskRoleArn") or definitions[arn].get("taskRoleArn") or ""
            if not any(is_named(value, queue_url, queue_arn) for value in told):
                return False
            if role not in roles:
                roles[role] = self._may_receive(role, queue_arn)
            return roles[role]

        services: list[SeenService] = []
        lone: list[SeenTask] = []
        for cluster in _pages(ecs, "list_clusters", "clusterArns"):
            tasks: dict[str, int] = {}
            for task in self._unstopped(cluster):
                if refers(task["taskDefinitionArn"], task.get("overrides")):
                    group = task.get("group", "")
                    if group.startswith("service:"):
                        name = group.removeprefix("service:")
                        tasks[name] = tasks.get(name, 0) + 1
                    else:
                        lone.append(SeenTask(cluster=_short(cluster), name=_short(task["taskArn"])))
            for service in self._services(cluster):
                name = service["serviceName"]
                known = any(refers(definition) for definition in _definitions(service))
                # Where the emulator runs no tasks, the service's own counts are all there is.
                counted = max(tasks.get(name, 0), service["runningCount"] + service["pendingCount"] if known else 0)
                if known or counted:
                    services.append(
                        SeenService(
                            cluster=_short(cluster),
                            name=name,
                            desired_count=_desired_count(service),
                            tasks=counted,
                            refers=known,
                            maximum_capacity=self._capacity(_short(cluster), name) if known else 0,
                        )
                    )
        return services, lone

    def _may_receive(self, role_arn: str, queue_arn: str) -> bool:
        if not role_arn:
            return True
        try:
            answer = self._client("iam").simulate_principal_policy(
                PolicySourceArn=role_arn, ActionNames=["sqs:ReceiveMessage"], ResourceArns=[queue_arn]
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchEntity":
                return False  # A role that is gone gives nobody credentials.
            raise
        return any(result["EvalDecision"] == "allowed" for result in answer["EvaluationResults"])

    def _unstopped(self, cluster: str) -> Iterator[dict[str, Any]]:
        """Tasks that have not stopped. One that is stopping is listed under what it shall be, not under what it is."""
        ecs = self._client("ecs")
        arns = [
            arn
            for wanted in ("RUNNING", "STOPPED")
            for arn in _pages(ecs, "list_tasks", "taskArns", cluster=cluster, desiredStatus=wanted)
        ]
        for start in range(0, len(arns), TASKS_AT_ONCE):
            answer = ecs.describe_tasks(cluster=cluster, tasks=arns[start : start + TASKS_AT_ONCE])
            yield from (task for task in answer["tasks"] if task.get("lastStatus") != "STOPPED")

    def _services(self, cluster: str) -> Iterator[dict[str, Any]]:
        ecs = self._client("ecs")
        arns = list(_pages(ecs, "list_services", "serviceArns", cluster=cluster))
        for start in range(0, len(arns), SERVICES_AT_ONCE):
            answer = ecs.describe_services(cluster=cluster, services=arns[start : start + SERVICES_AT_ONCE])
            yield from (service for service in answer["services"] if service.get("status") != "INACTIVE")

    def _capacity(self, cluster: str, service: str) -> int:
        if self._emulated:
            return 0
        targets = self._client("application-autoscaling").describe_scalable_targets(
            ServiceNamespace="ecs",
            ResourceIds=[f"service/{cluster}/{service}"],
            ScalableDimension="ecs:service:DesiredCount",
        )["ScalableTargets"]
        return max((target["MaxCapacity"] for target in targets), default=0)

    def _pipes(self, queue_arn: str) -> Iterator[SeenPipe]:
        for page in self._client("pipes").get_paginator("list_pipes").paginate(SourcePrefix=queue_arn):
            for pipe in page["Pipes"]:
                if pipe["Source"] == queue_arn:
                    yield SeenPipe(name=pipe["Name"], state=pipe["CurrentState"])


def list_mappings(lambda_client: AwsClient, queue_arn: str) -> Iterator[dict[str, Any]]:
    """The queue's mappings as Lambda tells them: the one call that the worker's fence is allowed."""
    for page in lambda_client.get_paginator("list_event_source_mappings").paginate(EventSourceArn=queue_arn):
        yield from page["EventSourceMappings"]


def is_named(value: str, queue_url: str, queue_arn: str) -> bool:
    """Whether a variable or an argument names a queue: address or ARN anywhere in it, or its name as a word; pure."""
    name = re.escape(queue_arn.rsplit(":", 1)[-1])
    whole = "|".join(re.escape(address) for address in (queue_url, queue_arn))
    return re.search(rf"(?:{whole})(?![\w-])|(?<![\w.:/-]){name}(?![\w.-])", value) is not None


def _values(definition: Mapping[str, Any], containers: str) -> Iterator[str]:
    """What a task definition, or the overrides of a task, tells its containers: variables, arguments."""
    for container in definition.get(containers, []):
        yield from (item["value"] for item in container.get("environment", []))
        yield from container.get("command", [])
        yield from container.get("entryPoint", [])


def _definitions(service: Mapping[str, Any]) -> list[str]:
    """A service's task definition; with an external controller those of its task sets."""
    own = [service["taskDefinition"]] if service.get("taskDefinition") else []
    return own + [task_set["taskDefinition"] for task_set in service.get("taskSets", [])]


def _desired_count(service: Mapping[str, Any]) -> int:
    """How many tasks are wanted; a daemon's count is what its instances make of it, and not what is written."""
    return max(service["desiredCount"], int(service.get("schedulingStrategy") == "DAEMON"))


def _pages(client: AwsClient, operation: str, key: str, **arguments: Any) -> Iterator[str]:
    for page in client.get_paginator(operation).paginate(**arguments):
        yield from page[key]


def _short(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]
