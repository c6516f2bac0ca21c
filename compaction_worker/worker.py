"""The poll loop of the ECS worker: receive, hold, hand to the embedding core, delete what is done. It decides no more.

On SIGTERM it stops receiving first, then finishes what it holds; what cannot be finished in ECS's stop timeout is
released, so that its next consumer need not wait for the visibility timeout.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from compaction_worker.environment import WorkerEnvironment
from compaction_worker.fence import Fence
from compaction_worker.heartbeat import VisibilityHeartbeat
from compaction_worker.protection import TaskProtection
from compaction_worker.stopping import StopRequest
from pipeline.aws import AwsClient
from pipeline.embedding.core import EmbeddingCore
from pipeline.embedding.work import Disposition, IncomingMessage
from pipeline.errors import PermanentError, PipelineError, RetryableError

logger = logging.getLogger(__name__)

BATCH_SIZE = 10
"""Messages of one receive (Amazon SQS API reference, ReceiveMessage)."""
LONG_POLL_SECONDS = 5
"""SQS allows 20; a stop waits for the running poll, because a poll that is abandoned may hold messages."""
SHORT_POLL_SECONDS = 1.0
"""A busy queue answers at once, and then the regular looks are enough."""
RECEIVE_PAUSE_SECONDS = 5.0
"""Pause after a receive that failed, before the next."""
STOP_MARGIN_SECONDS = 5
"""Time kept of the stop timeout for releasing what is held."""
PROPAGATION_SECONDS = 120.0
"""A queue's policy takes up to 60 s to hold everywhere (Amazon SQS API reference, SetQueueAttributes); a worker that
was just chosen may be refused for as long, and must not be taken for a broken deployment."""
REFUSED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "AWS.SimpleQueueService.NonExistentQueue"})
EXIT_OK, EXIT_MISCONFIGURED, EXIT_REFUSED, EXIT_RELEASED, EXIT_FENCED = 0, 2, 3, 4, 5
EXIT_MEANINGS: Mapping[int, str] = {
    EXIT_OK: "it was asked to stop, and finished what it held",
    EXIT_MISCONFIGURED: "a variable is missing or wrong",
    EXIT_REFUSED: "the queue or Lambda refuses it, ECS does not want it, or it could not keep its messages hidden",
    EXIT_RELEASED: "the stop timeout was over; what it held was released",
    EXIT_FENCED: "a function may receive from its queue (`FENCED`)",
}


@dataclass(frozen=True, kw_only=True)
class ChromaCompactionWorker:
    """The worker with its adapters; a test passes others."""

    environment: WorkerEnvironment
    core: EmbeddingCore
    sqs_client: AwsClient
    protection: TaskProtection
    fence: Fence
    clock: Callable[[], float] = time.monotonic

    def run(self, stop: StopRequest) -> int:
        """Poll until a stop is asked for.

        Returns:
            The exit code: 0 after a stop, 3 when the queue refuses this worker or ECS does not want it, 5 when a
            function may receive from the queue.
        """
        logger.info("polling", extra={"queue": self.environment.embed_queue_url})
        refused_since: float | None = None
        while not stop.requested:
            Path(self.environment.health_file).touch()
            try:
                messages = self._take()
            except PermanentError as error:
                logger.error(str(error), extra={"error_code": error.code})
                return EXIT_FENCED
            except (RetryableError, ClientError, BotoCoreError) as error:
                if _is_refusal(error):
                    refused_since = refused_since or self.clock()
                    if self.clock() - refused_since >= PROPAGATION_SECONDS:
                        # Only the chosen consumer may receive: a forgotten task says so and goes.
                        logger.exception("this worker is refused")
                        return EXIT_REFUSED
                logger.warning("nothing received", exc_info=error)
                stop.wait(RECEIVE_PAUSE_SECONDS)
                continue
            refused_since = None
            if not messages:
                self.protection.set(False)
                continue
            if not self.protection.set(True):
                self._release(messages)
                logger.warning("ECS does not want this task any more")
                return EXIT_REFUSED
            if not self._work(messages, stop):
                return EXIT_REFUSED
        self.protection.set(False)
        logger.info("stopped")
        return EXIT_OK

    def _take(self) -> list[dict[str, Any]]:
        """Receive under the fence; what is held when the fence closes is given back."""
        self.fence.require_clear()
        began = self.clock()
        messages = self._receive()
        if messages:
            try:
                # After a long poll the last look is of before it: who holds messages looks again.
                self.fence.require_clear(anew=self.clock() - began > SHORT_POLL_SECONDS)
            except PipelineError:
                self._release(messages)
                raise
        return messages

    def _receive(self) -> list[dict[str, Any]]:
        answer = self.sqs_client.receive_message(
            QueueUrl=self.environment.embed_queue_url,
            MaxNumberOfMessages=BATCH_SIZE,
            WaitTimeSeconds=LONG_POLL_SECONDS,
            VisibilityTimeout=self.environment.visibility_timeout_seconds,
            MessageSystemAttributeNames=["MessageGroupId", "MessageDeduplicationId"],
        )
        return answer.get("Messages", [])

    def _work(self, messages: list[dict[str, Any]], stop: StopRequest) -> bool:
        """Process one batch under a heartbeat; False when the heartbeat died and the worker must stop."""
        handles = [message["ReceiptHandle"] for message in messages]
        heartbeat = VisibilityHeartbeat(
            self.sqs_client, self.environment.embed_queue_url, handles, self.environment.visibility_timeout_seconds
        )
        deadline = threading.Thread(target=self._release_at_deadline, args=(messages, stop, done := threading.Event()))
        deadline.daemon = True
        deadline.start()
        try:
            with heartbeat:
                outcomes = self.core.process([_incoming(message) for message in messages])
        finally:
            done.set()
            deadline.join()
        finished = {item.message_id for item in outcomes if item.disposition is not Disposition.RETRY}
        self._delete([message for message in messages if message["MessageId"] in finished])
        if heartbeat.failure is not None:
            logger.error("stopping: without a heartbeat another consumer may see the same messages")
            return False
        return True

    def _delete(self, messages: list[dict[str, Any]]) -> None:
        if not messages:
            return
        answer = self.sqs_client.delete_message_batch(
            QueueUrl=self.environment.embed_queue_url,
            Entries=[
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]} for index, message in enumerate(messages)
            ],
        )
        for entry in answer.get("Failed", []):
            # It is delivered again, finds its run and is skipped: said, not raised.
            logger.error("not deleted", extra={"message_id": messages[int(entry["Id"])]["MessageId"], "entry": entry})

    def _release(self, messages: list[dict[str, Any]]) -> None:
        self.sqs_client.change_message_visibility_batch(
            QueueUrl=self.environment.embed_queue_url,
            Entries=[
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
                for index, message in enumerate(messages)
            ],
        )

    def _release_at_deadline(self, messages: list[dict[str, Any]], stop: StopRequest, done: threading.Event) -> None:
        """After a stop, give the batch what ECS leaves of the stop timeout; then release it and leave for good."""
        while not stop.requested:
            if done.wait(0.2):
                return
        if done.wait(self.environment.stop_timeout_seconds - STOP_MARGIN_SECONDS):
            return
        logger.error("the stop timeout is over; what is held is released", extra={"messages": len(messages)})
        self._release(messages)
        # The batch is stuck in another thread, which nothing can end but the process.
        os._exit(EXIT_RELEASED)


def _is_refusal(error: Exception) -> bool:
    # The fence tells Lambda's refusal as its own error.
    cause = error if isinstance(error, ClientError) else error.__cause__
    return isinstance(cause, ClientError) and cause.response["Error"]["Code"] in REFUSED_CODES


def _incoming(message: dict[str, Any]) -> IncomingMessage:
    attributes = message.get("Attributes", {})
    return IncomingMessage(
        message_id=message["MessageId"],
        body=message["Body"],
        group_id=attributes.get("MessageGroupId", message["MessageId"]),
        deduplication_id=attributes.get("MessageDeduplicationId"),
    )
