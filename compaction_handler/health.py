"""What a tick measures when it has done its work: how long runs wait, how many failed, whether a lease is stale.

It repairs nothing. What is measured becomes metrics (``pipeline/metrics.py``) on which alarms are set.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from compaction_handler.lease import read_expiry
from pipeline.aws import AwsClient
from pipeline.contracts.identifiers import COLLECTIONS
from pipeline.contracts.run import RunState
from pipeline.metrics import Measure
from pipeline.runs.repository import RunRepository

FAILED_COUNTED = 1_000
"""A page of the index holds about as many runs; for an alarm, more are the same."""


@dataclass(frozen=True, kw_only=True)
class Health:
    """Measures the runs and the leases of one stack.

    Attributes:
        lease_seconds: how long a lease lasts without a renewal.
    """

    table: str
    runs: RunRepository
    dynamodb: AwsClient
    lease_seconds: int
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def measure(self) -> dict[Measure, float]:
        """Read three pages of the index and, when runs wait, the leases.

        Raises:
            RetryableError: SERVICE_UNAVAILABLE.
        """
        now = self.now()
        # The index lists the oldest run of a state first.
        oldest = [next(self.runs.unfinished(state), None) for state in (RunState.PENDING, RunState.MERGED)]
        waiting = [run.created_at for run in oldest if run is not None]
        failed = sum(1 for _ in islice(self.runs.unfinished(RunState.FAILED), FAILED_COUNTED))
        # A lease for which no run waits does no harm: the next merge takes it over.
        expiries = (read_expiry(self.table, self.dynamodb, name) for name in COLLECTIONS if waiting)
        return {
            Measure.OLDEST_RUN: max(0.0, (now - min(waiting)).total_seconds()) if waiting else 0.0,
            Measure.FAILED_RUNS: failed,
            Measure.STALE_LEASE: stale_seconds(expiries, now=now.timestamp(), lease_seconds=self.lease_seconds),
        }


def stale_seconds(expiries: Iterable[float], *, now: float, lease_seconds: int) -> float:
    """By how much the most stale lease is out of what a live holder's can be; 0 when none is. Pure.

    A live holder renews, so its lease expires between now and ``lease_seconds`` from now. One that has expired was
    never given back: its holder died, and no other took over. One that expires later was written by a clock that is
    wrong, or by hand, and no other can take over until then.

    Args:
        expiries: seconds since the epoch; 0 for a lease that was given back or never taken.
        now: the same.
        lease_seconds: how long a lease lasts without a renewal.
    """
    out = (max(now - expires, expires - now - lease_seconds) for expires in expiries if expires)
    return max([0.0, *out])
