"""The function ``read_pictures``: takes S3 notifications of pictures and writes OCR results where stage 1 looks.

Reading is done in a child process (``child.py``). A delivery that comes again finds the outcome of the first and does
nothing; what one delivery wrote half is written again, the same.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from pipeline.aws import AwsClient, connect
from pipeline.batches import BatchResponse, SqsRecord, receives_of
from pipeline.contracts.ocr import parse_ocr_document
from pipeline.errors import PermanentError, PipelineError
from pipeline.logs import configure_logging
from pipeline.objects import ObjectStamp, ObjectStore
from upload_images.batch import process_each
from upload_images.notification import ArrivedObject, arrived_objects, ocr_result_key, require_own
from upload_images.pictures import PICTURES_PREFIX
from upload_images.pictures.answer import Answer
from upload_images.pictures.child import read_in_child
from upload_images.pictures.environment import ReadPicturesEnvironment
from upload_images.pictures.kinds import first_image_id, outcome_key
from upload_images.pictures.limits import require_bytes
from upload_images.pictures.outcome import PictureError, PictureOutcome

logger = logging.getLogger(__name__)

JSON = "application/json"


@dataclass(frozen=True, kw_only=True)
class PictureReader:
    """Stage 0 with its adapters; a test passes others."""

    environment: ReadPicturesEnvironment
    objects: ObjectStore
    sqs_client: AwsClient
    read: Callable[[bytes], Answer] = read_in_child

    def process(self, records: list[SqsRecord]) -> BatchResponse:
        """Handle a batch; what is bad is dead-lettered with its reason and harms no neighbour."""
        return process_each(
            records,
            self._read_all,
            sqs_client=self.sqs_client,
            dead_letter_queue_url=self.environment.pictures_dead_letter_queue_url,
        )

    def _read_all(self, record: SqsRecord) -> list[PermanentError]:
        """Read every picture of a notification; what is refused comes back when the others are done."""
        try:
            announced = arrived_objects(record["body"])
        except PermanentError as error:
            return [error]
        refused: list[PermanentError] = []
        for arrived in announced:
            if arrived.key.endswith("/"):
                # Consoles make an empty object of this name where a person makes a folder.
                continue
            try:
                require_own(arrived, self.environment.artifacts_bucket, PICTURES_PREFIX)
                self._read(arrived, is_last=receives_of(record) >= self.environment.maximum_receives)
            except PermanentError as error:
                refused.append(error)
        return refused

    def _read(self, arrived: ArrivedObject, *, is_last: bool) -> None:
        source = f"s3://{arrived.bucket}/{arrived.key}"
        content = self.objects.get(arrived.bucket, arrived.key, require_size=lambda size: require_bytes(size, source))
        picture = self.objects.stamp(arrived.bucket, arrived.key)
        if picture is None:
            # Deleted between the two calls: what is not there is not to be read.
            return
        identifier = first_image_id(content)
        if self._is_done(identifier, picture):
            logger.info("read before", extra={"key": arrived.key, "image_id": str(identifier)})
            return
        outcome = PictureOutcome(image_id=identifier, picture_key=arrived.key)
        try:
            answer = self.read(content)
        except PipelineError as error:
            if not isinstance(error, PermanentError) and not is_last:
                raise
            refusal = _of_picture(error, source)
            self._write_outcome(outcome.model_copy(update={"error": PictureError.of(refusal)}))
            raise refusal from error
        image_ids = tuple(self._write_document(document, picture) for document in answer.documents)
        self._write_outcome(
            outcome.model_copy(update={"image_ids": image_ids, "dropped": answer.dropped, "remarks": answer.remarks})
        )
        for remark in answer.remarks:
            logger.warning("remark", extra={"key": arrived.key, "reason": remark})
        logger.info("read", extra={"key": arrived.key, "image_id": str(identifier), "images": len(image_ids)})

    def _is_done(self, identifier: UUID, picture: ObjectStamp) -> bool:
        """Whether the picture was read, without an error, since it arrived."""
        bucket, key = self.environment.artifacts_bucket, outcome_key(identifier)
        stamp = self.objects.stamp(bucket, key)
        if stamp is None or stamp.written_at < picture.written_at:
            return False
        try:
            return PictureOutcome.model_validate_json(self.objects.get(bucket, key)).error is None
        except ValidationError:
            return False

    def _write_document(self, document: str, picture: ObjectStamp) -> UUID:
        """Write one OCR result unless there is one that came after the picture, from this or another delivery."""
        bucket = self.environment.artifacts_bucket
        content = document.encode()
        identifier = parse_ocr_document(content, "the page").image_id
        key = ocr_result_key(identifier)
        stamp = self.objects.stamp(bucket, key)
        if stamp is None or stamp.written_at < picture.written_at:
            # When somebody else wrote it meanwhile, theirs is the newer one.
            self.objects.replace(bucket, key, content, None if stamp is None else stamp.tag)
        return identifier

    def _write_outcome(self, outcome: PictureOutcome) -> None:
        self.objects.put(self.environment.artifacts_bucket, outcome_key(outcome.image_id), outcome.encode(), JSON)


def _of_picture(error: PipelineError, source: str) -> PermanentError:
    """The error with the picture's name before it; permanent from now on."""
    return PermanentError(error.code, value=f"{source[-200:]}: {error.value}", rule=error.rule, way_out=error.way_out)


@cache
def _reader() -> PictureReader:
    configure_logging()
    return PictureReader(
        environment=ReadPicturesEnvironment.from_variables(os.environ),
        objects=ObjectStore(connect("s3")),
        sqs_client=connect("sqs"),
    )


def read_pictures(event: dict[str, Any], context: object) -> BatchResponse:  # noqa: ARG001 - Lambda's signature
    """Lambda's entry point: an SQS event of S3 notifications."""
    return _reader().process(event["Records"])
