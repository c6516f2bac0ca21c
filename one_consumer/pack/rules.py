"""The rules of SQS and its mappings, each a pure function from a stack's graph to what violates it.

A program's own checks cannot see what was written by hand beside them; these can. AWS accepts most of what is refused
here, or refuses it only while it deploys.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from one_consumer.pack.codes import (
    ADVISED_TIMEOUTS,
    CONCURRENCY_MAXIMUM,
    CONCURRENCY_MINIMUM,
    FIFO_BATCH_MAXIMUM,
    Code,
    Violation,
)
from one_consumer.pack.consumers.functions import functions_of
from one_consumer.pack.consumers.mappings import MAPPING
from one_consumer.pack.graph import UNKNOWN, Graph, Queue, Resource, parsed

REDRIVE_POLICY: Final = "aws:sqs/redrivePolicy:RedrivePolicy"
TOPIC: Final = "aws:sns/topic:Topic"

TYPES: Final = (REDRIVE_POLICY, TOPIC)
DEFAULT_VISIBILITY_SECONDS, DEFAULT_FUNCTION_SECONDS, DEFAULT_BATCH = 30, 3, 10


Rule = Callable[[Graph], Iterator[Violation]]


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
        for function in functions_of(graph, mapping, "functionName"):
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

    Advisory: a handler that raises is right without, at the price of working through the whole batch again, and a
    policy cannot see what a handler returns. A batch of one message has no part that could fail.
    """
    for mapping, queue in _sqs_mappings(graph):
        types = mapping.value("functionResponseTypes")
        known = types if isinstance(types, list) else [types]
        alone = mapping.value("batchSize") in (1, UNKNOWN)
        if UNKNOWN not in known and "ReportBatchItemFailures" not in known and not alone:
            batch = mapping.number("batchSize", unset=DEFAULT_BATCH)
            yield _of(
                mapping,
                Code.FAILURES_REPORTED,
                f"of up to {batch:g} messages of {queue.label!r} all come back when the handler raises, the finished"
                " ones too, and all are deleted when it returns, those too that it lists as failed",
                'function_response_types=["ReportBatchItemFailures"] and a handler that returns batchItemFailures, or'
                " batch_size=1; a handler that raises and may safely see a message twice needs neither",
            )


RULES: Final[Mapping[Rule, tuple[Code, ...]]] = {
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
"""Every rule but that of one consumer, and the codes that it may find."""


def _of(resource: Resource, code: Code, value: str, way_out: str) -> Violation:
    return Violation(
        code=code,
        urn=resource.urn,
        value=f"{resource.name!r}: {value}",
        way_out=way_out,
        about=frozenset({resource.name, resource.urn}),
    )


def _sqs_mappings(graph: Graph) -> Iterator[tuple[Resource, Queue]]:
    """Mappings of queues, on or off: one that is off is turned on some day."""
    for mapping in graph.of(MAPPING):
        for queue in graph.referred_queues(mapping, "eventSourceArn"):
            yield mapping, queue


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
