"""Entry point of the stream processor: new CompactionRuns of the table's stream become lines and words messages.

A poison record is parked with its reason and blocks nothing; a message that SQS does not take fails the batch.
"""

import functools
import json
import logging
import os
from collections.abc import Mapping
from typing import Any

from compaction_handler.coalescing import coalesce
from compaction_handler.environment import StreamProcessorEnvironment
from pipeline.aws import connect
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from pipeline.logs import configure_logging
from pipeline.queues import OutgoingMessage, park, send_batch
from pipeline.runs import run_from_item

logger = logging.getLogger(__name__)


def process_stream(event: Mapping[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Handle one batch of stream records."""
    environment, sqs_client = _adapters()
    return process_records(event["Records"], environment=environment, sqs_client=sqs_client)


def process_records(
    records: list[Mapping[str, Any]], *, environment: StreamProcessorEnvironment, sqs_client: Any
) -> dict[str, Any]:
    """Send the messages of a batch; on a failed send name the first record, so that the whole batch comes again."""
    references = []
    try:
        for record in records:
            try:
                image = record["dynamodb"]["NewImage"]
                references.append(run_from_item(image).reference)
            except (PermanentError, KeyError) as error:
                reason = error if isinstance(error, PermanentError) else _without_image(error)
                logger.error(str(reason), extra={"error_code": reason.code})
                park(sqs_client, environment.stream_failure_queue_url, json.dumps(record, default=str), reason)
        for message in coalesce(references):
            url = environment.lines_queue_url if message.collection == "lines" else environment.words_queue_url
            outgoing = OutgoingMessage(
                body=message.model_dump_json(),
                group_id=message.group_id,
                deduplication_id=message.deduplication_id,
            )
            send_batch(sqs_client, url, [outgoing])
    except RetryableError as error:
        logger.error(str(error), extra={"error_code": error.code})
        return {"batchItemFailures": [{"itemIdentifier": records[0]["dynamodb"]["SequenceNumber"]}]}
    return {"batchItemFailures": []}


def _without_image(error: KeyError) -> PermanentError:
    return PermanentError(
        ErrorCode.MESSAGE_INVALID,
        value=f"a stream record without {error}",
        rule="the stream carries new images of CompactionRuns",
        way_out="check the table's stream view type and the mapping's filter",
    )


@functools.cache
def _adapters() -> tuple[StreamProcessorEnvironment, Any]:
    configure_logging()
    return StreamProcessorEnvironment.from_variables(os.environ), connect("sqs")
