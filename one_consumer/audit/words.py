"""An audit in plain words, for a terminal and for messages. Pure."""

from collections.abc import Iterator, Sequence

from one_consumer.audit.judgement import MEANINGS, AuditedQueue
from one_consumer.live.observation import LiveConsumer

CONTROL = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160))}
"""Names come from an account: none of them may speak to a terminal."""


def lines(audited: Sequence[AuditedQueue]) -> Iterator[str]:
    """A line for each queue, and below it one for each consumer and one for a finding."""
    if not audited:
        yield "no queue was found"
    for item in audited:
        yield f"{item.expected.url}: {item.visible} messages wait, {item.in_flight} are in flight".translate(CONTROL)
        for consumer in item.consumers:
            yield f"  {_named(consumer)} is {consumer.standing} ({consumer.why}): {consumer.because}".translate(CONTROL)
        if not item.consumers:
            yield "  no consumer was found"
        if item.finding is not None:
            yield f"  {item.finding}: {MEANINGS[item.finding]}"


def sentence(item: AuditedQueue) -> str:
    """What is wrong with a queue, in one message."""
    if item.finding is None:
        return ""
    on = "; ".join(f"{_named(consumer)} ({consumer.why}; {consumer.because})" for consumer in item.on)
    found = f" On are: {on}." if on else ""
    return f"{item.expected.url}: {MEANINGS[item.finding]}{found}".translate(CONTROL)


def _named(consumer: LiveConsumer) -> str:
    return f"{consumer.kind} {consumer.name}{f' of cluster {consumer.cluster}' if consumer.cluster else ''}"
