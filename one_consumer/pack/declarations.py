"""Declarations that a workload only sends to a queue, by a tag or the pack's configuration, and what contradicts them.

Two programs with one role, or one with a broad policy, look alike whether they receive or only send. A declaration
distinguishes them, and is checked against the rest of the stack: it is not believed where the stack says otherwise.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from one_consumer.pack.consumers.ecs import scaled
from one_consumer.pack.graph import UNKNOWN, Graph, Queue, Resource
from one_consumer.pack.rights import Access, Right
from one_consumer.pack.settings import SendsOnly
from one_consumer.pack.workloads import Workload

SENDS_ONLY_TAG: Final = "one-queue-one-consumer/sends-only"
"""Its value: names of queues in the program or in AWS, or ARNs, with blanks between. In Kubernetes an annotation."""
SCALING_POLICY: Final = "aws:appautoscaling/policy:Policy"
ALARM: Final = "aws:cloudwatch/metricAlarm:MetricAlarm"
TYPES: Final = (SCALING_POLICY, ALARM)
TAG_PROPERTIES: Final = (("tags",), ("tagsAll",), ("metadata", "annotations"))


class Declarations:
    """The declarations of a stack and of the pack's configuration."""

    def __init__(self, graph: Graph, configured: Sequence[SendsOnly]) -> None:
        self._graph = graph
        self._configured = configured

    def of(self, workload: Workload, queue: Queue) -> bool:
        """Is a workload declared to send only to a queue?"""
        if any(self._is_tagged(resource, queue) for resource in (workload.resource, *workload.parts)):
            return True
        names = {workload.resource.name, workload.resource.urn, workload.resource.text("name")}
        return any(item.workload in names and _means(item.queue, queue) for item in self._configured)

    def contradiction(
        self, access: Access, workload: Workload, queue: Queue, right: Right, *, alone: bool
    ) -> str | None:
        """What in the stack says that a workload receives although it is declared not to, or None.

        Args:
            access: the stack's access policies.
            workload: what is declared to send only.
            queue: where it sends to.
            right: its strongest right to receive.
            alone: does nothing else have its roles?
        """
        if alone and right is Right.SPELLED:
            return "a role that nothing else has is given sqs:ReceiveMessage on this very queue"
        principals = [principal for program in workload.programs for principal in program.principals]
        if principals and all(access.may_send(principal, queue) is False for principal in principals):
            return "its role may not send to the queue"
        if self._is_scaled_by(workload.resource, queue):
            return "it is scaled by the queue's messages"
        return None

    def _is_tagged(self, resource: Resource, queue: Queue) -> bool:
        for path in TAG_PROPERTIES:
            value = _tag(resource.value(*path), SENDS_ONLY_TAG)
            if isinstance(value, str) and any(_means(word, queue) for word in value.split()):
                return True
            if value is UNKNOWN and queue in self._graph.queues_among(self._graph.made_of(resource, path[0])):
                return True
        return False

    def _is_scaled_by(self, service: Resource, queue: Queue) -> bool:
        """Does a scaling policy of a service follow what is in the queue, itself or by an alarm?"""
        policies = [policy for policy in self._graph.of(SCALING_POLICY) if service in scaled(self._graph, policy)]
        alarms = [
            alarm
            for alarm in self._graph.of(ALARM)
            if any(policy in self._graph.referred(alarm, "alarmActions", SCALING_POLICY) for policy in policies)
        ]
        watched = (
            *((policy, "targetTrackingScalingPolicyConfiguration") for policy in policies),
            *((alarm, name) for alarm in alarms for name in ("dimensions", "metricQueries")),
        )
        return any(self._speaks_of(resource, name, queue) for resource, name in watched)

    def _speaks_of(self, resource: Resource, name: str, queue: Queue) -> bool:
        if queue in self._graph.queues_among(self._graph.made_of(resource, name)):
            return True
        own = queue.resource.text("name") if queue.resource else queue.key.rsplit(":", 1)[-1]
        return own is not None and any(word == own for word in _texts_in(resource.value(name)))


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping | list):
            yield from _texts_in(item)


def _tag(tags: Any, key: str) -> Any:
    if isinstance(tags, Mapping):
        return tags.get(key)
    for item in tags if isinstance(tags, list) else ():
        if isinstance(item, Mapping) and item.get("key") == key:
            return item.get("value")
    return None


def _means(word: str, queue: Queue) -> bool:
    return word in queue.names or queue.is_named_by(word)
