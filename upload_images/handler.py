"""The function ``process_ocr_results``: takes S3 notifications, writes artifacts, sends embed messages.

What is written and sent is decided in ``export.py``; this module does it and answers the mapping.
"""

import logging
import os
from dataclasses import dataclass
from functools import cache
from typing import Any

from pipeline.aws import AwsClient, connect
from pipeline.batches import BatchResponse, SqsRecord
from pipeline.contracts.ocr import parse_ocr_document, refusal_of, require_document_size
from pipeline.errors import PermanentError
from pipeline.logs import configure_logging
from pipeline.objects import ObjectStore
from pipeline.queues import OutgoingMessage, send_batch
from upload_images.batch import process_each
from upload_images.environment import ProcessOcrResultsEnvironment
from upload_images.export import export_receipt
from upload_images.notification import ArrivedObject, arrived_objects, require_own
from upload_images.routing import route

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class OcrResultsProcessor:
    """Stage 1 with its adapters; a test passes others."""

    environment: ProcessOcrResultsEnvironment
    objects: ObjectStore
    sqs_client: AwsClient

    def process(self, records: list[SqsRecord]) -> BatchResponse:
        """Handle a batch; what is bad is dead-lettered with its reason and harms no neighbour."""
        return process_each(
            records,
            lambda record: self._export_all(record["body"]),
            sqs_client=self.sqs_client,
            dead_letter_queue_url=self.environment.ocr_results_dead_letter_queue_url,
        )

    def _export_all(self, body: str) -> list[PermanentError]:
        """Export what a notification announces; what is refused comes back, when all of the rest is sent."""
        try:
            announced = arrived_objects(body)
        except PermanentError as error:
            return [error]
        refused: list[PermanentError] = []
        for arrived in announced:
            try:
                require_own(arrived, self.environment.artifacts_bucket)
                refused += self._export(arrived)
            except PermanentError as error:
                refused.append(error)
        return refused

    def _export(self, arrived: ArrivedObject) -> list[PermanentError]:
        """Export the receipts that are accepted; the error of the others comes back."""
        source = f"s3://{arrived.bucket}/{arrived.key}"
        content = self.objects.get(
            arrived.bucket, arrived.key, require_size=lambda size: require_document_size(size, source)
        )
        document = parse_ocr_document(content, source)
        outgoing: dict[str, list[OutgoingMessage]] = {}
        for receipt in document.receipts:
            export = export_receipt(
                document,
                receipt,
                bucket=self.environment.artifacts_bucket,
                embedding_model=self.environment.embedding_model,
                dimensions=self.environment.embedding_dimensions,
                uploaded_at=arrived.arrived_at,
                sequencer=arrived.sequencer,
            )
            for artifact in export.artifacts:
                self.objects.put_if_absent(
                    self.environment.artifacts_bucket, artifact.key, artifact.content, artifact.content_type
                )
            outgoing.setdefault(route(export.message, self.environment), []).append(
                OutgoingMessage(
                    body=export.message.model_dump_json(exclude_none=True),
                    group_id=export.message.group_id,
                    deduplication_id=export.message.deduplication_id,
                )
            )
        refused = [refusal_of(document.refused, source)] if document.refused else []
        for queue_url, messages in outgoing.items():
            try:
                send_batch(self.sqs_client, queue_url, messages)
            except PermanentError as error:
                refused.append(error)
        logger.info("exported", extra={"key": arrived.key, "receipts": len(document.receipts)})
        return refused


@cache
def _processor() -> OcrResultsProcessor:
    configure_logging()
    return OcrResultsProcessor(
        environment=ProcessOcrResultsEnvironment.from_variables(os.environ),
        objects=ObjectStore(connect("s3")),
        sqs_client=connect("sqs"),
    )


def process_ocr_results(event: dict[str, Any], context: object) -> BatchResponse:  # noqa: ARG001 - Lambda's signature
    """Lambda's entry point: an SQS event of S3 notifications."""
    return _processor().process(event["Records"])
