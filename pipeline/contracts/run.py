"""The CompactionRun: one operation on one receipt and how far it has come in each collection. Pure.

An ``upsert`` replaces the receipt's rows by those of its deltas, a ``delete`` removes them, a ``metadata`` changes
fields of them. ``order`` says which of a receipt's operations happened last, whenever and however often they arrive.

States of each collection, changed only along these edges and only by conditional writes (``pipeline/runs``):

    PENDING ──► MERGED ──► COMPLETED        MERGED: in a working copy, and merged again when that is lost;
       ▼          ▼                         COMPLETED: a published version holds it, on the directory and in S3
       FAILED ◄───┘
    FAILED ──► PENDING                      an operator drives it again
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from pipeline.contracts.identifiers import CollectionName, run_partition_key, run_sort_key
from pipeline.contracts.metadata import Metadata
from pipeline.contracts.references import RunId, RunReference
from pipeline.contracts.versions import CONTRACT_VERSION

RUN_TYPE = "COMPACTION_RUN"
RunKind = Literal["upsert", "delete", "metadata"]


class RunState(StrEnum):
    """How far one collection of a run has come."""

    PENDING = "PENDING"
    MERGED = "MERGED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class Order(NamedTuple):
    """When an operation happened, among those of its receipt; an order of events and not of arrival.

    Attributes:
        happened_at: UTC with microseconds, so that texts compare as times do; empty in a ledger that did not keep it.
        sequencer: S3's, which orders events of one moment; empty for what S3 did not announce.
        receipt_version: an operation that repeats or follows from another one of the same moment comes after it.
        run_id: orders runs without a version.
    """

    happened_at: str
    sequencer: str
    receipt_version: int
    run_id: str


SEQUENCER_LENGTH = 64
"""Hexadecimal digits; a shorter sequencer is compared as if zeros followed (Amazon S3 user guide, event message
structure)."""


class CollectionProgress(BaseModel):
    """One collection of a run.

    Attributes:
        expected_count: rows in the delta; 0 for a run without one.
        merged_count: rows that were written for this run and read back from the working copy.
        attempts: merges that were tried and failed for this run alone.
        error: the last failure, code first.
        delta_sha256: 64 hex digits; the delta is read back only by this digest. None for a run without a delta.
        snapshot_version: the published version that made the operation visible.
        superseded_by: the receipt version of the newer operation because of which nothing was written.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: RunState = RunState.PENDING
    expected_count: Annotated[int, Field(ge=0)]
    merged_count: Annotated[int, Field(ge=0)] = 0
    attempts: Annotated[int, Field(ge=0)] = 0
    error: str | None = None
    delta_sha256: str | None = None
    snapshot_version: str | None = None
    superseded_by: int | None = None


class CompactionRun(BaseModel):
    """The item PK ``IMAGE#<image_id>``, SK ``RECEIPT#<00001>#COMPACTION_RUN#<run_id>``.

    Attributes:
        kind: what the operation is.
        receipt_version: grows by one with every recorded operation of the receipt, in the order of recording; 0 only
            on runs recorded before operations had versions.
        changes: the metadata fields that a ``metadata`` run sets, or that an ``upsert`` sets on top of its delta.
        delta_run_id: the run whose deltas are applied, when they are not its own: a receipt applied again.
        content_run_id: the run id that is computed from the content, when it is not its own: a later upload of it.
        uploaded_at: the time of the operation's event, by AWS's clock: an OCR result arrived, or what is
            repeated here happened first. None when it happened when it was recorded.
        sequencer: S3's for that event, if it was one of S3's.
        merchant_name: as given or resolved; None when none was found.
        merchant_source: ``given`` with the OCR result or by a person, ``resolved`` from names or neighbours, ``none``
            when neither decides or nothing is known yet, ``failed`` when resolution itself failed (see
            ``merchant_error``).
        consumer: who recorded it: ``lambda`` or ``ecs`` embedded it, ``operator`` is a person, ``tick`` named the
            merchant of a receipt that was published without one.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: str = CONTRACT_VERSION
    image_id: UUID
    receipt_id: Annotated[int, Field(ge=1)]
    run_id: RunId
    kind: RunKind = "upsert"
    receipt_version: Annotated[int, Field(ge=0)] = 0
    changes: Metadata = Field(default_factory=dict)
    delta_run_id: str | None = None
    content_run_id: str | None = None
    uploaded_at: AwareDatetime | None = None
    sequencer: str | None = None
    embedding_model: str
    dimensions: int
    delta_bucket: str
    lines: CollectionProgress
    words: CollectionProgress
    merchant_name: str | None = None
    merchant_source: str
    merchant_error: str | None = None
    consumer: str
    created_at: AwareDatetime
    updated_at: AwareDatetime

    @model_validator(mode="after")
    def _require_what_the_kind_needs(self) -> Self:
        if self.kind == "upsert" and None in (self.lines.delta_sha256, self.words.delta_sha256):
            raise ValueError("an upsert has a delta in both collections")
        if self.kind == "metadata" and not self.changes:
            raise ValueError("a metadata run has changes")
        return self

    @property
    def content_id(self) -> str:
        """The run id that is computed from the content of an upsert: the same for every upload of it."""
        return self.content_run_id or self.delta_run_id or self.run_id

    @property
    def happened_at(self) -> datetime:
        """When the OCR result arrived, or a person decided."""
        return self.uploaded_at or self.created_at

    @property
    def order(self) -> Order:
        """Its place among the operations of its receipt."""
        return Order(*event_order(self.happened_at, self.sequencer), self.receipt_version, self.run_id)

    @property
    def has_failed(self) -> bool:
        """Whether it was given up in a collection."""
        return RunState.FAILED in {self.lines.state, self.words.state}

    @property
    def is_completed(self) -> bool:
        """Whether published versions of both collections hold it."""
        return {self.lines.state, self.words.state} == {RunState.COMPLETED}

    @property
    def partition_key(self) -> str:
        """The item's PK."""
        return run_partition_key(self.image_id)

    @property
    def sort_key(self) -> str:
        """The item's SK."""
        return run_sort_key(self.receipt_id, self.run_id)

    @property
    def reference(self) -> RunReference:
        """What a compaction message says of this run."""
        return RunReference(image_id=self.image_id, receipt_id=self.receipt_id, run_id=self.run_id)

    def progress(self, collection: CollectionName) -> CollectionProgress:
        """The progress of one collection."""
        return self.lines if collection == "lines" else self.words

    def in_state(self, collection: CollectionName, state: RunState) -> Self:
        """This run with one collection in another state; nothing is written."""
        return self.model_copy(update={collection: self.progress(collection).model_copy(update={"state": state})})


def event_order(happened_at: datetime, sequencer: str | None) -> tuple[str, str]:
    """An event's moment and sequencer, as they compare."""
    moment = happened_at.astimezone(UTC).isoformat(timespec="microseconds")
    return moment, (sequencer or "").upper().ljust(SEQUENCER_LENGTH if sequencer else 0, "0")


def unfinished_state(lines: RunState, words: RunState) -> RunState | None:
    """The state under which a run is in the index of unfinished runs; None when it has left it.

    A run is as far as its slower collection, and a failure outranks everything: it is what someone must look at.
    """
    for state in (RunState.FAILED, RunState.PENDING, RunState.MERGED):
        if state in (lines, words):
            return state
    return None
