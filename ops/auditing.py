"""``receipts audit``: who may consume each queue of the stack right now, against who should.

What was seen is told by ``one_consumer/live``; what should be follows from the stack's outputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError

from one_consumer.live.observation import LiveConsumer, Standing, consumers
from ops.target import Target
from stack.choice import consumers as embed_consumers


class Finding(StrEnum):
    """What an audit can find wrong."""

    TWO_CONSUMERS = "TWO_CONSUMERS"
    NO_CONSUMER = "NO_CONSUMER"
    WRONG_CONSUMER = "WRONG_CONSUMER"
    UNEXPECTED_CONSUMER = "UNEXPECTED_CONSUMER"
    QUEUE_MISSING = "QUEUE_MISSING"


MEANINGS: Mapping[Finding, str] = {
    Finding.TWO_CONSUMERS: "More than one consumer is on: they share the queue's messages at random.",
    Finding.NO_CONSUMER: "Nobody is on where somebody should be: messages wait, up to the queue's retention.",
    Finding.WRONG_CONSUMER: "Another consumer is on than the stack's settings choose.",
    Finding.UNEXPECTED_CONSUMER: "Somebody is on where the settings say that messages wait.",
    Finding.QUEUE_MISSING: "The queue does not exist: somebody deleted it, or an update that left `hybrid` has not "
    "ended. The next switch puts it right.",
}


@dataclass(frozen=True, kw_only=True)
class ExpectedQueue:
    """A queue of the stack and who should consume it.

    Attributes:
        consumer: the function's or service's name; None for nobody.
        optional: whoever redrives or inspects it may consume it: a dead letter queue.
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


PICTURES_DEAD_LETTERS = "picturesDeadLetterQueueUrl"
DEAD_LETTERS = {
    "pictures, dead letters": PICTURES_DEAD_LETTERS,
    "OCR results, dead letters": "ocrResultsDeadLetterQueueUrl",
    "embed, dead letters": "embedDeadLetterQueueUrl",
    "lines, dead letters": "linesDeadLetterQueueUrl",
    "words, dead letters": "wordsDeadLetterQueueUrl",
    "stream failures": "streamFailureQueueUrl",
}
"""Label to output. Those of pictures exist only with ``receipts:ocr``: ``dead_letter_queues`` gives what is there."""


def dead_letter_queues(outputs: Mapping[str, Any]) -> dict[str, str]:
    """Label to address of every dead letter queue of a stack; pure."""
    return {
        label: outputs[output]
        for label, output in DEAD_LETTERS.items()
        if output != PICTURES_DEAD_LETTERS or outputs.get(output)
    }


def expected_queues(outputs: Mapping[str, Any]) -> list[ExpectedQueue]:
    """Every queue of a stack with its consumer, from the stack's outputs; pure."""
    hosts = {"lambda": outputs["embedFunctionName"], "ecs": outputs["serviceName"], None: None}
    chosen = embed_consumers(outputs["embedConsumer"])
    pictures = outputs.get("picturesQueueUrl")
    return [
        *([ExpectedQueue(label="pictures", url=pictures, consumer=outputs["pictureFunctionName"])] if pictures else []),
        ExpectedQueue(label="OCR results", url=outputs["ocrResultsQueueUrl"], consumer=outputs["uploadFunctionName"]),
        *(
            ExpectedQueue(label=name, url=url, consumer=hosts[chosen[name]])
            for name, url in sorted(outputs["embedQueueUrls"].items())
        ),
        ExpectedQueue(label="lines", url=outputs["linesQueueUrl"], consumer=outputs["mergeFunctionName"]),
        ExpectedQueue(label="words", url=outputs["wordsQueueUrl"], consumer=outputs["mergeFunctionName"]),
        *(
            ExpectedQueue(label=label, url=url, consumer=None, optional=True)
            for label, url in dead_letter_queues(outputs).items()
        ),
    ]


def judge(expected: ExpectedQueue, live: Sequence[LiveConsumer]) -> Finding | None:
    """What is wrong with a queue's consumers, if anything is; pure."""
    on = [item for item in live if item.standing is Standing.ON]
    if len(on) > 1:
        return Finding.TWO_CONSUMERS
    if not on:
        return Finding.NO_CONSUMER if expected.consumer else None
    if expected.optional or on[0].name == expected.consumer:
        return None
    return Finding.WRONG_CONSUMER if expected.consumer else Finding.UNEXPECTED_CONSUMER


def is_missing_queue(error: ClientError) -> bool:
    """Whether SQS says that the queue does not exist; its code depends on the protocol that boto3 speaks."""
    return error.response["Error"]["Code"] in ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


def audit(target: Target) -> list[AuditedQueue]:
    """Look at every queue of the stack."""
    observer = target.consumer_observer()
    audited = []
    for expected in expected_queues(target.outputs):
        try:
            seen = observer.observe(expected.url)
        except ClientError as error:
            if not is_missing_queue(error):
                raise
            audited.append(
                AuditedQueue(expected=expected, visible=0, in_flight=0, consumers=(), finding=Finding.QUEUE_MISSING)
            )
            continue
        live = consumers(seen, datetime.now(UTC))
        audited.append(
            AuditedQueue(
                expected=expected,
                visible=seen.visible,
                in_flight=seen.in_flight,
                consumers=live,
                finding=judge(expected, live),
            )
        )
    return audited


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
                {"kind": live.kind, "name": live.name, "standing": live.standing.value, "why": live.why}
                for live in item.consumers
            ],
            "finding": item.finding,
        }
        for item in audited
    ]
