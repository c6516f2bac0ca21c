"""Event source mappings and pipes: AWS itself polls the queue for them, whatever rights the stack shows."""

from collections.abc import Iterator
from typing import Final

from one_consumer.pack.graph import UNKNOWN, Graph, Queue, Resource

MAPPING: Final = "aws:lambda/eventSourceMapping:EventSourceMapping"
PIPE: Final = "aws:pipes/pipe:Pipe"
TYPES: Final = (MAPPING, PIPE)
SOURCES: Final = frozenset({"eventSourceArn", "sourceArn", "source", "eventSource", "sourceQueueArn"})
"""How properties are called that name a queue to take messages from."""
NO_CONSUMERS: Final = frozenset(
    {
        "aws:lambda/permission:Permission",
        "aws:sqs/queuePolicy:QueuePolicy",
        "aws:s3/bucketNotification:BucketNotification",
        "aws:sns/topicSubscription:TopicSubscription",
    }
)
"""Types that name a queue there and take no messages."""


def mappings(graph: Graph) -> Iterator[tuple[Queue, Resource, str, bool]]:
    """Each queue with the mapping or pipe that is on, its kind, and whether it can be no other queue.

    Unset is on: a mapping (https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html) and a pipe
    (https://docs.aws.amazon.com/eventbridge/latest/userguide/pipes-start-stop.html) start by themselves.

    A filter turns nothing off: what does not match it is deleted from the queue
    (https://docs.aws.amazon.com/lambda/latest/dg/with-sqs-filtering.html). Nor does it matter which version or alias of
    a function a mapping calls: each mapping polls by itself.
    """
    for kind, source, switch, off, what, filters in (
        (MAPPING, "eventSourceArn", "enabled", False, "event source mapping", ("filterCriteria",)),
        (PIPE, "source", "desiredState", "STOPPED", "pipe", ("sourceParameters", "filterCriteria")),
    ):
        for resource in graph.of(kind):
            queues = graph.referred_queues(resource, source) if resource.switch(switch) != off else []
            criteria = resource.value(*filters)
            filtered = " (filtered: it deletes what does not match)" if _filters(criteria) else ""
            for queue in queues:
                yield queue, resource, f"{what}{filtered}", len(queues) == 1


def unknown_kinds(graph: Graph) -> Iterator[tuple[Queue, Resource, str]]:
    """Resources of a type that no rule knows and that name a queue as their source, with the property that does.

    Providers get new types. What such a type does is unknown here, and is worth a warning.
    """
    for kind in graph.types - NO_CONSUMERS - set(TYPES):
        for resource in graph.of(kind):
            for name in sorted(SOURCES & resource.properties.keys()):
                for queue in graph.referred_queues(resource, name):
                    yield queue, resource, name


def _filters(criteria: object) -> bool:
    return criteria is not UNKNOWN and isinstance(criteria, dict) and bool(criteria.get("filters"))
