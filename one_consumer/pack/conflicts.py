"""One queue, one consumer: everything of a stack that takes messages, grouped by queue."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from one_consumer.pack.codes import Code, Violation
from one_consumer.pack.consumers import direct_consumers
from one_consumer.pack.declarations import SENDS_ONLY_TAG, Declarations
from one_consumer.pack.graph import Graph, Queue, Resource
from one_consumer.pack.rights import Access, Right
from one_consumer.pack.settings import SendsOnly
from one_consumer.pack.workloads import Workload

OFF = (
    "turn all but one off (mapping enabled=False, pipe STOPPED, service with desired count and maximum capacity 0), or"
    " give each a queue of its own"
)
NARROW = (
    f"; what only sends needs a role without sqs:ReceiveMessage on this queue, or, where it shares one, a tag"
    f" {SENDS_ONLY_TAG!r} with the queue's name"
)


@dataclass(frozen=True, kw_only=True)
class Consumer:
    """Something that is on and takes a queue's messages, or, when not ``proven``, may do so."""

    resource: Resource
    what: str
    proven: bool = True
    by_rights: bool = False

    def __str__(self) -> str:
        """What it is, by the program's name for it."""
        return f"{self.what} {self.resource.name!r}"


def one_consumer(
    graph: Graph, workloads: Sequence[Workload], sends_only: Sequence[SendsOnly] = ()
) -> Iterator[Violation]:
    """One queue, one consumer.

    AWS refuses only the same function twice on one queue
    (https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html, ResourceConflictException).
    """
    for queue, consumers in consumers_by_queue(graph, workloads, sends_only).items():
        if len(consumers) > 1:
            proven = sum(consumer.proven for consumer in consumers) > 1
            shown = (queue.resource or consumers[-1].resource).urn
            yield Violation(
                code=Code.ONE_CONSUMER if proven else Code.ONE_CONSUMER_UNPROVEN,
                urn=shown,
                value=f"queue {queue.label!r} is consumed by {', '.join(map(str, consumers))}",
                way_out=OFF + (NARROW if any(consumer.by_rights for consumer in consumers) else ""),
                about=queue.names,
            )


def consumers_by_queue(
    graph: Graph, workloads: Sequence[Workload], sends_only: Sequence[SendsOnly]
) -> dict[Queue, list[Consumer]]:
    """Everything that is on, by the queue that it receives from."""
    found: dict[Queue, list[Consumer]] = defaultdict(list)
    for queue, resource, what, sure in direct_consumers(graph):
        found[queue].append(Consumer(resource=resource, what=what, proven=sure))
    for queue, workload, right, alone, note in receiving(graph, workloads, sends_only):
        proven = is_proof(workload, right, alone=alone)
        what = workload.what + note
        if not proven or right < Right.RECEIVES:
            what += f" (rights {right.name.lower().replace('_', ' ')})"
        found[queue].append(Consumer(resource=workload.resource, what=what, proven=proven, by_rights=True))
    return found


def receiving(
    graph: Graph, workloads: Sequence[Workload], sends_only: Sequence[SendsOnly]
) -> Iterator[tuple[Queue, Workload, Right, bool, str]]:
    """Each workload that may receive from a queue, its strongest right, and what contradicts its declaration.

    The right comes with whether the workload has its roles alone: who shares one may have it for another's sake.
    """
    access, declarations = Access(graph), Declarations(graph, sends_only)
    users = Counter(key for workload in workloads for key in _roles_of(workload))
    direct = {(queue, resource.urn) for queue, resource, _, _ in direct_consumers(graph)}
    for workload in workloads:
        if workload.invoked and not any(program.knowledge.queues for program in workload.programs):
            continue
        alone = all(users[key] == 1 for key in _roles_of(workload))
        for queue, right in access.to_receive(workload.programs).items():
            if (queue, workload.resource.urn) in direct or queue in workload.fed:
                continue
            if workload.invoked and not _may_poll(workload, queue, right):
                continue
            note = ""
            if declarations.of(workload, queue):
                contradiction = declarations.contradiction(access, workload, queue, right, alone=alone)
                if contradiction is None:
                    continue
                note = f", declared to send only, but {contradiction},"
            yield queue, workload, right, alone, note


def is_proof(workload: Workload, right: Right, *, alone: bool) -> bool:
    """Is a workload's right enough to stop an update?

    A function's is only where the stack calls it at times, and its role, which nothing else has, names the action and
    the queue: a function that sends often has a broad right, or the role of one that a mapping feeds.
    """
    if workload.invoked:
        return workload.scheduled and alone and right is Right.SPELLED
    return workload.started and right.proven


def _may_poll(workload: Workload, queue: Queue, right: Right) -> bool:
    """May code that is called with its input poll as well? It must at least know the queue and have a right to it.

    While the right is unknown every function that sends looks like one that polls, so the schedule distinguishes them.
    """
    told = any(program.knowledge.queues.get(queue) for program in workload.programs)
    return told and (right >= Right.RECEIVES or (right is Right.NOT_YET_KNOWN and workload.scheduled))


def _roles_of(workload: Workload) -> set[str]:
    return {
        principal.key for program in workload.programs for principal in program.principals if principal.key is not None
    }
