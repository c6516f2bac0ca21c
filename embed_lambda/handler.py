"""The embed function: hands the mapping's batch to the embedding core and answers with what must come back."""

import os
from functools import cache
from pathlib import Path
from typing import Any

from embed_lambda.environment import EmbedLambdaEnvironment
from pipeline.aws import connect
from pipeline.batches import BatchResponse, batch_response, group_of, receives_of
from pipeline.embedding.core import EmbeddingCore
from pipeline.embedding.work import Disposition, IncomingMessage
from pipeline.logs import configure_logging
from pipeline.queues import come_back_after


def answer(core: EmbeddingCore, event: dict[str, Any], *, embed_queue_url: str) -> BatchResponse:
    """Process one SQS event with ``core``; the part of the handler that a test drives.

    Args:
        core: does the work.
        event: of one queue, as Lambda delivers it.
        embed_queue_url: of one embed queue; the event's own is beside it.
    """
    records = event["Records"]
    batch = [
        IncomingMessage(
            message_id=record["messageId"],
            body=record["body"],
            group_id=group_of(record) or record["messageId"],
            receives=receives_of(record),
        )
        for record in records
    ]
    outcomes = core.process(batch)
    for record, outcome in zip(records, outcomes, strict=True):
        if outcome.pause_seconds is not None:
            queue_url = f"{embed_queue_url.rsplit('/', 1)[0]}/{record['eventSourceARN'].rsplit(':', 1)[-1]}"
            come_back_after(core.sqs_client, queue_url, record["receiptHandle"], outcome.pause_seconds)
    return batch_response(records, {item.message_id for item in outcomes if item.disposition is Disposition.RETRY})


@cache
def _environment() -> EmbedLambdaEnvironment:
    return EmbedLambdaEnvironment.from_variables(os.environ)


@cache
def _core() -> EmbeddingCore:
    from pipeline.collections.reader import SnapshotSource  # noqa: PLC0415
    from pipeline.embedding.bootstrap import build_core  # noqa: PLC0415

    configure_logging()
    environment = _environment()
    snapshots = SnapshotSource.from_bucket(
        "lines",
        s3_client=connect("s3"),
        bucket=environment.vectors_bucket,
        private_directory=Path(environment.snapshot_cache_directory),
        is_exact=True,
    )
    return build_core(environment, consumer="lambda", snapshots=snapshots)


def embed(event: dict[str, Any], context: object) -> BatchResponse:  # noqa: ARG001 - Lambda's signature
    """Lambda's entry point: an SQS event of embed messages."""
    return answer(_core(), event, embed_queue_url=_environment().embed_queue_url)
