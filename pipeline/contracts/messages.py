"""The two messages of the pipeline, embed and compaction, with their parsing.

Pure; sending is in ``pipeline/queues.py``.
"""

from typing import Annotated, Literal, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from pipeline.contracts.identifiers import message_group, sha256_hex, upload_id
from pipeline.contracts.versions import CONTRACT_VERSION, require_supported_version
from pipeline.errors import ErrorCode, PermanentError

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RunId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
ReceiptId = Annotated[int, Field(ge=1)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    version: str = CONTRACT_VERSION


class EmbedMessage(_Message):
    """One version of one receipt, ready to be embedded: the body of a message on ``EMBED_NDJSON_QUEUE``.

    ``uploaded_at`` tells a later upload of earlier content from a redelivery, which both have the same run id. With
    S3's ``sequencer`` it says which of two uploads was the last, however their messages arrive.
    """

    image_id: UUID
    receipt_id: ReceiptId
    artifacts_bucket: str
    lines_key: str
    words_key: str
    run_id: RunId
    lines_count: Annotated[int, Field(ge=0)]
    words_count: Annotated[int, Field(ge=0)]
    lines_sha256: Digest
    words_sha256: Digest
    merchant_name: str | None = None
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


class RunReference(BaseModel):
    """The key of one CompactionRun item."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    image_id: UUID
    receipt_id: ReceiptId
    run_id: RunId


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
