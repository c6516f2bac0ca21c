"""Waiting for receipts: until each is published as it was uploaded, has failed, or can go no further.

A wait ends early where nobody consumes: it would never end, and the receipts wait in any case.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from one_consumer.audit.judgement import Finding
from ops.auditing import audit
from ops.submitting import UploadedDocument
from ops.target import OperatorError, Target
from pipeline.collections.receipts import deciding_run
from pipeline.contracts.identifiers import COLLECTIONS
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import CompactionRun, RunState
from pipeline.runs.repository import RunRepository

POLL_SECONDS = 0.25
LOOK_SECONDS = 10.0
"""Between two looks at who consumes, while nothing comes."""
ABSENT_SECONDS = 60.0
"""Seconds that a queue must have been without a consumer: a switch leaves a gap, on one machine of seconds."""
CLOCK = timedelta(seconds=2)
"""S3 gives the end of an upload in whole seconds, and dates the announcement of the object itself."""

Stages = Mapping[str, int]
OnProgress = Callable[[int, int, Stages], object]


@dataclass(frozen=True, kw_only=True)
class WaitResult:
    """How a wait ended.

    Attributes:
        completed: what is searchable.
        failed: runs that failed.
        missing: what is neither.
        stopped: why the wait ended before its time, with ``missing`` left; None when it did not.
    """

    completed: tuple[CompactionRun, ...]
    failed: tuple[CompactionRun, ...]
    missing: tuple[RunReference, ...]
    stopped: OperatorError | None = None

    @property
    def is_complete(self) -> bool:
        """True when every receipt is searchable."""
        return not self.failed and not self.missing


def wait_until_searchable(
    target: Target,
    documents: Iterable[UploadedDocument],
    *,
    timeout_seconds: float,
    on_progress: OnProgress | None = None,
) -> WaitResult:
    """Wait until every receipt of ``documents`` is published as it was uploaded, or has failed, or the time is over.

    Args:
        target: the stack.
        documents: what was uploaded.
        timeout_seconds: how long to wait in all.
        on_progress: called with searchable receipts, receipts in all, and how many of the others are at which stage.
    """
    repository = RunRepository(target.outputs["tableName"], target.dynamodb)
    uploaded_at = {run: document.uploaded_at for document in documents for run in document.runs}

    def look(uploaded: RunReference) -> CompactionRun | None:
        """The run that makes the receipt what was uploaded: the content's own, or one that applies it again."""
        deciding = deciding_run(repository.of_receipt(uploaded.image_id, uploaded.receipt_id))
        if deciding is None or deciding.content_id != uploaded.run_id:
            return None
        return None if deciding.has_failed and is_of_before(deciding, uploaded_at[uploaded]) else deciding

    return _wait(target, list(uploaded_at), look, timeout_seconds, on_progress)


def is_of_before(run: CompactionRun, uploaded_at: datetime | None) -> bool:
    """Whether a run is of an earlier upload of the same content, whose failure is not this upload's. Pure."""
    return uploaded_at is not None and run.uploaded_at is not None and run.uploaded_at < uploaded_at - CLOCK


def wait_for_runs(
    target: Target,
    runs: Iterable[RunReference],
    *,
    timeout_seconds: float,
    on_progress: OnProgress | None = None,
) -> WaitResult:
    """Wait until every run is completed or has failed, or the time is over; the arguments are the same."""
    repository = RunRepository(target.outputs["tableName"], target.dynamodb)
    return _wait(target, list(runs), repository.find, timeout_seconds, on_progress)


def _wait(
    target: Target,
    waiting: list[RunReference],
    look: Callable[[RunReference], CompactionRun | None],
    timeout_seconds: float,
    on_progress: OnProgress | None,
) -> WaitResult:
    total = len(waiting)
    completed: list[CompactionRun] = []
    failed: list[CompactionRun] = []
    deadline = time.monotonic() + timeout_seconds
    consumers = ConsumerWatch(target)
    stopped = None
    while waiting and stopped is None and time.monotonic() < deadline:
        still: list[RunReference] = []
        stages: Counter[str] = Counter()
        before = len(waiting)
        for reference in waiting:
            run = look(reference)
            if run is not None and run.is_completed:
                completed.append(run)
            elif run is not None and run.has_failed:
                failed.append(run)
            else:
                still.append(reference)
                stages[stage_of(run)] += 1
        waiting = still
        if on_progress is not None:
            on_progress(len(completed), total, stages)
        if waiting:
            if stages[TO_EMBED]:
                stopped = consumers.reason(time.monotonic(), came=len(waiting) < before)
            if stopped is None:
                time.sleep(POLL_SECONDS)
    return WaitResult(completed=tuple(completed), failed=tuple(failed), missing=tuple(waiting), stopped=stopped)


TO_EMBED, TO_MERGE, TO_PUBLISH = "to be embedded", "to be merged", "to be published"


def stage_of(run: CompactionRun | None) -> str:
    """What a receipt that is not searchable yet waits for; None is one that no run is recorded of. Pure."""
    if run is None:
        return TO_EMBED
    states = {run.progress(collection).state for collection in COLLECTIONS}
    return TO_MERGE if RunState.PENDING in states else TO_PUBLISH


class ConsumerWatch:
    """Says when it is in vain to wait for receipts to be embedded.

    Args:
        target: the stack.
        look: returns the queues that lack a consumer; a test passes another.
    """

    def __init__(self, target: Target, look: Callable[[Target], list[str]] | None = None) -> None:
        self._target = target
        self._look = look or unattended
        self._next: float | None = None
        self._absent_since: float | None = None

    def reason(self, now: float, *, came: bool) -> OperatorError | None:
        """Why nobody will embed; None when somebody may.

        Args:
            now: seconds of a clock that only goes forward.
            came: whether something has come since the last call.

        Returns:
            NOT_CONSUMED or NO_CONSUMER.
        """
        outputs: Mapping[str, Any] = self._target.outputs
        if outputs.get("embedConsumer") == "none":
            return OperatorError(
                "NOT_CONSUMED",
                "receipts:embedConsumer is none, so nobody embeds; the receipts wait on the queue",
                "receipts switch lambda, or ecs: what waits is embedded then",
            )
        if came or self._next is None:
            self._next, self._absent_since = now + LOOK_SECONDS, None
            return None
        if now < self._next:
            return None
        self._next = now + LOOK_SECONDS
        absent = self._look(self._target)
        if not absent:
            self._absent_since = None
            return None
        if self._absent_since is None:
            self._absent_since = now
        if now - self._absent_since < ABSENT_SECONDS:
            return None
        return OperatorError(
            "NO_CONSUMER",
            f"nobody consumes queue {', '.join(absent)}, for {ABSENT_SECONDS:.0f} seconds now; the receipts wait there",
            "`receipts audit` shows who should; the next `receipts switch` turns a consumer on",
        )


def unattended(target: Target) -> list[str]:
    """The queues that nobody consumes and somebody should."""
    return [item.expected.label for item in audit(target) if item.finding is Finding.NO_CONSUMER]


def require_complete(result: WaitResult) -> None:
    """Turn an incomplete wait into an error that names what is missing.

    Raises:
        OperatorError: NOT_SEARCHABLE; NOT_CONSUMED or NO_CONSUMER where that is why.
    """
    if result.is_complete:
        return
    if result.stopped is not None and not result.failed:
        raise OperatorError(
            result.stopped.code,
            f"{result.stopped.message}; receipts that are not searchable yet: {len(result.missing)}",
            result.stopped.way_out,
        )
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
