"""Receiving for the worker: under the mapping guard, and nothing is kept that the guard does not allow."""

import time
from collections.abc import Callable
from typing import Any

from compaction_worker.fence import Fence
from compaction_worker.held import HeldMessage, HeldMessages
from pipeline.aws import AwsClient
from pipeline.embedding.work import IncomingMessage
from pipeline.errors import PipelineError

RECEIVE_LIMIT = 10
"""Messages of one receive (Amazon SQS API reference, ReceiveMessage)."""
LONG_POLL_SECONDS = 5
"""SQS allows 20; a stop waits for the running poll, because a poll that is abandoned may hold messages."""
SHORT_POLL_SECONDS = 1.0
"""A busy queue answers at once, and then the regular looks of the guard are enough."""


class Intake:
    """Receives messages of the embed queue.

    Args:
        sqs_client: a boto3 SQS client.
        queue_url: the embed queue.
        visibility_timeout_seconds: the queue's.
        fence: the mapping guard.
        held: where received messages are held.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        sqs_client: AwsClient,
        queue_url: str,
        visibility_timeout_seconds: int,
        *,
        fence: Fence,
        held: HeldMessages,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sqs = sqs_client
        self._queue_url = queue_url
        self._visibility = visibility_timeout_seconds
        self._fence = fence
        self._held = held
        self._clock = clock

    def take(self, *, at_once: bool) -> list[HeldMessage]:
        """Receive up to ten messages; they are held from then on.

        Args:
            at_once: whether an empty queue answers at once, because something waits for the answer.

        Raises:
            PermanentError: FENCED; what was received was released.
            RetryableError: SERVICE_UNAVAILABLE when the guard does not know.
            ClientError: when the queue refuses.
        """
        self._fence.require_clear()
        began = self._clock()
        messages = self._receive(0 if at_once else LONG_POLL_SECONDS)
        if messages:
            self._held.hold(messages)
            try:
                # The last look was before a long poll, so the guard looks again.
                self._fence.require_clear(anew=self._clock() - began > SHORT_POLL_SECONDS)
            except PipelineError:
                self._held.release(messages)
                raise
        return messages

    def _receive(self, wait_seconds: int) -> list[HeldMessage]:
        answer = self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=RECEIVE_LIMIT,
            WaitTimeSeconds=wait_seconds,
            VisibilityTimeout=self._visibility,
            MessageSystemAttributeNames=["MessageGroupId", "ApproximateReceiveCount"],
        )
        return [_held(message) for message in answer.get("Messages", [])]


def _held(message: dict[str, Any]) -> HeldMessage:
    attributes = message.get("Attributes", {})
    return HeldMessage(
        incoming=IncomingMessage(
            message_id=message["MessageId"],
            body=message["Body"],
            group_id=attributes.get("MessageGroupId", message["MessageId"]),
            receives=int(attributes.get("ApproximateReceiveCount", 1)),
        ),
        receipt_handle=message["ReceiptHandle"],
    )
