"""Uploading OCR results and waiting until every receipt in them is searchable. Shared by ``upload`` and ``demo``."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ops.operations import current_run
from ops.target import OperatorError, Target
from pipeline.contracts.messages import RunReference
from pipeline.contracts.ocr import parse_ocr_document
from pipeline.contracts.run import CompactionRun, RunState
from pipeline.runs import RunRepository
from upload_images.export import export_receipt

POLL_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class UploadedDocument:
    """One uploaded OCR result and the runs that it must become: run ids are deterministic, so they are known now."""

    name: str
    key: str
    runs: tuple[RunReference, ...]


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
    """Validate one OCR result and put it where the pipeline picks it up.

    Raises:
        PermanentError: OCR_DOCUMENT_INVALID; nothing was uploaded.
    """
    document = parse_ocr_document(content, name)
    key = f"ocr/{document.image_id}.json"
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
    target.s3.put_object(
        Bucket=target.outputs["artifactsBucket"], Key=key, Body=content, ContentType="application/json"
    )
    runs = tuple(
        current_run(
            target,
            RunReference(
                image_id=export.message.image_id, receipt_id=export.message.receipt_id, run_id=export.message.run_id
            ),
        )
        for export in exports
    )
    return UploadedDocument(name=name, key=key, runs=runs)


def wait_until_searchable(
    target: Target,
    documents: Iterable[UploadedDocument],
    *,
    timeout_seconds: float,
    on_progress: Callable[[int, int], None] | None = None,
) -> WaitResult:
    """Wait until every run of ``documents`` is in a published version, or has failed, or the time is over.

    Args:
        target: the stack.
        documents: what was uploaded.
        timeout_seconds: how long to wait in all.
        on_progress: called with searchable receipts and receipts in all.
    """
    runs = [run for document in documents for run in document.runs]
    return wait_for_runs(target, runs, timeout_seconds=timeout_seconds, on_progress=on_progress)


def wait_for_runs(
    target: Target,
    runs: Iterable[RunReference],
    *,
    timeout_seconds: float,
    on_progress: Callable[[int, int], None] | None = None,
) -> WaitResult:
    """The same for runs, whatever they do."""
    repository = RunRepository(target.outputs["tableName"], target.dynamodb)
    waiting = list(runs)
    total = len(waiting)
    completed: list[CompactionRun] = []
    failed: list[CompactionRun] = []
    deadline = time.monotonic() + timeout_seconds
    while waiting and time.monotonic() < deadline:
        still: list[RunReference] = []
        for reference in waiting:
            run = repository.find(reference)
            states = set() if run is None else {run.lines.state, run.words.state}
            if run is not None and states == {RunState.COMPLETED}:
                completed.append(run)
            elif run is not None and RunState.FAILED in states:
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
