"""The kinds of consumers, a module each, with the types of resources that it reads as ``TYPES``.

Two sorts: those of which AWS takes the messages itself (``direct_consumers``), and workloads, which may receive when
they have the right (``KINDS``). A kind that is missing here is not seen; docs/policy.md names those.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Final

from one_consumer.pack.consumers import (
    app_runner,
    batch,
    ecs,
    functions,
    instances,
    kubernetes,
    mappings,
    schedules,
    started,
    state_machines,
)
from one_consumer.pack.graph import Graph, Queue, Resource

KINDS: Final = (ecs, started, functions, app_runner, instances, kubernetes, state_machines)
TYPES: Final = frozenset(kind for module in (*KINDS, batch, mappings, schedules) for kind in module.TYPES)


def direct_consumers(graph: Graph) -> Iterator[tuple[Queue, Resource, str, bool]]:
    """Each queue with what takes its messages, its kind, and whether it can be no other queue."""
    return chain(mappings.mappings(graph), state_machines.receivers(graph))
