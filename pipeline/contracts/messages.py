"""The two messages of the pipeline, embed and compaction, with their parsing.

Pure; sending is in ``pipeline/queues.py``.
"""

import re
from typing import Annotated, Literal, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from pipeline.contracts.identifiers import (
    CONTENT_DIGEST_LENGTH,
    LINES_FILE,
    WORDS_FILE,
    message_group,
    receipt_folder,
    sha256_hex,
    upload_id,
)
from pipeline.contracts.limits import MerchantName, Number
from pipeline.contracts.references import RunId, RunReference
from pipeline.contracts.versions import CONTRACT_VERSION, require_supported_version
from pipeline.errors import ErrorCode, PermanentError

CONTENT_DIGEST = re.compile(f"[0-9a-f]{{{CONTENT_DIGEST_LENGTH}}}")
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    version: str = CONTRACT_VERSION


class EmbedMessage(_Message):
    """One version of one receipt, ready to be embedded: the body of a message on ``EMBED_NDJSON_QUEUE``.

    ``uploaded_at`` distinguishes a later upload of earlier content from a redelivery; both have the same run id. With
    S3's ``sequencer`` it says which of two uploads was the last, however their messages arrive.
    """

    image_id: UUID
    receipt_id: Number
    artifacts_bucket: str
    lines_key: str
    words_key: str
    run_id: RunId
    lines_count: Annotated[int, Field(ge=0)]
    words_count: Annotated[int, Field(ge=0)]
    lines_sha256: Digest
    words_sha256: Digest
    merchant_name: MerchantName = None
    uploaded_at: AwareDatetime | None = None
    sequencer: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{1,64}$")] | None = None

    @property
    def group_id(self) -> str:
        """Versions of one receipt are embedded in order; receipts are independent of each other."""
        return message_group(self.image_id, self.receipt_id)

    @property
    def deduplication_id(self) -> str:
        """The upload: deliveries of one are the same work. Content that comes back after other content is not."""
        return self.run_id if self.uploaded_at is None else upload_id(self.run_id, self.uploaded_at)


class CompactionMessage(_Message):
    """Runs whose deltas of one collection wait to be merged: the body of a message on the lines or words queue."""

    collection: Literal["lines", "words"]
    runs: Annotated[tuple[RunReference, ...], Field(min_length=1)]

    @property
    def group_id(self) -> str:
        """One group a collection: SQS itself keeps one merge per collection in flight."""
        return self.collection

    @property
    def deduplication_id(self) -> str:
        """From the runs alone, never from a clock: a replayed stream batch sends nothing twice."""
        return sha256_hex("\n".join((self.collection, *(run.run_id for run in self.runs))).encode())


def require_own_artifacts(message: EmbedMessage, bucket: str) -> None:
    """Refuse a message that names other objects than its own receipt's artifacts in this stack's bucket.

    Args:
        message: the message.
        bucket: the stack's artifacts bucket.

    Raises:
        PermanentError: MESSAGE_INVALID.
    """
    content = message.lines_key.removesuffix(f"/{LINES_FILE}").rpartition("/")[2]
    folder = receipt_folder(message.image_id, message.receipt_id, content)
    named = (message.artifacts_bucket, message.lines_key, message.words_key)
    own = (bucket, f"{folder}/{LINES_FILE}", f"{folder}/{WORDS_FILE}")
    if named != own or not CONTENT_DIGEST.fullmatch(content):
        raise PermanentError(
            ErrorCode.MESSAGE_INVALID,
            value=f"EmbedMessage names bucket {named[0]} and keys {named[1]}, {named[2]}",
            rule=f"it names lines and words of one version of its own receipt in {bucket}",
            way_out="only stage 1 of this stack sends to this queue; upload the receipt's OCR result again",
        )


MessageType = TypeVar("MessageType", EmbedMessage, CompactionMessage)


def parse_message(body: str, message_type: type[MessageType]) -> MessageType:
    """Parse a queue message's body.

    Raises:
        PermanentError: VERSION_UNSUPPORTED for an unknown major version, MESSAGE_INVALID for anything else.
    """
    name = message_type.__name__
    try:
        version = _Version.model_validate_json(body).version
        require_supported_version(version, name)
        return message_type.model_validate_json(body)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in error.errors())
        raise PermanentError(
            ErrorCode.MESSAGE_INVALID,
            value=f"{name}: {faults}",
            rule="a message has the fields of docs/contracts.md",
            way_out="look at the sender; correct the message and send it again from the dead letter queue",
        ) from error


class _Version(BaseModel):
    version: str | int
