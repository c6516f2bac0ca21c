"""Looks at a queue's consumers: mappings, pipes, services, tasks, schedules. It judges nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from one_consumer.live.clients import AwsClient
from one_consumer.live.observation import (
    COUNTS_SETTLE_SECONDS,
    QueueObservation,
    SeenMapping,
    SeenPipe,
    SeenSchedule,
    SeenService,
    SeenTask,
)
from one_consumer.live.schedules import Starter, family_of, starters
from one_consumer.live.tasks import Cluster, Receivers, clusters, definitions, desired_count, short


class ConsumerObserver:
    """Looks.

    Args:
        client: a boto3 client of a service by name.
        emulated: of the stack on one machine: there is no Application Auto Scaling to be asked, and counts are exact.
        scheduled: whether rules and schedules are read too. That is a call for each of the account's rules, so a wait,
            which looks every few seconds, leaves them out: what they have started is seen as tasks.
    """

    def __init__(self, client: Callable[[str], AwsClient], *, emulated: bool = False, scheduled: bool = False) -> None:
        self._client = client
        self._emulated = emulated
        self._scheduled = scheduled

    def observe(self, queue_url: str) -> QueueObservation:
        """Everything that consumes, or may come to consume, one queue.

        Raises:
            ClientError: whatever AWS answers; an observation is whole or it is none.
        """
        return self._observe(queue_url, _Surroundings(self._client, scheduled=self._scheduled))

    def observe_each(self, queue_urls: Sequence[str]) -> Iterator[QueueObservation | None]:
        """The same for several queues of one account and region; clusters and schedules are read once.

        Yields:
            None for a queue that does not exist.

        Raises:
            ClientError: whatever else AWS answers.
        """
        surroundings = _Surroundings(self._client, scheduled=self._scheduled)
        for url in queue_urls:
            try:
                yield self._observe(url, surroundings)
            except ClientError as error:
                if not is_missing_queue(error):
                    raise
                yield None

    def _observe(self, url: str, surroundings: "_Surroundings") -> QueueObservation:
        attributes = self._client("sqs").get_queue_attributes(
            QueueUrl=url,
            AttributeNames=["QueueArn", "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        arn = attributes["QueueArn"]
        look = _Look(url, arn, surroundings)
        schedules = look.schedules()
        families = {(item.cluster, item.name) for item in schedules}
        return QueueObservation(
            url=url,
            arn=arn,
            visible=int(attributes["ApproximateNumberOfMessages"]),
            in_flight=int(attributes["ApproximateNumberOfMessagesNotVisible"]),
            counts_settle_seconds=0 if self._emulated else COUNTS_SETTLE_SECONDS,
            mappings=tuple(self.mappings(arn)),
            services=tuple(look.services(self._capacity)),
            tasks=tuple(look.lone_tasks(families)),
            pipes=tuple(self._pipes(arn)),
            schedules=tuple(schedules),
        )

    def mappings(self, queue_arn: str) -> Iterator[SeenMapping]:
        """The queue's mappings, also those made elsewhere."""
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


class _Surroundings:
    """The account's clusters and starters, read when they are first asked for, and once."""

    def __init__(self, client: Callable[[str], AwsClient], *, scheduled: bool) -> None:
        self._client, self._scheduled = client, scheduled
        self.receivers = Receivers(client=client)

    @cached_property
    def clusters(self) -> Sequence[Cluster]:
        return list(clusters(self._client("ecs")))

    @cached_property
    def starters(self) -> Sequence[Starter]:
        return list(starters(self._client)) if self._scheduled else []


class _Look:
    """One queue compared with what surrounds it."""

    def __init__(self, url: str, arn: str, surroundings: _Surroundings) -> None:
        self._url, self._arn, self._surroundings = url, arn, surroundings

    def services(self, capacity: Callable[[str, str], int]) -> Iterator[SeenService]:
        for cluster in self._surroundings.clusters:
            running: dict[str, list[str]] = {}
            for task, because in self._tasks(cluster):
                if (name := _service_of(task)) is not None:
                    running.setdefault(name, []).append(because)
            for service in cluster.services:
                name = service["serviceName"]
                reasons = [self._because(definition) for definition in definitions(service)]
                known = next((reason for reason in reasons if reason), None)
                tasks = running.get(name, [])
                # Where the emulator runs no tasks, the service's own counts are all there is.
                counted = max(len(tasks), service["runningCount"] + service["pendingCount"] if known else 0)
                if known or counted:
                    yield SeenService(
                        cluster=cluster.name,
                        name=name,
                        desired_count=desired_count(service),
                        tasks=counted,
                        refers=known is not None,
                        maximum_capacity=capacity(cluster.name, name) if known else 0,
                        because=known or tasks[0],
                    )

    def lone_tasks(self, scheduled: set[tuple[str, str]]) -> Iterator[SeenTask]:
        """Tasks of no service, but for those of a schedule: they are that consumer."""
        for cluster in self._surroundings.clusters:
            for task, because in self._tasks(cluster):
                lone = _service_of(task) is None
                if lone and (cluster.name, family_of(task["taskDefinitionArn"])) not in scheduled:
                    yield SeenTask(cluster=cluster.name, name=short(task["taskArn"]), because=because)

    def schedules(self) -> list[SeenSchedule]:
        """One for each task definition that rules or schedules start, however many do: it is one program."""
        programs: dict[tuple[str, str], list[tuple[Starter, str]]] = {}
        for starter in self._surroundings.starters:
            because = self._because_started(starter)
            if because is not None:
                programs.setdefault((starter.cluster, starter.family), []).append((starter, because))
        running = [
            (cluster.name, family_of(task["taskDefinitionArn"]))
            for cluster in self._surroundings.clusters
            for task, _ in self._tasks(cluster)
            if _service_of(task) is None
        ]
        return [
            SeenSchedule(
                cluster=place[0],
                name=place[1],
                starters=tuple(sorted({f"{starter.kind} {starter.name}" for starter, _ in started if starter.enabled})),
                tasks=running.count(place),
                because=started[0][1],
            )
            for place, started in programs.items()
        ]

    def _because(self, definition: str, overrides: Mapping[str, Any] | None = None) -> str | None:
        return self._surroundings.receivers.because(definition, self._url, self._arn, overrides)

    def _because_started(self, starter: Starter) -> str | None:
        try:
            return self._because(starter.definition, starter.overrides)
        except ClientError as error:
            # No task of a deleted definition can be started.
            if error.response["Error"]["Code"] == "ClientException":
                return None
            raise

    def _tasks(self, cluster: Cluster) -> Iterator[tuple[Mapping[str, Any], str]]:
        for task in cluster.tasks:
            because = self._because(task["taskDefinitionArn"], task.get("overrides"))
            if because is not None:
                yield task, because


def list_mappings(lambda_client: AwsClient, queue_arn: str) -> Iterator[dict[str, Any]]:
    """The queue's mappings as Lambda lists them: the one call that a worker's own check is allowed."""
    for page in lambda_client.get_paginator("list_event_source_mappings").paginate(EventSourceArn=queue_arn):
        yield from page["EventSourceMappings"]


def is_missing_queue(error: ClientError) -> bool:
    """Whether SQS says that the queue does not exist; its code depends on the protocol that boto3 speaks."""
    return error.response["Error"]["Code"] in ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


def _service_of(task: Mapping[str, Any]) -> str | None:
    group = task.get("group", "")
    return group.removeprefix("service:") if group.startswith("service:") else None
