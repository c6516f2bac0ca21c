"""Waits: until a queue's leaving consumers are off, and until a queue that is to be deleted is empty.

Both run inside an update, between what turns one consumer off and what turns the next one on, and fail it on timeout.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from botocore.exceptions import ClientError

from one_consumer.live.clients import AwsClient
from one_consumer.live.errors import WaitCode, WaitError
from one_consumer.live.observation import Identity, LiveConsumer, QueueObservation, Standing, consumers
from one_consumer.live.observer import ConsumerObserver

DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException"})
RECEIVE_AT_ONCE = 10
"""Amazon SQS API reference, ReceiveMessage."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait.

    Attributes:
        timeout_seconds: then it is an error.
        poll_seconds: between two looks.
        quiet_seconds: how long a queue must have been empty before it counts as empty.
    """

    timeout_seconds: float
    poll_seconds: float
    quiet_seconds: float = 0.0


def left_behind(seen: QueueObservation, winner: Identity | None, now: datetime) -> tuple[LiveConsumer, ...]:
    """The consumers other than ``winner`` that are not off yet; pure."""
    return tuple(item for item in consumers(seen, now) if item.identity != winner and item.standing is not Standing.OFF)


async def wait_until_drained(
    observer: ConsumerObserver,
    queue_url: str,
    *,
    winner: Identity | None,
    patience: Patience,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Wait until every consumer but the winner is off.

    Args:
        observer: looks.
        queue_url: the queue that changes hands.
        winner: the function or service that may receive next; None when nobody may.
        patience: how long.
        now: the clock.

    Raises:
        WaitError: HANDOVER_NOT_DRAINED, naming who still works.
    """
    deadline = time.monotonic() + patience.timeout_seconds
    while True:
        seen = await asyncio.to_thread(observer.observe, queue_url)
        busy = left_behind(seen, winner, now())
        if not busy:
            return
        if time.monotonic() >= deadline:
            raise WaitError(
                WaitCode.HANDOVER_NOT_DRAINED,
                value=f"queue {seen.name} after {patience.timeout_seconds:.0f} s: "
                + "; ".join(f"{item.kind} {item.name} is {item.standing} ({item.why})" for item in busy),
                rule="the next consumer starts when nobody else receives, or works on, the queue's messages",
                way_out="the queue has no consumer now and its messages wait; run the update again when that one has "
                "ended (pulumi up --refresh), turn it off if no program knows it, or go back to the old consumer",
            )
        await asyncio.sleep(patience.poll_seconds)


async def move_and_wait_until_empty(
    sqs_client: AwsClient, source_url: str, destination_url: str, *, patience: Patience
) -> int:
    """Move a queue's messages, and wait until it has been empty for the quiet time: then it can be deleted.

    Group and deduplication ids go with a message; it is deleted here only when it is there.

    Args:
        sqs_client: a boto3 SQS client.
        source_url: the FIFO queue that is to be deleted; nobody else receives from it any more.
        destination_url: the FIFO queue that takes its messages.
        patience: how long.

    Returns:
        How many messages were moved.

    Raises:
        WaitError: QUEUE_NOT_EMPTY.
    """
    deadline = time.monotonic() + patience.timeout_seconds
    moved, empty_since = 0, None
    while True:
        try:
            moved_now, waiting = await asyncio.to_thread(_move, sqs_client, source_url, destination_url)
        except ClientError as error:
            # The lock that let only its consumer receive was removed just before, and that takes a while to hold.
            if error.response["Error"]["Code"] not in DENIED_CODES or time.monotonic() >= deadline:
                raise
            moved_now, waiting = 0, 1
        moved += moved_now
        if moved_now or waiting:
            empty_since = None
        else:
            empty_since = empty_since or time.monotonic()
            if time.monotonic() - empty_since >= patience.quiet_seconds:
                return moved
        if time.monotonic() >= deadline:
            raise WaitError(
                WaitCode.QUEUE_NOT_EMPTY,
                value=f"{source_url} still holds, or was sent, messages after {patience.timeout_seconds:.0f} s",
                rule="a queue is deleted only when it has been empty for a while",
                way_out="find out who still sends to it or holds its messages, then run the update again",
            )
        if not moved_now:
            await asyncio.sleep(patience.poll_seconds)


def _move(sqs_client: AwsClient, source_url: str, destination_url: str) -> tuple[int, int]:
    """Move one receive's worth; give how many were moved and how many are left, hidden ones included."""
    answer = sqs_client.receive_message(
        QueueUrl=source_url,
        MaxNumberOfMessages=RECEIVE_AT_ONCE,
        WaitTimeSeconds=1,
        MessageSystemAttributeNames=["MessageGroupId", "MessageDeduplicationId"],
        MessageAttributeNames=["All"],
    )
    messages = answer.get("Messages", [])
    for message in messages:
        sqs_client.send_message(
            QueueUrl=destination_url,
            MessageBody=message["Body"],
            MessageGroupId=message["Attributes"]["MessageGroupId"],
            MessageDeduplicationId=message["Attributes"]["MessageDeduplicationId"],
            **({"MessageAttributes": message["MessageAttributes"]} if "MessageAttributes" in message else {}),
        )
        sqs_client.delete_message(QueueUrl=source_url, ReceiptHandle=message["ReceiptHandle"])
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = sqs_client.get_queue_attributes(QueueUrl=source_url, AttributeNames=names)["Attributes"]
    return len(messages), sum(int(attributes[name]) for name in names)
