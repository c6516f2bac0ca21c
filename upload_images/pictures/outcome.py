"""What became of a picture, kept in the bucket beside it: its uploader waits for this. Pure.

It is written when everything else is, so a picture with a newer outcome, without an error, is done.
"""

from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from pipeline.contracts.versions import CONTRACT_VERSION
from pipeline.errors import PipelineError


class PictureError(BaseModel):
    """Why nothing of the picture can be used."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    reason: str

    @classmethod
    def of(cls, error: PipelineError) -> Self:
        """The error's code and whole text."""
        return cls(code=error.code, reason=str(error))


class PictureOutcome(BaseModel):
    """The object ``readings/<image_id>.json``.

    Attributes:
        image_id: of the picture, that is of its first page.
        picture_key: the object that was read.
        image_ids: of the pages with text, in order; each has an OCR result ``ocr/<image_id>.json``.
        dropped: how many of what was left out.
        remarks: what a person should know about the picture, a sentence each.
        error: why there is no OCR result.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: str = CONTRACT_VERSION
    image_id: UUID
    picture_key: str
    image_ids: tuple[UUID, ...] = ()
    dropped: dict[str, int] = {}
    remarks: tuple[str, ...] = ()
    error: PictureError | None = None

    def encode(self) -> bytes:
        """The object's bytes."""
        return self.model_dump_json(exclude_none=True).encode()
