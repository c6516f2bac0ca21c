"""Uploading OCR results and waiting until every receipt in them is searchable. Shared by ``upload`` and ``demo``."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ops.target import OperatorError, Target
from pipeline.collections.receipts import deciding_run
from pipeline.contracts.messages import RunReference
from pipeline.contracts.ocr import OcrDocument, parse_ocr_document, refusal_of
from pipeline.contracts.run import CompactionRun
from pipeline.errors import PermanentError
from pipeline.runs.repository import RunRepository
from upload_images.export import export_receipt
from upload_images.notification import ocr_result_key

POLL_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class UploadedDocument:
    """One uploaded OCR result and the runs that it must become: run ids are deterministic, so they are known now.

    Attributes:
        refused: an error for each receipt that was left out.
    """

    name: str
    key: str
    runs: tuple[RunReference, ...]
    refused: tuple[PermanentError, ...] = ()


@dataclass(frozen=True, kw_only=True)
class WaitResult:
    """How a wait ended."""

    completed: tuple[CompactionRun, ...]
    failed: tuple[CompactionRun, ...]
    missing: tuple[RunReference, ...]

    @property
    def is_complete(self) -> bool:
        """True when every receipt is searchable."""
        return not self.failed and not self.missing


def upload(target: Target, name: str, content: bytes) -> UploadedDocument:
    """Validate one OCR result and put it where the pipeline picks it up, without the receipts that are refused.

    Raises:
        PermanentError: OCR_DOCUMENT_INVALID; nothing was uploaded.
    """
    document = parse_ocr_document(content, name)
    key = ocr_result_key(document.image_id)
    if document.refused:
        # Said here and not again by a dead letter.
        content = document.model_dump_json(exclude_none=True).encode()
    target.s3.put_object(
        Bucket=target.outputs["artifactsBucket"], Key=key, Body=content, ContentType="application/json"
    )
    refused = tuple(refusal_of([receipt], name) for receipt in document.refused)
    return UploadedDocument(name=name, key=key, runs=runs_of(target, document), refused=refused)


def runs_of(target: Target, document: OcrDocument) -> tuple[RunReference, ...]:
    """The runs that the receipts of an OCR result become on a stack."""
    exports = [
        export_receipt(
            document,
            receipt,
            bucket=target.outputs["artifactsBucket"],
            embedding_model=target.outputs["embeddingModel"],
            dimensions=int(target.outputs["embeddingDimensions"]),
        )
        for receipt in document.receipts
    ]
    return tuple(
        RunReference(
            image_id=export.message.image_id, receipt_id=export.message.receipt_id, run_id=export.message.run_id
        )
        for export in exports
    )


def wait_until_searchable(
    target: Target,
    documents: Iterable[UploadedDocument],
    *,
    timeout_seconds: float,
    on_progress: Callable[[int, int], None] | None = None,
) -> WaitResult:
    """Wait until every receipt of ``documents`` is published as it was uploaded, or has failed, or the time is over.

    Args:
        target: the stack.
        documents: what was uploaded.
        timeout_seconds: how long to wait in all.
        on_progress: called with searchable receipts and receipts in all.
    """
    repository = RunRepository(target.outputs["tableName"], target.dynamodb)

    def look(uploaded: RunReference) -> CompactionRun | None:
        """The run that makes the receipt what was uploaded: the content's own, or one that applies it again."""
        deciding = deciding_run(repository.of_receipt(uploaded.image_id, uploaded.receipt_id))
        return deciding if deciding is not None and deciding.content_id == uploaded.run_id else None

    runs = [run for document in documents for run in document.runs]
    return _wait(runs, look, timeout_seconds, on_progress)


def wait_for_runs(
    target: Target,
    runs: Iterable[RunReference],
    *,
    timeout_seconds: float,
    on_progress: Callable[[int, int], None] | None = None,
) -> WaitResult:
    """Wait until every run is completed or has failed, or the time is over; the arguments are the same."""
    repository = RunRepository(target.outputs["tableName"], target.dynamodb)
    return _wait(list(runs), repository.find, timeout_seconds, on_progress)


def _wait(
    waiting: list[RunReference],
    look: Callable[[RunReference], CompactionRun | None],
    timeout_seconds: float,
    on_progress: Callable[[int, int], None] | None,
) -> WaitResult:
    total = len(waiting)
    completed: list[CompactionRun] = []
    failed: list[CompactionRun] = []
    deadline = time.monotonic() + timeout_seconds
    while waiting and time.monotonic() < deadline:
        still: list[RunReference] = []
        for reference in waiting:
            run = look(reference)
            if run is not None and run.is_completed:
                completed.append(run)
            elif run is not None and run.has_failed:
                failed.append(run)
            else:
                still.append(reference)
        waiting = still
        if on_progress is not None:
            on_progress(len(completed), total)
        if waiting:
            time.sleep(POLL_SECONDS)
    return WaitResult(completed=tuple(completed), failed=tuple(failed), missing=tuple(waiting))


def require_complete(result: WaitResult) -> None:
    """Turn an incomplete wait into an error that names what is missing.

    Raises:
        OperatorError: NOT_SEARCHABLE.
    """
    if result.is_complete:
        return
    parts = [f"run {run.run_id} failed: {run.lines.error or run.words.error}" for run in result.failed]
    parts += [f"receipt {run.receipt_id} of image {run.image_id} is not searchable yet" for run in result.missing]
    raise OperatorError(
        "NOT_SEARCHABLE",
        "; ".join(parts[:5]) + (f"; and {len(parts) - 5} more" if len(parts) > 5 else ""),  # noqa: PLR2004 - shown
        "receipts status shows the queues, their dead letters and the consumer that is on",
    )


def require_effect(result: WaitResult) -> None:
    """Turn an operation that something newer outdated before it was applied into an error.

    Raises:
        OperatorError: OPERATION_SUPERSEDED.
    """
    for run in result.completed:
        if None not in (run.lines.superseded_by, run.words.superseded_by):
            raise OperatorError(
                "OPERATION_SUPERSEDED",
                f"run {run.run_id} changed nothing: operation {run.lines.superseded_by} of receipt {run.receipt_id} of "
                f"image {run.image_id} is newer",
                "look at the receipt as it is now, then say it again if it is still wanted",
            )
