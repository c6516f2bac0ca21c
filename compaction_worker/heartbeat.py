"""Keeps held messages invisible while they are worked on. A heartbeat that dies stops the worker, never in silence."""

import logging
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.aws import AwsClient

logger = logging.getLogger(__name__)

BEATS_PER_TIMEOUT = 3
"""Two beats may be lost before a message shows itself to another consumer."""


class VisibilityHeartbeat:
    """Extends the visibility of one batch until it is left.

    Args:
        sqs_client: a boto3 SQS client.
        queue_url: the embed queue.
        receipt_handles: of the batch; at most ten, as received.
        visibility_timeout_seconds: the queue's; each beat extends by it.
    """

    def __init__(
        self,
        sqs_client: AwsClient,
        queue_url: str,
        receipt_handles: Sequence[str],
        visibility_timeout_seconds: int,
    ) -> None:
        self._sqs = sqs_client
        self._queue_url = queue_url
        self._receipt_handles = tuple(receipt_handles)
        self._visibility = visibility_timeout_seconds
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="visibility-heartbeat", daemon=True)
        self.failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._left.wait(self._visibility / BEATS_PER_TIMEOUT):
            try:
                self.change_visibility(self._visibility)
            except (ClientError, BotoCoreError) as error:
                logger.exception("the heartbeat failed")
                self.failure = error
                return

    def change_visibility(self, seconds: int) -> None:
        """Set the visibility of the whole batch; 0 releases it."""
        self._sqs.change_message_visibility_batch(
            QueueUrl=self._queue_url,
            Entries=[
                {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
                for index, handle in enumerate(self._receipt_handles)
            ],
        )
