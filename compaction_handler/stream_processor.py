"""Entry point of the stream processor: new CompactionRuns of the table's stream become lines and words messages.

It also performs what the merge asks of SQS, which the merge does not reach (``queue_requests.py``). A poison record is
dead-lettered with its reason and blocks nothing; a message that SQS does not take fails the batch. A request that a
tick asked for again fails no batch: it stays open, and the next tick asks again (``open_requests.py``).
"""

import functools
import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from compaction_handler.coalescing import coalesce
from compaction_handler.environment import StreamProcessorEnvironment
from compaction_handler.open_requests import Key, OpenRequests, tries_of
from compaction_handler.queue_requests import QueueRequest, asked_at, is_request, request_from_item
from pipeline.aws import connect
from pipeline.errors import SHOWN_CHARACTERS, ErrorCode, PermanentError, PipelineError, in_the_tree
from pipeline.logs import configure_logging
from pipeline.queues import OutgoingMessage, come_back_after, park, send_batch, send_dead_letter
from pipeline.runs.items import Item, run_from_item

logger = logging.getLogger(__name__)

PARKED_BYTES = 900_000
"""Of the 1 MiB that SQS takes, with room for the reason. An item has up to 400 kB, its image in JSON up to three times
that: a letter of two bytes is written as six."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A request as a record of the stream announces it."""

    request: QueueRequest
    key: Key
    asked_at: datetime
    tries: int


def process_stream(event: Mapping[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Handle one batch of stream records."""
    environment, sqs_client, open_requests = _adapters()
    return process_records(
        event["Records"], environment=environment, sqs_client=sqs_client, open_requests=open_requests
    )


def process_records(
    records: Sequence[Mapping[str, Any]],
    *,
    environment: StreamProcessorEnvironment,
    sqs_client: Any,
    open_requests: OpenRequests,
) -> dict[str, Any]:
    """Send the messages of a batch; on a failed send name the first record, so that the whole batch comes again."""
    references = []
    requests: list[_Asked] = []
    try:
        for record in records:
            image: Item = {}
            try:
                image = _new_image(record)
                if is_request(image):
                    requests.append(_asked(image))
                else:
                    references.append(run_from_item(image).reference)
            except PermanentError as error:
                logger.error(str(error), extra={"error_code": error.code})
                # A request that was asked for again was parked when it was new.
                if not (is_request(image) and tries_of(image)):
                    park(sqs_client, environment.stream_failure_queue_url, _parked_body(record), error)
        for message in coalesce(references):
            url = environment.lines_queue_url if message.collection == "lines" else environment.words_queue_url
            outgoing = OutgoingMessage(
                body=message.model_dump_json(),
                group_id=message.group_id,
                deduplication_id=message.deduplication_id,
            )
            send_batch(sqs_client, url, [outgoing])
        _perform_all(requests, environment, sqs_client, open_requests)
    except Exception as error:
        reason = in_the_tree(error)
        logger.exception("the batch comes again", extra={"error_code": reason.code})
        return {"batchItemFailures": [{"itemIdentifier": _sequence_number(records[0])}]}
    return {"batchItemFailures": []}


def _asked(image: Item) -> _Asked:
    return _Asked(
        request=request_from_item(image),
        key={name: image[name] for name in ("PK", "SK")},
        asked_at=asked_at(image),
        tries=tries_of(image),
    )


def _perform_all(
    requests: list[_Asked], environment: StreamProcessorEnvironment, sqs_client: Any, open_requests: OpenRequests
) -> None:
    """Perform each, and fail only then: a queue that takes nothing must not use up the tries of requests to another.

    What was performed is deleted and not performed again, whatever announces it. A process that is killed in between
    leaves the request open, so it is performed twice: SQS takes a dead letter with the same id once in five minutes,
    and a message comes back at the same moment.
    """
    failure: PipelineError | None = None
    for asked in requests:
        try:
            if open_requests.is_open(asked.key) and _perform(asked, environment, sqs_client, open_requests.now()):
                open_requests.close(asked.key)
        # Whatever it is, the other requests have their turn.
        except Exception as error:
            reason = in_the_tree(error)
            logger.exception(
                "a request to SQS stays open",
                extra={
                    "error_code": reason.code,
                    "action": asked.request.action,
                    "collection": asked.request.collection,
                    "message_id": asked.request.message_id,
                    "tries": asked.tries,
                },
            )
            if not asked.tries:
                failure = failure or reason
    if failure is not None:
        raise failure


def _perform(asked: _Asked, environment: StreamProcessorEnvironment, sqs_client: Any, now: datetime) -> bool:
    """Do what the merge asks; False when a later try may succeed, and is early enough."""
    request = asked.request
    is_of_words = request.collection == "words"
    if request.action == "come-back":
        url = environment.words_queue_url if is_of_words else environment.lines_queue_url
        # To the moment that was asked for: a second try must not put it off.
        seconds = math.ceil(request.seconds - (now - asked.asked_at).total_seconds())
        # Nor does a clock behind the merge's: SQS refuses more than 12 hours, and the request would be closed.
        return come_back_after(sqs_client, url, request.receipt_handle, min(request.seconds, max(0, seconds)))
    send_dead_letter(
        sqs_client,
        environment.words_dead_letter_queue_url if is_of_words else environment.lines_dead_letter_queue_url,
        request.body,
        code=request.error_code,
        reason=request.reason,
        group_id=request.collection,
        message_id=request.message_id,
    )
    return True


def _new_image(record: Mapping[str, Any]) -> Item:
    change = record.get("dynamodb") if isinstance(record, Mapping) else None
    image = change.get("NewImage") if isinstance(change, Mapping) else None
    if not isinstance(image, Mapping):
        raise PermanentError(
            ErrorCode.MESSAGE_INVALID,
            value=f"a stream record whose new image is {repr(image)[:SHOWN_CHARACTERS]}",
            rule="the stream carries new images of CompactionRuns and of requests",
            way_out="check the table's stream view type and the mapping's filter",
        )
    return dict(image)


def _parked_body(record: Mapping[str, Any]) -> str:
    """The record; where SQS would not carry it, what finds the item in the table, which still has it."""
    body = json.dumps(record, default=str)
    if len(body) <= PARKED_BYTES:
        return body
    change = record.get("dynamodb")
    found = {name: change.get(name) for name in ("Keys", "SequenceNumber")} if isinstance(change, Mapping) else {}
    brief = json.dumps({"eventID": record.get("eventID"), "dynamodb": found, "left_out": len(body)}, default=str)
    return brief[:PARKED_BYTES]


def _sequence_number(record: Mapping[str, Any]) -> str:
    """Where the batch begins again; the empty identifier, which a bad first record gets, fails the whole batch.

    docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
    """
    try:
        return record["dynamodb"]["SequenceNumber"]
    except (LookupError, TypeError):
        return ""


@functools.cache
def _adapters() -> tuple[StreamProcessorEnvironment, Any, OpenRequests]:
    configure_logging()
    environment = StreamProcessorEnvironment.from_variables(os.environ)
    open_requests = OpenRequests(table_name=environment.table_name, dynamodb=connect("dynamodb"))
    return environment, connect("sqs"), open_requests
