"""``receipts dead-letters``: every dead letter of a stack and why it is one. It takes none away and redrives none.

A message that was parked has its reason in its attributes. One that SQS moved, because its deliveries were used up, has
none: what the table knows of its runs is told instead, and where the reason of each delivery is logged.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict

from ops.auditing import dead_letter_queues
from ops.operations import repository
from ops.target import Target
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.messages import CompactionMessage, EmbedMessage, RunReference, parse_message
from pipeline.contracts.run import CompactionRun, RunState
from pipeline.errors import PipelineError

FUNCTIONS = {
    "pictures, dead letters": "read_pictures",
    "OCR results, dead letters": "process_ocr_results",
    "embed, dead letters": "the embed queue's consumer",
    "lines, dead letters": "the merge function",
    "words, dead letters": "the merge function",
    "stream failures": "the stream processor",
}
"""Whose log has the reason of each delivery."""
PEEK_SECONDS = 30
"""For so long at most what is looked at is hidden from a redrive; it is visible again when the look has ended."""
LOOKED_AT = 1_000
"""Dead letters of one queue; `receipts status` counts all of them."""
BATCH = 10
"""Of one ReceiveMessage and of one ChangeMessageVisibilityBatch (Amazon SQS API reference)."""

Message = Mapping[str, Any]
FindRuns = Callable[[Iterable[RunReference]], list[CompactionRun]]


class DeadLetter(TypedDict):
    """One dead letter.

    Attributes:
        queue: which dead letter queue, as `receipts status` names it.
        message_id: SQS's, the same in every log line of its deliveries.
        code: of the reason; None when nobody parked it.
        reason: why it is here, as far as anybody knows.
    """

    queue: str
    message_id: str
    code: str | None
    reason: str


def dead_letters(target: Target) -> list[DeadLetter]:
    """Look at the dead letters of every queue, up to ``LOOKED_AT`` each."""
    find_runs = repository(target).find_all
    return [
        told(label, message, find_runs)
        for label, url in dead_letter_queues(target.outputs).items()
        for message in _look(target, url)
    ]


def told(queue: str, message: Message, find_runs: FindRuns) -> DeadLetter:
    """What is known of one dead letter.

    Args:
        queue: its label.
        message: as SQS gives it, with all attributes.
        find_runs: reads runs; asked only of a message that nobody parked.
    """
    attributes = message.get("MessageAttributes", {})
    code = attributes.get("error_code", {}).get("StringValue")
    reason = attributes.get("reason", {}).get("StringValue") or _without_a_reason(queue, message, find_runs)
    return {"queue": queue, "message_id": message["MessageId"], "code": code, "reason": reason}


def _without_a_reason(queue: str, message: Message, find_runs: FindRuns) -> str:
    if queue == "stream failures":
        # Lambda writes these itself when the retries of a stream batch are used up.
        return f"Lambda gave the batch up: {_condition(message['Body'])}; the tick merges its runs nevertheless"
    known = _embedding(message["Body"], find_runs) or _merging(message["Body"], find_runs)
    log = f"the log of {FUNCTIONS[queue]} has the reason of each under message id {message['MessageId']}"
    return "its deliveries were used up and no consumer parked it: " + (f"{known}; {log}" if known else log)


def _embedding(body: str, find_runs: FindRuns) -> str | None:
    try:
        message = parse_message(body, EmbedMessage)
    except PipelineError:
        return None
    reference = RunReference(image_id=message.image_id, receipt_id=message.receipt_id, run_id=message.run_id)
    receipt = f"receipt {message.receipt_id} of image {message.image_id}"
    if find_runs([reference]):
        return f"{receipt} was embedded, its run is recorded: nothing is lost by deleting the message"
    return f"{receipt} was not embedded, and is when the message is redriven"


def _merging(body: str, find_runs: FindRuns) -> str | None:
    try:
        message = parse_message(body, CompactionMessage)
    except PipelineError:
        return None
    collection: CollectionName = message.collection
    runs = find_runs(message.runs)
    if not runs:
        return f"none of its {len(message.runs)} runs is in the table"
    open_ones = [run for run in runs if run.progress(collection).state is not RunState.COMPLETED]
    if not open_ones:
        return f"all of its {len(runs)} runs are COMPLETED in {collection}: nothing is lost by deleting the message"
    errors = [
        f"; run {run.run_id}: {run.progress(collection).error}" for run in open_ones if run.progress(collection).error
    ]
    return (
        f"{len(open_ones)} of its {len(message.runs)} runs are not COMPLETED in {collection}, and the tick merges them "
        f"without it{errors[0] if errors else ''}"
    )


def _condition(body: str) -> str:
    try:
        content = json.loads(body)
        return f"{content['requestContext']['condition']}, {content['DDBStreamBatchInfo']['batchSize']} records"
    except (ValueError, TypeError, LookupError):
        return "no more is known"


def _look(target: Target, queue_url: str) -> list[Message]:
    """Receive what is there and make it visible again; each message once."""
    found: dict[str, Message] = {}
    try:
        while len(found) < LOOKED_AT:
            messages = target.sqs.receive_message(
                QueueUrl=queue_url,
                MaxNumberOfMessages=BATCH,
                VisibilityTimeout=PEEK_SECONDS,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            new = {message["MessageId"]: message for message in messages}
            if not new.keys() - found.keys():
                break
            found |= new
    finally:
        _show_again(target, queue_url, list(found.values()))
    return list(found.values())


def _show_again(target: Target, queue_url: str, messages: list[Message]) -> None:
    for start in range(0, len(messages), BATCH):
        entries = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
            for number, message in enumerate(messages[start : start + BATCH])
        ]
        target.sqs.change_message_visibility_batch(QueueUrl=queue_url, Entries=entries)
