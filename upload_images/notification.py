"""Reading S3's own notification out of a queue message. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote_plus
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from pipeline.errors import ErrorCode, PermanentError

SEQUENCER = re.compile("[0-9A-Fa-f]{1,64}")
OCR_PREFIX = "ocr/"
"""Of the keys that are announced (``component.py``)."""
TEST_EVENT = "s3:TestEvent"
"""S3 sends one when a notification is configured (Amazon S3 user guide, notification content structure)."""


@dataclass(frozen=True, kw_only=True)
class ArrivedObject:
    """An object that has arrived; the key is decoded. Time and sequencer are S3's, the same in every delivery."""

    bucket: str
    key: str
    arrived_at: datetime | None
    sequencer: str | None = None


class _Bucket(BaseModel):
    name: str


class _Object(BaseModel):
    key: str
    sequencer: str | None = None


class _S3(BaseModel):
    bucket: _Bucket
    object: _Object


class _Record(BaseModel):
    s3: _S3
    event_time: AwareDatetime | None = Field(default=None, alias="eventTime")


class _Notification(BaseModel):
    Event: str | None = None
    Records: list[_Record] = []


def arrived_objects(body: str) -> list[ArrivedObject]:
    """The objects that one notification announces; none for S3's test event.

    Raises:
        PermanentError: MESSAGE_INVALID when the body is no notification.
    """
    try:
        notification = _Notification.model_validate_json(body)
    except ValidationError as error:
        raise _invalid(str(error.errors()[0]["msg"])) from error
    if not notification.Records and notification.Event != TEST_EVENT:
        raise _invalid("it names no object")
    return [
        ArrivedObject(
            bucket=record.s3.bucket.name,
            key=unquote_plus(record.s3.object.key),
            arrived_at=record.event_time,
            sequencer=_sequencer(record.s3.object.sequencer),
        )
        for record in notification.Records
    ]


def ocr_result_key(image_id: UUID) -> str:
    """Where the OCR result of an image is put."""
    return f"{OCR_PREFIX}{image_id}.json"


def require_own(arrived: ArrivedObject, bucket: str, prefix: str = OCR_PREFIX) -> None:
    """Refuse an object that is not of this stack, or not of the kind that its queue announces.

    Args:
        arrived: what a notification announces.
        bucket: the stack's artifacts bucket.
        prefix: of the keys that are announced.

    Raises:
        PermanentError: MESSAGE_INVALID.
    """
    if arrived.bucket != bucket or not arrived.key.startswith(prefix):
        raise _invalid(f"it names s3://{arrived.bucket}/{arrived.key}, not an object s3://{bucket}/{prefix}...")


def _sequencer(text: str | None) -> str | None:
    # One in another form cannot be compared; the time alone then orders the event.
    return text if text is not None and SEQUENCER.fullmatch(text) else None


def _invalid(value: str) -> PermanentError:
    return PermanentError(
        ErrorCode.MESSAGE_INVALID,
        value=f"S3 notification: {value}",
        rule="this queue carries S3's notifications of new objects under its prefix",
        way_out="only S3 sends to this queue; to process a document again, upload it again",
    )
