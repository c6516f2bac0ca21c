"""The tick's part for receipts that came before their merchant was known. See ``pipeline/merchants/later.py``."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.collections.reader import SnapshotSource
from pipeline.merchants.later import resolve_later
from pipeline.merchants.resolution import MerchantResolver
from pipeline.runs.repository import RunRepository
from pipeline.unresolved import PublishedUnresolved

logger = logging.getLogger(__name__)

RECEIPTS_A_TICK = 200
"""About a second of one tick: a receipt takes some milliseconds, most of them for the vote of its neighbours."""


@dataclass
class LateResolution:
    """Resolves merchants of published receipts that have none; lives as long as its process."""

    source: SnapshotSource
    runs: RunRepository
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _finished: str | None = None

    def run(self) -> int:
        """Ask about some receipts, unless all of the current version were asked about.

        Returns:
            How many operations were recorded.

        Raises:
            PipelineError: the snapshot or the table does not answer.
        """
        published = self.source.refresh()
        if published is None or published.version == self._finished:
            return 0
        unresolved = PublishedUnresolved(published)
        recorded = resolve_later(
            unresolved,
            self.runs,
            MerchantResolver(snapshots=self.source),
            limit=RECEIPTS_A_TICK,
            consumer="tick",
            now=self.now(),
        )
        if unresolved.asked < RECEIPTS_A_TICK:
            self._finished = published.version
        if recorded:
            logger.info("resolved later", extra={"recorded": recorded, "version": published.version})
        return recorded

    def close(self) -> None:
        """Close the version that is open."""
        self.source.close()
