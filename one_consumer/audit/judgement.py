"""What an audit finds: a queue's live consumers against who should consume it. Looking is in ``one_consumer.live``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from one_consumer.live.observation import LiveConsumer, QueueObservation, Standing, consumers
from one_consumer.live.observer import ConsumerObserver


class Finding(StrEnum):
    """What an audit can find wrong."""

    TWO_CONSUMERS = "TWO_CONSUMERS"
    NO_CONSUMER = "NO_CONSUMER"
    WRONG_CONSUMER = "WRONG_CONSUMER"
    UNEXPECTED_CONSUMER = "UNEXPECTED_CONSUMER"
    QUEUE_MISSING = "QUEUE_MISSING"


MEANINGS: Mapping[Finding, str] = {
    Finding.TWO_CONSUMERS: "More than one consumer is on: they share the queue's messages at random.",
    Finding.NO_CONSUMER: "No consumer is on although one should be: messages wait, up to the queue's retention.",
    Finding.WRONG_CONSUMER: "Another consumer is on than the one that should be.",
    Finding.UNEXPECTED_CONSUMER: "A consumer is on although messages should wait.",
    Finding.QUEUE_MISSING: "The queue does not exist in this account and region.",
}


@dataclass(frozen=True, kw_only=True)
class ExpectedQueue:
    """A queue and who should consume it.

    Attributes:
        consumer: the name of the one consumer; None for nobody.
        optional: any one consumer may be on, or none: a dead letter queue, or a queue of which nothing is known.
    """

    label: str
    url: str
    consumer: str | None
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class AuditedQueue:
    """A queue, its live consumers and what is wrong with them."""

    expected: ExpectedQueue
    visible: int
    in_flight: int
    consumers: tuple[LiveConsumer, ...]
    finding: Finding | None

    @property
    def on(self) -> tuple[LiveConsumer, ...]:
        """Those that are on."""
        return tuple(item for item in self.consumers if item.standing is Standing.ON)


def judge(expected: ExpectedQueue, live: Sequence[LiveConsumer]) -> Finding | None:
    """What is wrong with a queue's consumers, if anything is; pure."""
    on = [item for item in live if item.standing is Standing.ON]
    if len(on) > 1:
        return Finding.TWO_CONSUMERS
    if not on:
        return Finding.NO_CONSUMER if expected.consumer and not expected.optional else None
    if expected.optional or on[0].name == expected.consumer:
        return None
    return Finding.WRONG_CONSUMER if expected.consumer else Finding.UNEXPECTED_CONSUMER


def audit(observer: ConsumerObserver, queues: Sequence[ExpectedQueue]) -> Iterator[AuditedQueue]:
    """Look at queues of one account and region, and judge each; one that is gone is a finding.

    Raises:
        ClientError: whatever AWS answers: a queue is judged by everything that may consume it, or not at all.
    """
    for expected, seen in zip(queues, observer.observe_each([item.url for item in queues]), strict=True):
        yield _audited(expected, seen, datetime.now(UTC))


def _audited(expected: ExpectedQueue, seen: QueueObservation | None, now: datetime) -> AuditedQueue:
    if seen is None:
        return AuditedQueue(expected=expected, visible=0, in_flight=0, consumers=(), finding=Finding.QUEUE_MISSING)
    live = consumers(seen, now)
    return AuditedQueue(
        expected=expected,
        visible=seen.visible,
        in_flight=seen.in_flight,
        consumers=live,
        finding=judge(expected, live),
    )


def as_document(audited: Sequence[AuditedQueue]) -> list[dict[str, Any]]:
    """The audit for programs."""
    return [
        {
            "queue": item.expected.label,
            "url": item.expected.url,
            "expected": item.expected.consumer,
            "visible": item.visible,
            "in_flight": item.in_flight,
            "consumers": [
                {
                    "kind": live.kind,
                    "name": live.name,
                    "cluster": live.cluster or None,
                    "standing": live.standing.value,
                    "why": live.why,
                    "because": live.because,
                }
                for live in item.consumers
            ],
            "finding": item.finding,
        }
        for item in audited
    ]
