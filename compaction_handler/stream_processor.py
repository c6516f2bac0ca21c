"""Entry point of the stream processor: new CompactionRuns of the table's stream become lines and words messages.

It also does what the merge asks of SQS, which the merge does not reach (``queue_requests.py``). A poison record is
dead-lettered with its reason and blocks nothing; a message that SQS does not take fails the batch.
"""

import functools
import json
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from compaction_handler.coalescing import coalesce
from compaction_handler.environment import StreamProcessorEnvironment
from compaction_handler.queue_requests import QueueRequest, is_request, request_from_item
from pipeline.aws import connect
from pipeline.errors import SHOWN_CHARACTERS, ErrorCode, PermanentError, RetryableError, in_the_tree
from pipeline.logs import configure_logging
from pipeline.queues import OutgoingMessage, come_back_after, park, send_batch, send_dead_letter
from pipeline.runs.items import Item, run_from_item

logger = logging.getLogger(__name__)

PARKED_BYTES = 900_000
"""Of the 1 MiB that SQS takes, with room for the reason. An item has up to 400 kB, its image in JSON up to three times
that: a letter of two bytes is written as six."""


def process_stream(event: Mapping[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Handle one batch of stream records."""
    environment, sqs_client = _adapters()
    return process_records(event["Records"], environment=environment, sqs_client=sqs_client)


def process_records(
    records: Sequence[Mapping[str, Any]], *, environment: StreamProcessorEnvironment, sqs_client: Any
) -> dict[str, Any]:
    """Send the messages of a batch; on a failed send name the first record, so that the whole batch comes again."""
    references = []
    requests: list[QueueRequest] = []
    try:
        for record in records:
            try:
                image = _new_image(record)
                if is_request(image):
                    requests.append(request_from_item(image))
                else:
                    references.append(run_from_item(image).reference)
            except PermanentError as error:
                logger.error(str(error), extra={"error_code": error.code})
                park(sqs_client, environment.stream_failure_queue_url, _parked_body(record), error)
        for message in coalesce(references):
            url = environment.lines_queue_url if message.collection == "lines" else environment.words_queue_url
            outgoing = OutgoingMessage(
                body=message.model_dump_json(),
                group_id=message.group_id,
                deduplication_id=message.deduplication_id,
            )
            send_batch(sqs_client, url, [outgoing])
        _perform_all(requests, environment, sqs_client)
    except Exception as error:
        reason = in_the_tree(error)
        logger.exception("the batch comes again", extra={"error_code": reason.code})
        return {"batchItemFailures": [{"itemIdentifier": _sequence_number(records[0])}]}
    return {"batchItemFailures": []}


def _perform_all(requests: list[QueueRequest], environment: StreamProcessorEnvironment, sqs_client: Any) -> None:
    """Do each, and fail only then: a queue that takes nothing must not use up the tries of requests to another."""
    failure: RetryableError | None = None
    for request in requests:
        try:
            _perform(request, environment, sqs_client)
        except RetryableError as error:
            failure = failure or error
    if failure is not None:
        raise failure


def _perform(request: QueueRequest, environment: StreamProcessorEnvironment, sqs_client: Any) -> None:
    """Do what the merge asks; done twice, it is as if it was done once."""
    is_of_words = request.collection == "words"
    if request.action == "come-back":
        url = environment.words_queue_url if is_of_words else environment.lines_queue_url
        come_back_after(sqs_client, url, request.receipt_handle, request.seconds)
        return
    send_dead_letter(
        sqs_client,
        environment.words_dead_letter_queue_url if is_of_words else environment.lines_dead_letter_queue_url,
        request.body,
        code=request.error_code,
        reason=request.reason,
        group_id=request.collection,
        message_id=request.message_id,
    )


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
def _adapters() -> tuple[StreamProcessorEnvironment, Any]:
    configure_logging()
    return StreamProcessorEnvironment.from_variables(os.environ), connect("sqs")
