"""Whose fault it is when a merge breaks, so that no run can hold up its neighbours, the tick or a publication.

A failure counts against the runs that were being written, or published for the first time. ``planning.batches`` merges
them in smaller portions from then on, until the one to blame is alone, and is quarantined with its reason. An error
that no run causes (``failures.NO_RUNS_FAULT``) counts against none.

A refused publication (SNAPSHOT_RECALL with the strongest parameters, SNAPSHOT_UNSOUND) is a run's fault only when the
published version without the run passes the same check. Else the version itself, the memory or the machine is to blame:
quarantining one run after the other would then hide what an operator must see.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from compaction_handler.failures import NEEDS_A_CONTROL, NO_RUNS_FAULT
from compaction_handler.keeping import CopyKeeper
from compaction_handler.lease import Heartbeat, Lease
from compaction_handler.marking import RunMarker
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import CompactionRun, RunState
from pipeline.errors import ErrorCode, PipelineError, RetryableError
from pipeline.runs.repository import RunRepository


class BatchBrokenError(Exception):
    """Runs broke a merge. Their attempts are counted and the working copy is given up; the others go on.

    Attributes:
        error: how it is reported.
        runs: those that it was counted against.
        lost: all runs that the copy held and no published version does.
    """

    def __init__(self, error: RetryableError, runs: Sequence[CompactionRun], lost: Sequence[RunReference]) -> None:
        self.error, self.runs, self.lost = error, runs, lost
        super().__init__(str(error))


@dataclass(frozen=True, kw_only=True)
class Blame:
    """Counts failures against runs of one collection."""

    keeper: CopyKeeper
    marker: RunMarker
    runs: RunRepository

    @contextmanager
    def writing(self, heartbeat: Heartbeat, runs: Sequence[CompactionRun]) -> Iterator[None]:
        """As ``answerable``; the lease also names the runs while the block lasts, in case the process is killed."""
        heartbeat.lease.suspect([run.reference for run in runs])
        with self.answerable(heartbeat, runs):
            yield
        heartbeat.lease.suspect(())

    @contextmanager
    def answerable(self, heartbeat: Heartbeat, runs: Sequence[CompactionRun]) -> Iterator[None]:
        """Count whatever breaks in the block as a failed attempt of these runs.

        Raises:
            BatchBrokenError: it was counted.
            PipelineError: it is no run's fault.
        """
        try:
            yield
        except Exception as error:
            told = error if isinstance(error, PipelineError) else self.keeper.broken(error)
            if not runs or told.code in NO_RUNS_FAULT:
                if told is error:
                    raise
                self.keeper.discard()
                raise told from error
            lost = [run.reference for run in self.keeper.unpublished.values()]
            # Before anything else: the working copy must not be used again, even if the record fails.
            self.keeper.discard()
            if told.code in NEEDS_A_CONTROL:
                self._require_sound_base(heartbeat)
            # As passing, or the innocent of a portion would be failed for good at the first time.
            counted = RetryableError(told.code, value=told.value, rule=told.rule, way_out=told.way_out)
            self.marker.all_failed(runs, counted)
            heartbeat.lease.suspect(())
            raise BatchBrokenError(counted, runs, lost) from error

    def killed(self, lease: Lease) -> None:
        """Count a failed attempt for every run that a merge was writing when its process was killed."""
        suspects = lease.suspects_before
        if not suspects:
            self.keeper.is_blamed = True
            return
        killed = RetryableError(
            ErrorCode.MERGE_KILLED,
            value=f"the process that merged {len(suspects)} runs of {lease.collection} ended while it wrote them",
            rule="a merge must finish or record its failure",
            way_out="they are merged again in smaller portions; look for a timeout or the end of the memory in the log",
        )
        runs = self.runs.find_all(suspects)
        states = {RunState.PENDING, RunState.MERGED}
        self.marker.all_failed([run for run in runs if run.progress(lease.collection).state in states], killed)
        self.keeper.is_blamed = True
        lease.suspect(())

    def _require_sound_base(self, heartbeat: Heartbeat) -> None:
        """The published version, restored, or an empty one, passes the check that the copy did not; else raise."""
        copy, _ = self.keeper.start(heartbeat.lease)
        try:
            self.keeper.publisher.judge(heartbeat, copy)
        except RetryableError as error:
            if error.code not in NEEDS_A_CONTROL:
                raise
            raise RetryableError(
                error.code,
                value=f"also without any new run, as {copy.base or 'an empty collection'}: {error.value}",
                rule=error.rule,
                way_out="no run is to blame and nothing is published; look for the end of the memory in the log, then "
                "build the collection again: `receipts rebuild --from-deltas`",
            ) from error
        copy.reopen()
