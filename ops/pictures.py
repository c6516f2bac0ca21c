"""Uploading pictures and waiting until stage 0 has read them; what follows is ``submitting.py``'s."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ops.errors import OperatorError
from ops.submitting import UploadedDocument, runs_of
from ops.target import Target
from ops.waiting import POLL_SECONDS
from pipeline.contracts.ocr import parse_ocr_document
from pipeline.objects import ObjectStore
from upload_images.notification import ocr_result_key
from upload_images.pictures.kinds import CONTENT_TYPES, first_image_id, kind_of, outcome_key, picture_key
from upload_images.pictures.limits import unreadable
from upload_images.pictures.outcome import PictureOutcome


@dataclass(frozen=True, kw_only=True)
class UploadedPicture:
    """A picture in the bucket.

    Attributes:
        name: the file's.
        image_id: of its first page.
        written_at: when S3 got it.
    """

    name: str
    key: str
    image_id: UUID
    written_at: datetime


@dataclass(frozen=True, kw_only=True)
class ReadPicture:
    """What stage 0 made of a picture.

    Attributes:
        documents: one a page with text; none when the outcome has an error.
    """

    picture: UploadedPicture
    outcome: PictureOutcome
    documents: tuple[UploadedDocument, ...]


def reads_pictures(target: Target) -> bool:
    """Whether the stack has a stage 0."""
    return target.outputs.get("picturesQueueUrl") is not None


def upload_picture(target: Target, name: str, content: bytes) -> UploadedPicture:
    """Put a picture where stage 0 picks it up.

    Raises:
        PermanentError: PICTURE_UNREADABLE for what begins like no picture; nothing was uploaded.
    """
    kind = kind_of(content)
    if kind is None:
        raise unreadable(f"{name} begins like no kind of picture")
    identifier = first_image_id(content)
    bucket, key = target.outputs["artifactsBucket"], picture_key(identifier, kind)
    objects = ObjectStore(target.s3)
    objects.put(bucket, key, content, CONTENT_TYPES[kind])
    stamp = objects.stamp(bucket, key)
    if stamp is None:
        raise OperatorError("PICTURE_GONE", f"{key} was uploaded and is not there", "find out who deletes it")
    return UploadedPicture(name=name, key=key, image_id=identifier, written_at=stamp.written_at)


def wait_until_read(
    target: Target,
    pictures: Sequence[UploadedPicture],
    *,
    timeout_seconds: float,
    on_progress: Callable[[int], object] = id,
) -> list[ReadPicture]:
    """Wait until stage 0 has said what became of each picture.

    Args:
        target: the stack.
        pictures: what was uploaded.
        timeout_seconds: how long to wait in all.
        on_progress: called with how many were read.

    Raises:
        OperatorError: PICTURES_NOT_READ when the time is over.
    """
    objects = ObjectStore(target.s3)
    read: dict[UUID, ReadPicture] = {}
    deadline = time.monotonic() + timeout_seconds
    while waiting := [picture for picture in pictures if picture.image_id not in read]:
        for picture in waiting:
            if (outcome := _outcome_of(target, objects, picture)) is not None:
                read[picture.image_id] = ReadPicture(
                    picture=picture, outcome=outcome, documents=_documents_of(target, objects, picture, outcome)
                )
        on_progress(len(read))
        if len(read) == len({picture.image_id for picture in pictures}):
            break
        if time.monotonic() > deadline:
            raise OperatorError(
                "PICTURES_NOT_READ",
                f"{', '.join(picture.name for picture in waiting[:5])}: {len(waiting)} pictures have no result yet",
                "receipts dead-letters list shows what could not be read; receipts status shows the others' queue",
            )
        time.sleep(POLL_SECONDS)
    return [read[picture.image_id] for picture in pictures]


def _outcome_of(target: Target, objects: ObjectStore, picture: UploadedPicture) -> PictureOutcome | None:
    bucket, key = target.outputs["artifactsBucket"], outcome_key(picture.image_id)
    stamp = objects.stamp(bucket, key)
    if stamp is None or stamp.written_at < picture.written_at:
        return None
    return PictureOutcome.model_validate_json(objects.get(bucket, key))


def _documents_of(
    target: Target, objects: ObjectStore, picture: UploadedPicture, outcome: PictureOutcome
) -> tuple[UploadedDocument, ...]:
    documents = []
    for number, identifier in enumerate(outcome.image_ids, 1):
        key = ocr_result_key(identifier)
        document = parse_ocr_document(objects.get(target.outputs["artifactsBucket"], key), key)
        name = picture.name if len(outcome.image_ids) == 1 else f"{picture.name}, page {number}"
        documents.append(
            UploadedDocument(name=name, key=key, runs=runs_of(target, document), uploaded_at=picture.written_at)
        )
    return tuple(documents)
