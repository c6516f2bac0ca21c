"""What a receipt is after its operations, in whatever order they arrive and however often. Pure.

The newest upsert or delete decides the rows. Metadata changes newer than that are applied on top, oldest first. What is
older decides nothing, so operations may be folded in any order: the outcome is the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pipeline.contracts.metadata import MERCHANT_NAME, MERCHANT_SOURCE, Metadata
from pipeline.contracts.run import CollectionProgress, CompactionRun, Order, RunKind


class ReceiptKey(NamedTuple):
    """Which receipt."""

    image_id: str
    receipt_id: int


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One recorded operation on one receipt.

    Attributes:
        changes: fields that a metadata operation sets, or that an upsert sets on top of its delta.
        delta_run_id: the run whose delta an upsert brings.
    """

    order: Order
    kind: RunKind
    changes: Metadata = field(default_factory=dict)
    delta_run_id: str = ""

    @property
    def run_id(self) -> str:
        """The run that recorded it."""
        return self.order.run_id


@dataclass(frozen=True, kw_only=True)
class ReceiptState:
    """A receipt after some of its operations.

    Attributes:
        decided_by: the newest upsert or delete; None when none has arrived yet.
        patches: the metadata changes newer than it, oldest first.
    """

    decided_by: Operation | None = None
    patches: tuple[Operation, ...] = ()

    @property
    def changes(self) -> Metadata:
        """The fields on top of the rows; of two changes of a field the newer counts."""
        return {name: value for operation in self.operations for name, value in operation.changes.items()}

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Everything that still counts."""
        return self.patches if self.decided_by is None else (self.decided_by, *self.patches)

    def with_orders(self, orders: Mapping[str, Order]) -> "ReceiptState":
        """The same operations, those of some runs in other places."""
        return fold(
            ReceiptState(),
            [replace(operation, order=orders.get(operation.run_id, operation.order)) for operation in self.operations],
        )

    def supersedes(self, operation: Operation) -> bool:
        """Whether something newer has made ``operation`` meaningless."""
        return self.decided_by is not None and operation.order < self.decided_by.order


def fold(state: ReceiptState, operations: Iterable[Operation]) -> ReceiptState:
    """The receipt after ``operations`` as well."""
    distinct = {operation.order: operation for operation in (*state.operations, *operations)}
    ordered = [distinct[order] for order in sorted(distinct)]
    deciding = next((operation for operation in reversed(ordered) if operation.kind != "metadata"), None)
    return ReceiptState(
        decided_by=deciding,
        patches=tuple(
            operation
            for operation in ordered
            if operation.kind == "metadata" and (deciding is None or operation.order > deciding.order)
        ),
    )


def deciding_run(runs: Iterable[CompactionRun]) -> CompactionRun | None:
    """The newest upsert or delete of one receipt, however far it has come; None when there is none."""
    known = list(runs)
    deciding = fold(ReceiptState(), map(operation_of, known)).decided_by
    return None if deciding is None else next(run for run in known if run.run_id == deciding.run_id)


def without_rows(
    receipt: ReceiptKey,
    kind: Literal["delete", "metadata"],
    *,
    run_id: str,
    embedding_model: str,
    dimensions: int,
    delta_bucket: str,
    consumer: str,
    moment: datetime,
    **fields: Any,
) -> CompactionRun:
    """A run that brings no rows: it removes those of a receipt, or changes fields of them.

    Args:
        receipt: which.
        kind: what it does.
        run_id: of the run.
        embedding_model: of the collections.
        dimensions: of the collections.
        delta_bucket: where deltas are; this run has none.
        consumer: who records it.
        moment: when.
        **fields: of ``CompactionRun``.
    """
    return CompactionRun.model_validate(
        {
            "image_id": receipt.image_id,
            "receipt_id": receipt.receipt_id,
            "run_id": run_id,
            "kind": kind,
            "embedding_model": embedding_model,
            "dimensions": dimensions,
            "delta_bucket": delta_bucket,
            "lines": CollectionProgress(expected_count=0),
            "words": CollectionProgress(expected_count=0),
            "merchant_source": "none",
            "consumer": consumer,
            "created_at": moment,
            "updated_at": moment,
        }
        | fields
    )


def merchant_changed(
    receipt: ReceiptKey, name: str, source: Literal["given", "resolved"], *, run_id: str, **operation: Any
) -> CompactionRun:
    """A run that names the merchant on every line and word of a receipt.

    A resolved name follows from the rows that the receipt has: let it happen when they did (``uploaded_at``,
    ``sequencer``). Then it goes with them, and what a person said meanwhile stays on top.

    Args:
        receipt: which.
        name: the merchant's.
        source: ``given`` by a person, or ``resolved``.
        run_id: of the run.
        **operation: as of ``without_rows``.
    """
    return without_rows(
        receipt,
        "metadata",
        run_id=run_id,
        changes={MERCHANT_NAME: name, MERCHANT_SOURCE: source},
        merchant_name=name,
        merchant_source=source,
        **operation,
    )


def applied_again(
    upsert: CompactionRun, *, run_id: str, changes: Metadata, consumer: str, moment: datetime
) -> CompactionRun:
    """A new run that brings the rows of an earlier one once more, without embedding anything.

    It happened when the earlier one did, so that a later event which is still on its way wins. A new upload of the same
    content says when it was.

    Args:
        upsert: the earlier run.
        run_id: of the new one.
        changes: fields on top of the rows.
        consumer: who records it.
        moment: when it is recorded.
    """
    return CompactionRun.model_validate(
        upsert.model_dump(exclude={"lines", "words"})
        | {
            "run_id": run_id,
            "delta_run_id": upsert.delta_run_id or upsert.run_id,
            "content_run_id": upsert.content_id,
            "changes": changes,
            "lines": _afresh(upsert.lines),
            "words": _afresh(upsert.words),
            "consumer": consumer,
            "uploaded_at": upsert.happened_at,
            "created_at": moment,
            "updated_at": moment,
        }
    )


def _afresh(progress: CollectionProgress) -> CollectionProgress:
    return CollectionProgress(expected_count=progress.expected_count, delta_sha256=progress.delta_sha256)


def operation_of(run: CompactionRun) -> Operation:
    """The operation that a run recorded."""
    return Operation(
        order=run.order,
        kind=run.kind,
        changes=dict(run.changes),
        delta_run_id=(run.delta_run_id or run.run_id) if run.kind == "upsert" else "",
    )


def receipt_of(run: CompactionRun) -> ReceiptKey:
    """The receipt that a run is of."""
    return ReceiptKey(str(run.image_id), run.receipt_id)
