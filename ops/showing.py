"""One receipt as it is: its published rows, its merchant and that name's source, and its recorded runs. Read only."""

from collections.abc import Sequence
from typing import Any, TypedDict
from uuid import UUID

from ops.choosing import SHOW_IDS
from ops.operations import repository
from ops.published import NOTHING_PUBLISHED, published_version
from ops.target import OperatorError, Target
from pipeline.collections.layout import Pointer
from pipeline.collections.receipts import ReceiptKey
from pipeline.collections.rows import Row
from pipeline.contracts.identifiers import COLLECTIONS, CollectionName
from pipeline.contracts.metadata import MERCHANT_NAME, MERCHANT_SOURCE
from pipeline.contracts.run import CompactionRun


class ReceiptDetails(TypedDict):
    """What ``receipts show`` prints.

    Attributes:
        version: of ``lines`` that the receipt is published in; None when it is not, and so are merchant, run and model.
        words_version: the same of ``words``; None when words were not asked for, too.
        merchant_source: ``given``, ``resolved`` or ``none``.
        run_id: of the run that brought the rows.
        lines: rows with their text and metadata.
        words: the same; None when they were not asked for.
        runs: every recorded operation, oldest first.
    """

    image_id: str
    receipt_id: int
    version: str | None
    words_version: str | None
    merchant_name: str | None
    merchant_source: str
    run_id: str | None
    embedding_model: str | None
    lines: list[dict[str, Any]]
    words: list[dict[str, Any]] | None
    runs: list[dict[str, Any]]


def show(target: Target, receipt: ReceiptKey, *, words: bool) -> ReceiptDetails:
    """Read a receipt from the published versions and from the table.

    A receipt that has runs and no rows is shown too: it is on its way, failed or removed, and its runs say which.

    Raises:
        OperatorError: RECEIPT_UNKNOWN when nothing is known of it.
    """
    runs = repository(target).of_receipt(UUID(receipt.image_id), receipt.receipt_id)
    pointer, lines = _published(target, "lines", receipt)
    words_pointer, word_rows = _published(target, "words", receipt) if words else (None, None)
    if not runs and not lines and not word_rows:
        raise OperatorError(
            "RECEIPT_UNKNOWN",
            f"receipt {receipt.receipt_id} of image {receipt.image_id} was never embedded",
            f"check both ids; {SHOW_IDS}",
        )
    common = lines[0].metadata if lines else {}
    return {
        "image_id": receipt.image_id,
        "receipt_id": receipt.receipt_id,
        "version": pointer.version if pointer and lines else None,
        "words_version": words_pointer.version if words_pointer and word_rows else None,
        "merchant_name": _text(common.get(MERCHANT_NAME)),
        "merchant_source": str(common.get(MERCHANT_SOURCE, "none")),
        "run_id": _text(common.get("run_id")),
        "embedding_model": pointer.model if pointer and lines else None,
        "lines": _documents(lines),
        "words": None if word_rows is None else _documents(word_rows),
        "runs": [_run(run) for run in runs],
    }


def _published(target: Target, collection: CollectionName, receipt: ReceiptKey) -> tuple[Pointer | None, list[Row]]:
    try:
        with published_version(target, collection) as published:
            return published.pointer, published.receipt(receipt)
    except OperatorError as error:
        if error.code != NOTHING_PUBLISHED:
            raise
        return None, []


def _documents(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [{"id": row.id, "text": row.text, **row.metadata} for row in rows]


def _run(run: CompactionRun) -> dict[str, Any]:
    progress = {collection: run.progress(collection) for collection in COLLECTIONS}
    return {
        "operation": run.receipt_version,
        "run_id": run.run_id,
        "kind": run.kind,
        "consumer": run.consumer,
        "embedding_model": run.embedding_model,
        "dimensions": run.dimensions,
        "merchant_name": run.merchant_name,
        "merchant_source": run.merchant_source,
        "changes": dict(run.changes),
        "created_at": run.created_at.isoformat(timespec="seconds"),
        **{collection: item.state.value for collection, item in progress.items()},
        **{f"{collection}_version": item.snapshot_version for collection, item in progress.items()},
        **{f"{collection}_superseded_by": item.superseded_by for collection, item in progress.items()},
        "errors": [f"{collection}: {item.error}" for collection, item in progress.items() if item.error],
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)
