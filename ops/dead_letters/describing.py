"""What is known of one dead letter: why it is one, since when, and about which receipts. Pure but for ``find_runs``.

A message that a consumer dead-lettered has its reason in its attributes. One that SQS moved, because its deliveries
were used up, has none: what the table knows of its runs is given instead, with the log that has each delivery's reason.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.messages import CompactionMessage, EmbedMessage, RunReference, parse_message
from pipeline.contracts.run import CompactionRun, RunState
from pipeline.errors import PipelineError
from upload_images.notification import OCR_PREFIX, arrived_objects
from upload_images.pictures import PICTURES_PREFIX

LOGGED_BY = {
    "pictures": "read_pictures",
    "ocr-results": "process_ocr_results",
    "embed": "the embed queue's consumer",
    "lines": "the merge function",
    "words": "the merge function",
}
"""Whose log has the reason of each delivery."""
RUN_KEY = re.compile(r"RECEIPT#0*(?P<receipt>\d+)#COMPACTION_RUN#")

Message = Mapping[str, Any]
FindRuns = Callable[[Iterable[RunReference]], list[CompactionRun]]


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """One dead letter.

    Attributes:
        queue: the short name of its queue (``deciding.QUEUES``).
        message_id: SQS's, the same in every log line of its deliveries.
        code: of the reason; None when SQS moved it.
        reason: why it is here, as far as anybody knows.
        sent_at: when a consumer put it there; of a message that SQS moved, when it was first sent.
        receipts: image id and receipt number of each receipt that it is about; the number is None for an OCR result
            as a whole. Empty when the body does not say.
        body: unchanged.
        group_id: on a FIFO queue.
        source_arn: the queue that SQS moved it from; None when a consumer put it there.
        receipt_handle: of the delivery that it was looked at in.
    """

    queue: str
    message_id: str
    code: str | None
    reason: str
    sent_at: datetime
    receipts: tuple[tuple[str, int | None], ...]
    body: str
    group_id: str | None = None
    source_arn: str | None = None
    receipt_handle: str = ""


def as_document(letter: DeadLetter, now: datetime, *, whole: bool = False) -> dict[str, Any]:
    """A dead letter for programs.

    Args:
        letter: what is shown.
        now: its age is counted up to then.
        whole: the body as well.
    """
    document: dict[str, Any] = {
        "queue": letter.queue,
        "message_id": letter.message_id,
        "code": letter.code,
        "reason": letter.reason,
        "sent_at": letter.sent_at.isoformat(timespec="seconds"),
        "age_seconds": max(0, round((now - letter.sent_at).total_seconds())),
        "receipts": [{"image_id": image, "receipt_id": receipt} for image, receipt in letter.receipts],
    }
    return {**document, "group_id": letter.group_id, "body": letter.body} if whole else document


def described(queue: str, message: Message, find_runs: FindRuns) -> DeadLetter:
    """What is known of one dead letter.

    Args:
        queue: the short name of its queue.
        message: as SQS gives it, with all attributes.
        find_runs: reads runs; asked only of a message that has no reason.
    """
    told = message.get("MessageAttributes", {})
    attributes = message.get("Attributes", {})
    return DeadLetter(
        queue=queue,
        message_id=message["MessageId"],
        code=told.get("error_code", {}).get("StringValue"),
        reason=told.get("reason", {}).get("StringValue") or _without_a_reason(queue, message, find_runs),
        sent_at=datetime.fromtimestamp(int(attributes.get("SentTimestamp", 0)) / 1_000, UTC),
        receipts=receipts_of(queue, message["Body"]),
        body=message["Body"],
        group_id=attributes.get("MessageGroupId"),
        source_arn=attributes.get("DeadLetterQueueSourceArn"),
        receipt_handle=message.get("ReceiptHandle", ""),
    )


def receipts_of(queue: str, body: str) -> tuple[tuple[str, int | None], ...]:
    """Whose receipts a message is about, as far as its body says."""
    try:
        match queue:
            case "pictures":
                keys = [item.key for item in arrived_objects(body) if item.key.startswith(PICTURES_PREFIX)]
                return tuple((PurePosixPath(key).stem, None) for key in keys)
            case "ocr-results":
                keys = [item.key for item in arrived_objects(body) if item.key.startswith(OCR_PREFIX)]
                return tuple((key.removeprefix(OCR_PREFIX).removesuffix(".json"), None) for key in keys)
            case "embed":
                message = parse_message(body, EmbedMessage)
                return ((str(message.image_id), message.receipt_id),)
            case "stream":
                keys = json.loads(body)["dynamodb"]["Keys"]
                found = RUN_KEY.match(keys["SK"]["S"])
                return ((keys["PK"]["S"].removeprefix("IMAGE#"), int(found["receipt"]) if found else None),)
            case _:
                merge = parse_message(body, CompactionMessage)
                return tuple(dict.fromkeys((str(run.image_id), run.receipt_id) for run in merge.runs))
    except (PipelineError, ValueError, TypeError, LookupError, AttributeError):
        return ()


def _without_a_reason(queue: str, message: Message, find_runs: FindRuns) -> str:
    if queue == "stream":
        # Lambda writes these itself when the retries of a stream batch are used up.
        return f"Lambda gave the batch up: {_condition(message['Body'])}; the tick merges its runs nevertheless"
    known = _embedding(message["Body"], find_runs) or _merging(message["Body"], find_runs)
    log = f"the log of {LOGGED_BY[queue]} has the reason of each under message id {message['MessageId']}"
    return "its deliveries were used up, and no consumer gave a reason: " + (f"{known}; {log}" if known else log)


def _embedding(body: str, find_runs: FindRuns) -> str | None:
    try:
        message = parse_message(body, EmbedMessage)
    except PipelineError:
        return None
    reference = RunReference(image_id=message.image_id, receipt_id=message.receipt_id, run_id=message.run_id)
    receipt = f"receipt {message.receipt_id} of image {message.image_id}"
    if find_runs([reference]):
        return f"{receipt} was embedded, its run is recorded: nothing is lost by deleting the message"
    return f"{receipt} was not embedded, and is when the message is sent again"


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
