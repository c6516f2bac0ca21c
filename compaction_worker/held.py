"""The messages that the worker holds, each kept invisible by a heartbeat of its own until it is deleted or released.

A heartbeat that dies stops the worker. A message whose visibility SQS did not extend is no longer held: another
consumer may have it, so nothing is written for it and it is not deleted.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from pipeline.aws import AwsClient
from pipeline.embedding.work import IncomingMessage

logger = logging.getLogger(__name__)

BEATS_PER_TIMEOUT = 3
"""Two beats may be late before a message is visible to another consumer."""
EARLIEST_BEAT = 0.75
"""Of the time between two beats: messages whose beat is due soon share the call of one that is due now."""
BATCH_ENTRIES = 10
"""Entries of one batch call (Amazon SQS API reference, ChangeMessageVisibilityBatch and DeleteMessageBatch)."""


@dataclass(frozen=True, kw_only=True)
class HeldMessage:
    """One delivery of a message."""

    incoming: IncomingMessage
    receipt_handle: str


@dataclass
class _Hold:
    message: HeldMessage
    since: float
    beaten: float


class HeldMessages:
    """Holds messages from their receive on; a context manager that runs the heartbeat.

    Args:
        sqs_client: a boto3 SQS client.
        queue_url: the embed queue.
        visibility_timeout_seconds: the queue's; each beat extends by it.
        beat_seconds: between two beats of a message; a third of the visibility timeout when None.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        sqs_client: AwsClient,
        queue_url: str,
        visibility_timeout_seconds: int,
        *,
        beat_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sqs = sqs_client
        self._queue_url = queue_url
        self._visibility = visibility_timeout_seconds
        self._interval = visibility_timeout_seconds / BEATS_PER_TIMEOUT if beat_seconds is None else beat_seconds
        self._clock = clock
        self._holds: dict[str, _Hold] = {}
        # Held during the call of a beat: a message that was let go must not be extended after that.
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._beat, name="visibility-heartbeat", daemon=True)
        self.failure: Exception | None = None
        """Why the heartbeat died; None while it lives."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def __len__(self) -> int:
        return len(self._holds)

    def __contains__(self, message: HeldMessage) -> bool:
        return message.receipt_handle in self._holds

    def hold(self, messages: Iterable[HeldMessage]) -> None:
        """Begin to hold what was received now."""
        with self._changed:
            now = self._clock()
            self._holds |= {message.receipt_handle: _Hold(message, now, now) for message in messages}
            self._changed.notify_all()

    def let_go(self, messages: Iterable[HeldMessage]) -> list[HeldMessage]:
        """Stop holding messages; they come back when their visibility timeout runs out, the pause before a retry.

        Returns:
            Those of them that were held until now.
        """
        with self._changed:
            return [message for message in messages if self._holds.pop(message.receipt_handle, None) is not None]

    def delete(self, messages: Iterable[HeldMessage]) -> None:
        """Delete those that are still held. One that cannot be deleted is delivered again and finds its run."""
        for batch, answer in self._call(self._sqs.delete_message_batch, self.let_go(messages), {}):
            _log_failed("not deleted", batch, answer)

    def release(self, messages: Iterable[HeldMessage], *, after_seconds: int = 0) -> None:
        """Make those that are still held visible. What fails is logged: it is visible after its timeout.

        Args:
            messages: to be released.
            after_seconds: from now; at once when 0.
        """
        kept = self.let_go(messages)
        fields = {"VisibilityTimeout": after_seconds}
        for batch, answer in self._call(self._sqs.change_message_visibility_batch, kept, fields):
            _log_failed("not released", batch, answer)

    def release_all(self) -> None:
        """Release everything."""
        self.release([hold.message for hold in list(self._holds.values())])

    def oldest_seconds(self) -> float:
        """For how long the message is held that is held longest; 0 when none is."""
        with self._changed:
            return max((self._clock() - hold.since for hold in self._holds.values()), default=0.0)

    def _call(
        self, call: Callable[..., dict[str, Any]], messages: Sequence[HeldMessage], fields: dict[str, Any]
    ) -> Iterator[tuple[Sequence[HeldMessage], dict[str, Any]]]:
        """Call SQS for ten messages at a time; a call that fails is logged and the next one is made."""
        for batch in _tens(messages):
            try:
                yield batch, call(QueueUrl=self._queue_url, Entries=_entries(batch, fields))
            # Whatever it is: the messages come back after their visibility timeout, and find their runs.
            except Exception:
                logger.exception("a call to SQS failed", extra={"message_ids": _ids(batch)})

    def _beat(self) -> None:
        with self._changed:
            while not self._closed:
                now = self._clock()
                if all(now - hold.beaten < self._interval for hold in self._holds.values()):
                    next_beat = min((hold.beaten for hold in self._holds.values()), default=now) + self._interval
                    self._changed.wait(max(next_beat - now, 0.01) if self._holds else None)
                    continue
                try:
                    self._extend([h for h in self._holds.values() if now - h.beaten >= EARLIEST_BEAT * self._interval])
                # Whatever it is, without this thread the messages become visible while they are worked on.
                except Exception as error:
                    logger.exception("the heartbeat failed")
                    self.failure = error
                    return

    def _extend(self, due: Sequence[_Hold]) -> None:
        for batch in _tens([hold.message for hold in due]):
            began = self._clock()
            answer = self._sqs.change_message_visibility_batch(
                QueueUrl=self._queue_url, Entries=_entries(batch, {"VisibilityTimeout": self._visibility})
            )
            lost = _log_failed("no longer held: its visibility was not extended", batch, answer)
            for message in batch:
                if message in lost:
                    del self._holds[message.receipt_handle]
                else:
                    self._holds[message.receipt_handle].beaten = began


def _entries(batch: Sequence[HeldMessage], fields: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"Id": str(index), "ReceiptHandle": message.receipt_handle, **fields} for index, message in enumerate(batch)
    ]


def _log_failed(what: str, batch: Sequence[HeldMessage], answer: dict[str, Any]) -> list[HeldMessage]:
    failed = []
    for entry in answer.get("Failed") or []:
        failed.append(batch[int(entry["Id"])])
        logger.error(
            what,
            extra={
                "message_id": failed[-1].incoming.message_id,
                "error_code": entry.get("Code"),
                "reason": entry.get("Message"),
            },
        )
    return failed


def _ids(batch: Sequence[HeldMessage]) -> list[str]:
    return [message.incoming.message_id for message in batch]


def _tens(messages: Sequence[HeldMessage]) -> Iterator[Sequence[HeldMessage]]:
    for start in range(0, len(messages), BATCH_ENTRIES):
        yield messages[start : start + BATCH_ENTRIES]
