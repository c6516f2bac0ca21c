"""What a collection should hold by its runs, and what differs from that. Pure.

The runs decide: what is completed must be in the published version, what is waiting may be. The ledger and the rows of
the version are compared with them.

Longer than most modules: every difference that can be found, beside the others.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from pipeline.collections.receipts import ReceiptKey, ReceiptState, deciding_run, fold, operation_of, receipt_of
from pipeline.collections.rows import Row
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.metadata import Metadata
from pipeline.contracts.run import CompactionRun, RunState
from pipeline.deltas import DeltaObject
from pipeline.errors import ErrorCode, PipelineError

STUCK_AGE = timedelta(minutes=15)
"""Older than what comes by itself, beside the wait for a publication: a tick drives lost messages again sooner."""
SURPLUS_DELTA_AGE = timedelta(days=1)
"""A delta is uploaded moments before its run is recorded; nothing that is being embedded is this old."""
BAD_DELTA = (ErrorCode.DELTA_INVALID, ErrorCode.OBJECT_CHANGED)
"""Failures that come again unless the object of the delta was put back."""
EMBED_AGAIN = "upload the receipt's OCR result again: without a good delta it is embedded again"


class Difference(StrEnum):
    """What can differ."""

    ROWS_MISSING = "ROWS_MISSING"
    ROWS_SURPLUS = "ROWS_SURPLUS"
    ROWS_STALE = "ROWS_STALE"
    VECTORS_MISSING = "VECTORS_MISSING"
    SNAPSHOT_INCOMPLETE = "SNAPSHOT_INCOMPLETE"
    RUN_NOT_HELD = "RUN_NOT_HELD"
    RUN_FAILED = "RUN_FAILED"
    RUN_STUCK = "RUN_STUCK"
    RUN_UNREADABLE = "RUN_UNREADABLE"
    DELTA_MISSING = "DELTA_MISSING"
    DELTA_SURPLUS = "DELTA_SURPLUS"


MEANINGS: Mapping[Difference, str] = {
    Difference.ROWS_MISSING: "A completed run's rows are not all in the published version.",
    Difference.ROWS_SURPLUS: "Rows are published that no run accounts for, or that were removed.",
    Difference.ROWS_STALE: "Rows are published as an older operation left them.",
    Difference.VECTORS_MISSING: "The Chroma collection misses texts that the version does not name, or too many.",
    Difference.SNAPSHOT_INCOMPLETE: "Objects of the published version are gone from S3, or were changed there.",
    Difference.RUN_NOT_HELD: "A run is completed and the published version does not know it.",
    Difference.RUN_FAILED: "A run was given up, with the reason it says.",
    Difference.RUN_STUCK: "A run waits for longer than any message or tick takes.",
    Difference.RUN_UNREADABLE: "An item of the table is no run that this release can read; nothing is done with it.",
    Difference.DELTA_MISSING: "A run waits for a delta that is not in the bucket; its merge will fail.",
    Difference.DELTA_SURPLUS: "No run records a delta's digest: its embedding was interrupted, or another delivery "
    "of the same message recorded the run first.",
}
Repair = Literal["apply the receipt again", "drive the run again", "delete the delta"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One difference.

    Attributes:
        receipt: which; None for a delta of no run, and for what concerns a whole collection.
        run_id: the run in question, or the one whose delta it is.
        key: of the delta that no run reads; None for every other finding.
        detail: figures and examples.
        repair: what mends it; None when nothing here can.
        way_out: for a person, when there is no repair or it may be in vain.
    """

    difference: Difference
    collection: CollectionName
    receipt: ReceiptKey | None
    run_id: str | None
    detail: str
    repair: Repair | None
    way_out: str = ""
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class PublishedRows:
    """What a published version holds.

    Attributes:
        run_ids: the runs in its ledger.
        rows: every row; read once.
        losses: what its Chroma collection falls short of, each a sentence.
        missed: texts that its Chroma collection does not find by their own vector, and readers rank beside it.
        gaps: keys of its objects that S3 has lost, or has with another content.
    """

    run_ids: frozenset[str]
    rows: Iterable[Row]
    losses: tuple[str, ...] = ()
    missed: int = 0
    gaps: tuple[str, ...] = ()


class _Deltas:
    """The deltas of one collection in the bucket, found as ``pipeline/deltas.py`` finds them."""

    def __init__(self, collection: CollectionName, objects: Iterable[DeltaObject]) -> None:
        self._collection: CollectionName = collection
        self._objects = {(item.run_id, item.sha256): item for item in objects}

    def of(self, run: CompactionRun) -> DeltaObject | None:
        """The object that a merge of the run would read; None when there is none."""
        written_for = operation_of(run).delta_run_id
        digest = run.progress(self._collection).delta_sha256
        return self._objects.get((written_for, digest)) or self._objects.get((written_for, None))

    def unread(self, runs: Iterable[CompactionRun], held: frozenset[str]) -> list[DeltaObject]:
        """Objects that no run reads. The runs in ``held`` are known to the version; one may be missing in ``runs``."""
        known = list(runs)
        read = {found.key for run in known if run.kind == "upsert" and (found := self.of(run)) is not None}
        # Without its run it is unknown which of these objects a published run was merged from.
        unknown = held - {run.run_id for run in known}
        return sorted(
            (item for item in self._objects.values() if item.key not in read and item.run_id not in unknown),
            key=lambda item: item.key,
        )


@dataclass
class _Receipt:
    """A receipt as its runs make it, and what was found of it."""

    key: ReceiptKey
    runs: list[CompactionRun]
    state: ReceiptState = field(default_factory=ReceiptState)
    found: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)


def compare(
    *,
    collection: CollectionName,
    runs: Iterable[CompactionRun],
    completed_before: frozenset[str],
    published: PublishedRows | None,
    deltas: Iterable[DeltaObject],
    now: datetime,
    publish_every: timedelta,
) -> list[Finding]:
    """Everything that differs, receipt by receipt.

    Args:
        collection: which.
        runs: all of the table, read after the version was opened.
        completed_before: those that were completed here before it was opened; the version must hold them.
        published: the current version; None when nothing was ever published.
        deltas: as the bucket lists them.
        now: the time.
        publish_every: how long a run may wait for its publication.
    """
    held = frozenset() if published is None else published.run_ids
    receipts: dict[ReceiptKey, _Receipt] = {}
    for run in runs:
        receipts.setdefault(receipt_of(run), _Receipt(receipt_of(run), [])).runs.append(run)
    for receipt in receipts.values():
        counting = [run for run in receipt.runs if run.run_id in completed_before or run.run_id in held]
        receipt.state = fold(ReceiptState(), map(operation_of, counting))
    for row in () if published is None else published.rows:
        receipt = receipts.setdefault(row.receipt, _Receipt(row.receipt, []))
        receipt.found.add(row.id)
        if _is_stale(receipt.state, row.metadata):
            receipt.stale.add(row.id)
    findings = [] if published is None else list(_of_version(collection, published))
    stored = _Deltas(collection, deltas)
    for receipt in receipts.values():
        findings += _of_rows(collection, receipt, held, stored)
        for run in receipt.runs:
            findings += _of_run(collection, run, receipt.state, stored, now - run.created_at - publish_every)
    return findings + _of_deltas(collection, receipts.values(), held, stored, now)


def unreadable(collection: CollectionName, error: PipelineError) -> Finding:
    """The finding of an item that is left out of every listing."""
    return Finding(
        difference=Difference.RUN_UNREADABLE,
        collection=collection,
        receipt=None,
        run_id=None,
        detail=f"{error.code}: {error.value}",
        repair=None,
        way_out=error.way_out,
    )


def _is_stale(state: ReceiptState, metadata: Metadata) -> bool:
    if state.decided_by is None or state.decided_by.kind == "delete":
        return False
    return metadata.get("run_id") != state.decided_by.delta_run_id or any(
        metadata.get(name) != value for name, value in state.changes.items()
    )


def _of_version(collection: CollectionName, published: PublishedRows) -> Iterator[Finding]:
    details = [(Difference.VECTORS_MISSING, loss) for loss in published.losses]
    details += [(Difference.SNAPSHOT_INCOMPLETE, f"{key} is not as it was published") for key in published.gaps]
    for difference, detail in details:
        yield Finding(
            difference=difference,
            collection=collection,
            receipt=None,
            run_id=None,
            detail=detail,
            repair=None,
            way_out=f"receipts rebuild --collection {collection}",
        )


def _of_rows(collection: CollectionName, receipt: _Receipt, held: frozenset[str], deltas: _Deltas) -> Iterator[Finding]:
    state, found = receipt.state, receipt.found
    deciding = next((run for run in receipt.runs if state.decided_by and run.run_id == state.decided_by.run_id), None)
    repair, way_out = _repair(receipt, deltas)

    def finding(difference: Difference, run_id: str | None, detail: str) -> Finding:
        return Finding(
            difference=difference,
            collection=collection,
            receipt=receipt.key,
            run_id=run_id,
            detail=detail,
            repair=repair,
            way_out=way_out,
        )

    for operation in state.operations:
        if operation.run_id not in held:
            yield finding(Difference.RUN_NOT_HELD, operation.run_id, f"a completed {operation.kind}")
    if deciding is None:
        if found:
            # The table may have been restored to an older day: removing them is for a person to decide.
            yield replace(
                finding(Difference.ROWS_SURPLUS, None, f"{_some(found)}, whose run is not in the table"),
                repair=None,
                way_out="restore the run's item, or upload the receipt's OCR result again, which records a new run",
            )
    elif deciding.kind == "delete":
        if found:
            yield finding(Difference.ROWS_SURPLUS, deciding.run_id, _some(found))
    elif deciding.run_id in held:
        expected = deciding.progress(collection).expected_count
        if len(found) < expected:
            yield finding(Difference.ROWS_MISSING, deciding.run_id, f"{len(found)} of {expected} rows")
        if len(found) > expected:
            yield finding(Difference.ROWS_SURPLUS, deciding.run_id, f"{len(found)} rows instead of {expected}")
        if receipt.stale:
            yield finding(Difference.ROWS_STALE, deciding.run_id, _some(receipt.stale))


def _some(identifiers: set[str]) -> str:
    return f"{len(identifiers)} rows, for example {min(identifiers)}"


def _repair(receipt: _Receipt, deltas: _Deltas) -> tuple[Repair | None, str]:
    """Apply what was recorded last again, unless something is on its way or cannot be applied any more."""
    if any(is_on_its_way(run) for run in receipt.runs):
        return None, "operations of this receipt are on their way; look again when they are done"
    newest = deciding_run(receipt.runs)
    if newest is not None and newest.kind == "upsert" and deltas.of(newest) is None:
        return None, EMBED_AGAIN
    return "apply the receipt again", ""


def is_on_its_way(run: CompactionRun) -> bool:
    """Whether a collection has still to take the run in."""
    return bool({run.lines.state, run.words.state} & {RunState.PENDING, RunState.MERGED})


def _of_run(
    collection: CollectionName,
    run: CompactionRun,
    state: ReceiptState,
    deltas: _Deltas,
    overdue: timedelta,
) -> Iterator[Finding]:
    progress, operation = run.progress(collection), operation_of(run)
    if progress.state is RunState.COMPLETED:
        return
    # The delta of what is superseded is never read.
    is_gone = run.kind == "upsert" and deltas.of(run) is None and not state.supersedes(operation)
    if progress.state is RunState.FAILED:
        difference, detail = Difference.RUN_FAILED, progress.error or "without a reason"
    elif is_gone:
        difference, detail = Difference.DELTA_MISSING, f"{progress.state} and no delta of run {operation.delta_run_id}"
    elif overdue > STUCK_AGE:
        difference, detail = Difference.RUN_STUCK, f"{progress.state} since it was recorded at {run.created_at:%F %R}"
    else:
        return
    yield Finding(
        difference=difference,
        collection=collection,
        receipt=receipt_of(run),
        run_id=run.run_id,
        detail=detail,
        repair=None if is_gone else "drive the run again",
        way_out=EMBED_AGAIN if is_gone or detail.startswith(BAD_DELTA) else "",
    )


def _of_deltas(
    collection: CollectionName,
    receipts: Iterable[_Receipt],
    held: frozenset[str],
    deltas: _Deltas,
    now: datetime,
) -> list[Finding]:
    return [
        Finding(
            difference=Difference.DELTA_SURPLUS,
            collection=collection,
            receipt=None,
            run_id=item.run_id,
            detail=f"{item.key}, written {item.written:%Y-%m-%d %H:%M}",
            repair="delete the delta",
            key=item.key,
        )
        for item in deltas.unread((run for receipt in receipts for run in receipt.runs), held)
        if now - item.written > SURPLUS_DELTA_AGE
    ]
