"""Moving the states of runs in DynamoDB, many at once. What is right to do is decided by ``merging.py``."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from compaction_handler.failures import NO_RUNS_FAULT
from pipeline.collections.ledger import RunOutcome
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.run import CompactionRun, RunState
from pipeline.errors import PermanentError, PipelineError, RetryableError
from pipeline.runs.repository import RunRepository
from pipeline.runs.transitions import AttemptFailed, Completed, Merged

logger = logging.getLogger(__name__)

MAXIMUM_ATTEMPTS = 5
"""Failed merges of one run before it is quarantined as FAILED (docs/contracts.md)."""
WRITES_AT_ONCE = 8
"""Below the ten connections of a boto3 client."""


@dataclass(frozen=True, kw_only=True)
class RunMarker:
    """Moves runs of one collection."""

    collection: CollectionName
    runs: RunRepository

    def unfinished(self) -> Iterator[tuple[CompactionRun, RunState]]:
        """Every unfinished run and its state here, each read once; the index lists it under its slower collection.

        A failure in either collection is listed as that, whatever the other one still waits for.
        """
        for listed in (RunState.PENDING, RunState.MERGED, RunState.FAILED):
            for run in self.runs.unfinished(listed):
                yield run, run.progress(self.collection).state

    def in_state(self, state: RunState) -> Iterator[CompactionRun]:
        """Runs whose progress here is ``state``."""
        return (run for run, found in self.unfinished() if found is state)

    def merged(
        self, runs: Iterable[CompactionRun], outcomes: Mapping[str, RunOutcome]
    ) -> tuple[list[CompactionRun], PipelineError | None]:
        """Move the runs to MERGED, each whatever becomes of the others.

        Returns:
            Those that were moved, in their new state as far as this process can know, and why another one was not.
        """

        def mark(run: CompactionRun) -> None:
            progress, outcome = run.progress(self.collection), outcomes[run.run_id]
            # A run that is merged again after a loss may come out differently: another operation may have failed since.
            if (progress.state, progress.merged_count, progress.superseded_by) != (
                RunState.MERGED,
                outcome.rows,
                outcome.superseded_by,
            ):
                self._warn_unless(
                    run,
                    self.runs.move(
                        run.reference,
                        self.collection,
                        Merged(rows=outcome.rows, superseded_by=outcome.superseded_by),
                        known=run,
                    ),
                )

        moved, refused = self._each(mark, runs)
        return [run.in_state(self.collection, RunState.MERGED) for run in moved], refused

    def completed(self, runs: Iterable[CompactionRun], version: str) -> PipelineError | None:
        """Move the runs from MERGED to COMPLETED, because a published version holds them.

        Returns:
            Why one of them was not moved; the others were.
        """

        def mark(run: CompactionRun) -> None:
            self._warn_unless(
                run, self.runs.move(run.reference, self.collection, Completed(version=version), known=run)
            )

        return self._each(mark, runs)[1]

    def failed(self, run: CompactionRun, error: PipelineError) -> RetryableError | None:
        """Fail a run for good, or count an attempt; the error when it is to be tried again.

        An outage or a full disk counts as no run's attempt, and quarantines none.
        """
        if error.code in NO_RUNS_FAULT and isinstance(error, RetryableError):
            return error
        progress = run.progress(self.collection)
        gives_up = isinstance(error, PermanentError) or progress.attempts + 1 >= MAXIMUM_ATTEMPTS
        if gives_up:
            logger.error("run failed: %s", error, extra={"run_id": run.run_id, "error_code": error.code})
        failure = AttemptFailed(before=progress.state, error=str(error), gives_up=gives_up)
        self._warn_unless(run, self.runs.move(run.reference, self.collection, failure, known=run))
        return error if isinstance(error, RetryableError) else None

    def all_failed(self, runs: Iterable[CompactionRun], error: PipelineError) -> None:
        """Fail each of the runs or count its attempt, see ``failed``; what could not be recorded is logged."""
        self._each(partial(self.failed, error=error), runs)

    def _warn_unless(self, run: CompactionRun, moved: bool) -> None:
        if not moved:
            logger.warning(
                "a run is in another state than this merge left it in; another process moved it",
                extra={"collection": self.collection, "run_id": run.run_id},
            )

    def _each(
        self, move: Callable[[CompactionRun], object], runs: Iterable[CompactionRun]
    ) -> tuple[list[CompactionRun], PipelineError | None]:
        known = list(runs)
        with ThreadPoolExecutor(WRITES_AT_ONCE) as writers:
            futures = [writers.submit(move, run) for run in known]
        moved, refused = [], None
        for run, future in zip(known, futures, strict=True):
            try:
                future.result()
            except PipelineError as error:
                # An item that takes no more changes must not keep the others from theirs.
                logger.exception("a run was not moved", extra={"run_id": run.run_id, "error_code": error.code})
                refused = error
            else:
                moved.append(run)
        return moved, refused
