"""Sending to SQS: FIFO messages with group and deduplication ids, and dead-lettering a message with a reason.

Receiving is not here: Lambda's mapping does it for the functions, ``compaction_worker`` for the worker.
"""

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.aws import AwsClient
from pipeline.errors import ErrorCode, PermanentError, PipelineError, RetryableError

logger = logging.getLogger(__name__)

SEND_BATCH_LIMIT = 10
"""Entries of one SendMessageBatch (Amazon SQS API reference, SendMessageBatch)."""
SEND_ATTEMPTS = 4
"""Tries for the entries that a batch left unsent, before the caller gets an error."""
INVALID_MESSAGE_CODES = frozenset({"InvalidMessageContents", "InvalidParameterValue", "BatchRequestTooLong"})
"""Of a call or of an entry: SQS never carries this message, for a character or for its size (Amazon SQS API reference,
SendMessage). With AWS's query protocol a code may have a prefix that ends with a dot."""
DELIVERY_OVER_CODES = frozenset({"MessageNotInflight", "ReceiptHandleIsInvalid", "InvalidParameterValue"})
"""Of a change of a message's visibility: its delivery is over, or was followed by another (docs/facts.md, "Receipt
handles")."""
MESSAGE_BYTES = 1024 * 1024
"""Of a body with its attributes (Amazon SQS developer guide, message quotas)."""
REASON_LIMIT = 1_024
"""Characters of a reason attribute; the whole text is in the log."""


@dataclass(frozen=True, kw_only=True)
class OutgoingMessage:
    """A message for a FIFO queue."""

    body: str
    group_id: str
    deduplication_id: str


def send_batch(
    sqs_client: AwsClient,
    queue_url: str,
    messages: Sequence[OutgoingMessage],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Send all messages to a FIFO queue, in order; entries that SQS leaves unsent are sent again.

    Within a batch SQS may refuse an entry and take the next; only the refused ones are tried again, and their
    deduplication id keeps a doubtful one from standing there twice.

    Raises:
        PermanentError: REQUEST_INVALID when SQS can carry one of them in no delivery.
        RetryableError: SEND_FAILED, naming the entries that could not be sent.
    """
    invalid: list[str] = []
    for start in range(0, len(messages), SEND_BATCH_LIMIT):
        waiting = list(messages[start : start + SEND_BATCH_LIMIT])
        for attempt in range(1, SEND_ATTEMPTS + 1):
            waiting, reason = _send_once(sqs_client, queue_url, waiting, invalid)
            if not waiting:
                break
            if attempt == SEND_ATTEMPTS:
                raise RetryableError(
                    ErrorCode.SEND_FAILED,
                    value=f"{len(waiting)} message(s) for {queue_url} were not taken: {reason}",
                    rule="sending is part of success",
                    way_out="the input is delivered again; check the role's right to send and the queue's health",
                )
            sleep(random.uniform(0, 0.1 * 2**attempt))  # noqa: S311 - jitter, not a secret
    if invalid:
        # Only now: the others are sent.
        raise PermanentError(
            ErrorCode.REQUEST_INVALID,
            value=f"{len(invalid)} message(s) for {queue_url}: {invalid[0]}",
            rule="SQS carries every message, of up to 1 MiB and of the characters that it allows",
            way_out="correct what the document says, and upload it again",
        )


def _send_once(
    sqs_client: AwsClient, queue_url: str, messages: list[OutgoingMessage], invalid: list[str]
) -> tuple[list[OutgoingMessage], str]:
    """Send one batch; return what is to be sent again, and why. What SQS never carries is added to ``invalid``."""
    entries = [
        {
            "Id": str(index),
            "MessageBody": message.body,
            "MessageGroupId": message.group_id,
            "MessageDeduplicationId": message.deduplication_id,
        }
        for index, message in enumerate(messages)
    ]
    try:
        failed = sqs_client.send_message_batch(QueueUrl=queue_url, Entries=entries).get("Failed", [])
    except (ClientError, BotoCoreError) as error:
        if not (isinstance(error, ClientError) and _is_invalid(error.response["Error"]["Code"])):
            return messages, str(error)
        if len(messages) == 1:
            invalid.append(str(error))
            return [], ""
        # One of them, or all of them together.
        alone = [_send_once(sqs_client, queue_url, [message], invalid) for message in messages]
        return [message for left, _ in alone for message in left], "; ".join(reason for _, reason in alone if reason)
    again: list[OutgoingMessage] = []
    reasons: list[str] = []
    for entry in failed:
        reason = f"{entry['Code']}: {entry.get('Message', '')}"
        if _is_invalid(entry["Code"]):
            invalid.append(reason)
        else:
            again.append(messages[int(entry["Id"])])
            reasons.append(reason)
    return again, "; ".join(reasons)


def _is_invalid(code: str) -> bool:
    return code.rpartition(".")[2] in INVALID_MESSAGE_CODES


def come_back_after(sqs_client: AwsClient, queue_url: str, receipt_handle: str, seconds: int) -> bool:
    """Let a message that failed come back sooner than its queue would bring it; a failure of this costs only time.

    Args:
        sqs_client: a boto3 SQS client.
        queue_url: the queue that it is from.
        receipt_handle: of this delivery.
        seconds: from now; 0 to 43,200.

    Returns:
        False when another try may succeed: SQS did not answer, or refused for a passing reason or a missing right.
    """
    try:
        sqs_client.change_message_visibility(
            QueueUrl=queue_url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds
        )
    except (ClientError, BotoCoreError) as error:
        logger.warning("a message comes back only when its queue brings it", exc_info=True)
        return isinstance(error, ClientError) and (
            error.response["Error"]["Code"].rpartition(".")[2] in DELIVERY_OVER_CODES
        )
    return True


def park(
    sqs_client: AwsClient,
    queue_url: str,
    body: str,
    error: PipelineError,
    *,
    group_id: str | None = None,
    message_id: str | None = None,
) -> None:
    """Put a message that can never succeed on its dead letter queue, with the reason beside it.

    On a FIFO queue the id that SQS gave the message is its deduplication id. All deliveries of a message have the same
    id, so a message that is dead-lettered again because it could not be deleted is one dead letter. A redrive gives it
    a new id (Amazon SQS developer guide, dead-letter queue redrive), so a message that fails again right after a
    redrive is taken again. With the deduplication id that its sender chose, SQS would drop it for five minutes, and the
    original would be deleted.

    A body that leaves no room for the reason is sent without it; the log has it under the message's id.

    Args:
        sqs_client: a boto3 SQS client.
        queue_url: the dead letter queue.
        body: the message as it was received, unchanged, so that a redrive replays it.
        error: the reason; becomes the attributes ``error_code`` and ``reason``.
        group_id: for a FIFO queue, the message's group.
        message_id: for a FIFO queue, the id that SQS gave the message.

    Raises:
        RetryableError: SEND_FAILED; the caller must then leave the original where it is.
    """
    send_dead_letter(
        sqs_client, queue_url, body, code=str(error.code), reason=str(error), group_id=group_id, message_id=message_id
    )


def send_dead_letter(
    sqs_client: AwsClient,
    queue_url: str,
    body: str,
    *,
    code: str,
    reason: str,
    group_id: str | None = None,
    message_id: str | None = None,
) -> None:
    """What ``park`` does, with the error as the two texts that become attributes."""
    attributes = {
        "error_code": {"DataType": "String", "StringValue": code},
        "reason": {"DataType": "String", "StringValue": _attribute_text(reason)},
    }
    if len(body.encode()) + _size_of(attributes) > MESSAGE_BYTES:
        logger.error("parked without its reason: %s", reason, extra={"message_id": message_id, "error_code": code})
        attributes = {}
    fifo = {}
    if group_id is not None:
        fifo = {"MessageGroupId": group_id, "MessageDeduplicationId": message_id}
    try:
        sqs_client.send_message(QueueUrl=queue_url, MessageBody=body, MessageAttributes=attributes, **fifo)
    except (ClientError, BotoCoreError) as send_error:
        raise RetryableError(
            ErrorCode.SEND_FAILED,
            value=f"{queue_url} did not take a dead letter: {send_error}",
            rule="a message leaves its queue only when it is done or dead-lettered",
            way_out="it is delivered again; check the role's right to send to the dead letter queue",
        ) from send_error


def _size_of(attributes: dict[str, dict[str, str]]) -> int:
    """Bytes: names, types and values count."""
    return sum(len("".join((name, *value.values())).encode()) for name, value in attributes.items())


def _attribute_text(text: str) -> str:
    # SQS refuses control characters other than tab, newline and carriage return.
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable[:REASON_LIMIT]
