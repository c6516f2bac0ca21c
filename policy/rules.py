"""The rules, each a pure function from a stack's graph to what violates it. Nothing here knows Pulumi's protocol.

A program's own checks cannot see what was written by hand beside them; these can. AWS accepts most of what is refused
here, or refuses it only while it deploys.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from policy.graph import UNKNOWN, Graph, Queue, Resource, parsed
from policy.rights import Access, Right
from policy.services import TASK_SET, running

ALIAS: Final = "aws:lambda/alias:Alias"
FUNCTION: Final = "aws:lambda/function:Function"
MAPPING: Final = "aws:lambda/eventSourceMapping:EventSourceMapping"
PIPE: Final = "aws:pipes/pipe:Pipe"
REDRIVE_POLICY: Final = "aws:sqs/redrivePolicy:RedrivePolicy"
TOPIC: Final = "aws:sns/topic:Topic"

FIFO_BATCH_MAXIMUM = 10
CONCURRENCY_MINIMUM, CONCURRENCY_MAXIMUM = 2, 1000
DEFAULT_VISIBILITY_SECONDS, DEFAULT_FUNCTION_SECONDS = 30, 3
ADVISED_TIMEOUTS = 6


class Code(Enum):
    """Every refusal, by a code that stays, and the rule behind it."""

    ONE_CONSUMER = "A queue has at most one consumer that is on; two would share its messages at random."
    ONE_CONSUMER_UNPROVEN = (
        "A queue has at most one consumer; whether a further one may receive cannot be told, or not before the update."
    )
    FIFO_BATCHING_WINDOW = "A FIFO queue's mapping has no batching window; AWS refuses it."
    FIFO_BATCH_SIZE = f"A FIFO queue's mapping takes 1 to {FIFO_BATCH_MAXIMUM} messages at once."
    MAXIMUM_CONCURRENCY = f"A mapping's maximum concurrency is {CONCURRENCY_MINIMUM} to {CONCURRENCY_MAXIMUM}."
    POLLERS_OR_CONCURRENCY = "A mapping has provisioned pollers or a maximum concurrency, not both."
    VISIBILITY_BELOW_TIMEOUT = "A message stays hidden at least as long as the function may run."
    VISIBILITY_BELOW_ADVISED = f"A message should stay hidden {ADVISED_TIMEOUTS} times as long as the function may run."
    DEAD_LETTER_KIND = (
        "Dead letters of FIFO go to FIFO, of standard to standard; a mapping's own failures never to FIFO."
    )
    FAILURES_REPORTED = "An SQS mapping reports failed messages one by one, or a handler's list of them is ignored."

    @property
    def mandatory(self) -> bool:
        """Does it stop an update?"""
        return self not in (Code.ONE_CONSUMER_UNPROVEN, Code.VISIBILITY_BELOW_ADVISED)

    @property
    def policy_name(self) -> str:
        """Its name as a Pulumi policy."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, kw_only=True)
class Violation:
    """What is wrong, where, and the way out."""

    code: Code
    urn: str
    value: str
    way_out: str

    @property
    def message(self) -> str:
        """For a reader; the rule stands above it, as the policy's description."""
        return f"{self.code.name}: {self.value}. Way out: {self.way_out}."


@dataclass(frozen=True, kw_only=True)
class Consumer:
    """Something that is on and takes a queue's messages, or, when not ``proven``, may do so."""

    resource: Resource
    what: str
    proven: bool = True

    def __str__(self) -> str:
        """What it is, by the program's name for it."""
        return f"{self.what} {self.resource.name!r}"


Rule = Callable[[Graph], Iterator[Violation]]


def judge(graph: Graph) -> list[Violation]:
    """All rules over one stack."""
    return [violation for rule in RULES for violation in rule(graph)]


def one_consumer(graph: Graph) -> Iterator[Violation]:
    """One queue, one consumer.

    AWS refuses only the same function twice on one queue
    (https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html, ResourceConflictException).
    """
    for queue, consumers in consumers_by_queue(graph).items():
        if len(consumers) > 1:
            proven = sum(consumer.proven for consumer in consumers) > 1
            yield Violation(
                code=Code.ONE_CONSUMER if proven else Code.ONE_CONSUMER_UNPROVEN,
                urn=(queue.resource or consumers[-1].resource).urn,
                value=f"queue {queue.label!r} is consumed by {', '.join(map(str, consumers))}",
                way_out="turn all but one off (mapping enabled=False, pipe STOPPED, service with desired count and"
                " maximum capacity 0), or give each a queue of its own",
            )


def consumers_by_queue(graph: Graph) -> dict[Queue, list[Consumer]]:
    """Everything that is on, by the queue that it receives from.

    Unset is on: a mapping (https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html) and a pipe
    (https://docs.aws.amazon.com/eventbridge/latest/userguide/pipes-start-stop.html) start by themselves.
    """
    found: dict[Queue, list[Consumer]] = defaultdict(list)
    for kind, source, switch, off, what in (
        (MAPPING, "eventSourceArn", "enabled", False, "event source mapping"),
        (PIPE, "source", "desiredState", "STOPPED", "pipe"),
    ):
        for resource in graph.of(kind):
            queues = graph.referred_queues(resource, source) if resource.switch(switch) != off else []
            for queue in queues:
                found[queue].append(Consumer(resource=resource, what=what, proven=len(queues) == 1))
    access = Access(graph)
    for service, tasks in running(graph):
        for queue, right in access.to_receive(tasks).items():
            what = "ECS task set" if service.type == TASK_SET else "ECS service"
            if right is not Right.RECEIVES:
                what += f" (rights {right.name.lower().replace('_', ' ')})"
            found[queue].append(Consumer(resource=service, what=what, proven=right.proven))
    return found


def mapping_limits(graph: Graph) -> Iterator[Violation]:
    """Windows, batches and concurrency of an SQS mapping.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html and, for concurrency and pollers,
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html.
    """
    for mapping, queue in _sqs_mappings(graph):
        window = mapping.number("maximumBatchingWindowInSeconds", unset=0)
        batch = mapping.number("batchSize", unset=FIFO_BATCH_MAXIMUM)
        concurrency = mapping.number("scalingConfig", "maximumConcurrency")
        pollers = [mapping.number("provisionedPollerConfig", key) for key in ("minimumPollers", "maximumPollers")]
        if queue.fifo and window:
            yield _of(mapping, Code.FIFO_BATCHING_WINDOW, f"{window:g} s on {queue.label!r}", "leave the window out")
        if queue.fifo and batch is not None and not 1 <= batch <= FIFO_BATCH_MAXIMUM:
            yield _of(mapping, Code.FIFO_BATCH_SIZE, f"batches of {batch:g}", f"1 to {FIFO_BATCH_MAXIMUM}")
        if concurrency is not None and not CONCURRENCY_MINIMUM <= concurrency <= CONCURRENCY_MAXIMUM:
            yield _of(
                mapping,
                Code.MAXIMUM_CONCURRENCY,
                f"maximum concurrency {concurrency:g}",
                "a value in the range; for strictly one at a time a FIFO queue with one message group",
            )
        if concurrency is not None and any(pollers):
            yield _of(mapping, Code.POLLERS_OR_CONCURRENCY, "both are set", "drop one of them")


def visibility(graph: Graph) -> Iterator[Violation]:
    """The queue's visibility timeout against the function's own.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html. AWS looks only when a mapping is made.
    Unset they are 30 s (API_CreateQueue) and 3 s (API_CreateFunction).
    """
    for mapping, queue in _sqs_mappings(graph):
        if queue.resource is None:
            continue
        hidden = queue.resource.number("visibilityTimeoutSeconds", unset=DEFAULT_VISIBILITY_SECONDS)
        for function in _functions(graph, mapping):
            runtime = function.number("timeout", unset=DEFAULT_FUNCTION_SECONDS)
            if hidden is None or runtime is None or hidden >= ADVISED_TIMEOUTS * runtime:
                continue
            yield _of(
                mapping,
                Code.VISIBILITY_BELOW_TIMEOUT if hidden < runtime else Code.VISIBILITY_BELOW_ADVISED,
                f"queue {queue.label!r} hides for {hidden:g} s, function {function.name!r} may run {runtime:g} s",
                f"a visibility timeout of {ADVISED_TIMEOUTS * runtime:g} s",
            )


def failures_destination(graph: Graph) -> Iterator[Violation]:
    """What could not be processed goes where AWS takes it.

    A queue and its dead letter queue are of one kind
    (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html); a stream's
    mapping gives up to a standard queue or topic (https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html).
    """
    for policy, queue in _redriven(graph):
        for dead in _dead_letter_queues(graph, policy):
            if queue.fifo is not dead.fifo and None not in (queue.fifo, dead.fifo):
                kind = "FIFO" if queue.fifo else "standard"
                value = f"queue {queue.label!r} is {kind}, its dead letter queue {dead.label!r} is not"
                yield _of(policy, Code.DEAD_LETTER_KIND, value, f"a {kind} dead letter queue")
    path = ("destinationConfig", "onFailure", "destinationArn")
    for mapping in graph.of(MAPPING):
        destination = mapping.text(*path)
        fifo = [destination] if destination and destination.endswith(".fifo") else []
        if mapping.value(*path) is UNKNOWN:
            fifo += [queue.label for queue in graph.referred_queues(mapping, *path) if queue.fifo]
            topics = graph.referred(mapping, "destinationConfig", TOPIC)
            fifo += [topic.name for topic in topics if topic.value("fifoTopic") is True]
        if fifo:
            value = f"failures go to {fifo[0]!r}, which is FIFO"
            yield _of(mapping, Code.DEAD_LETTER_KIND, value, "a standard queue or topic")


def failures_reported(graph: Graph) -> Iterator[Violation]:
    """Partial failures, https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html.

    Mandatory, although a handler that raises does without: a list of failures that nobody reads deletes the messages, a
    policy cannot see what a handler returns, and a handler that returns nothing is served no worse with the setting.
    """
    for mapping, queue in _sqs_mappings(graph):
        types = mapping.value("functionResponseTypes")
        known = types if isinstance(types, list) else [types]
        if UNKNOWN not in known and "ReportBatchItemFailures" not in known:
            yield _of(
                mapping,
                Code.FAILURES_REPORTED,
                f"what the handler returns about messages of {queue.label!r} is ignored, and failed ones are deleted",
                'function_response_types=["ReportBatchItemFailures"]',
            )


RULES: Final[Mapping[Rule, tuple[Code, ...]]] = {
    one_consumer: (Code.ONE_CONSUMER, Code.ONE_CONSUMER_UNPROVEN),
    mapping_limits: (
        Code.FIFO_BATCHING_WINDOW,
        Code.FIFO_BATCH_SIZE,
        Code.MAXIMUM_CONCURRENCY,
        Code.POLLERS_OR_CONCURRENCY,
    ),
    visibility: (Code.VISIBILITY_BELOW_TIMEOUT, Code.VISIBILITY_BELOW_ADVISED),
    failures_destination: (Code.DEAD_LETTER_KIND,),
    failures_reported: (Code.FAILURES_REPORTED,),
}
"""Every rule, and the codes that it may find."""


def _of(resource: Resource, code: Code, value: str, way_out: str) -> Violation:
    return Violation(code=code, urn=resource.urn, value=f"{resource.name!r}: {value}", way_out=way_out)


def _sqs_mappings(graph: Graph) -> Iterator[tuple[Resource, Queue]]:
    """Mappings of queues, on or off: one that is off is turned on some day."""
    for mapping in graph.of(MAPPING):
        for queue in graph.referred_queues(mapping, "eventSourceArn"):
            yield mapping, queue


def _functions(graph: Graph, mapping: Resource) -> list[Resource]:
    """The function behind a mapping, through an alias too."""
    aliases = graph.referred(mapping, "functionName", ALIAS)
    return graph.referred(mapping, "functionName", FUNCTION) or [
        function for alias in aliases for function in graph.referred(alias, "functionName", FUNCTION)
    ]


def _redriven(graph: Graph) -> Iterator[tuple[Resource, Queue]]:
    """Queues by what holds their redrive policy: themselves, or a resource of its own."""
    yield from ((queue.resource, queue) for queue in graph.queues.values() if queue.resource is not None)
    for policy in graph.of(REDRIVE_POLICY):
        yield from ((policy, queue) for queue in graph.referred_queues(policy, "queueUrl"))


def _dead_letter_queues(graph: Graph, policy: Resource) -> list[Queue]:
    redrive = parsed(policy.value("redrivePolicy"))
    if not isinstance(redrive, Mapping):
        return graph.referred_queues(policy, "redrivePolicy")
    return graph.queues_named(str(redrive.get("deadLetterTargetArn")))
