"""The embed function: hands the mapping's batch to the embedding core and answers with what must come back."""

import os
from functools import cache
from pathlib import Path
from typing import Any

from embed_lambda.environment import EmbedLambdaEnvironment
from pipeline.aws import connect
from pipeline.batches import BatchResponse, batch_response, group_of
from pipeline.embedding.core import EmbeddingCore
from pipeline.embedding.work import Disposition, IncomingMessage
from pipeline.logs import configure_logging


def answer(core: EmbeddingCore, event: dict[str, Any]) -> BatchResponse:
    """Process one SQS event with ``core``; the part of the handler that a test drives."""
    records = event["Records"]
    batch = [
        IncomingMessage(
            message_id=record["messageId"],
            body=record["body"],
            group_id=group_of(record) or record["messageId"],
        )
        for record in records
    ]
    outcomes = core.process(batch)
    return batch_response(records, {item.message_id for item in outcomes if item.disposition is Disposition.RETRY})


@cache
def _core() -> EmbeddingCore:
    from pipeline.collections.reader import SnapshotSource  # noqa: PLC0415
    from pipeline.embedding.bootstrap import build_core  # noqa: PLC0415

    configure_logging()
    environment = EmbedLambdaEnvironment.from_variables(os.environ)
    snapshots = SnapshotSource.from_bucket(
        "lines",
        s3_client=connect("s3"),
        bucket=environment.vectors_bucket,
        private_directory=Path(environment.snapshot_cache_directory),
    )
    return build_core(environment, consumer="lambda", snapshots=snapshots)


def embed(event: dict[str, Any], context: object) -> BatchResponse:  # noqa: ARG001 - Lambda's signature
    """Lambda's entry point: an SQS event of embed messages."""
    return answer(_core(), event)
