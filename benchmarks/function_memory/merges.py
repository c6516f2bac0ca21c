"""The memory of a merge against the texts of its collection, and how many texts a function's memory suffices for.

Every row of the collection is a text of its own. A merge adds 3,000 rows, then removes a receipt, so that the index is
built again, and publishes after both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.compaction.memory import measure_memory
from benchmarks.compaction.world import Services, World
from compaction_handler.planning import ROWS_AT_ONCE

SIZES = (3_000, 6_000, 12_000)
DELTAS, ROWS = 20, 150
FAST = 1e12
"""Bytes a second of the slow S3, which is not used."""


@dataclass(frozen=True, kw_only=True)
class Merge:
    """One merge.

    Attributes:
        texts: of the collection when the merge ended.
        peak: resident bytes of the merge and the child that checks its copy, at one moment.
    """

    texts: int
    peak: int


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Bytes of a merge as a straight line over the texts, by least squares.

    Attributes:
        fixed: bytes of a collection without texts.
        a_text: bytes of each.
        farthest: the largest distance of a measured peak from the line, as a share of the peak.
    """

    fixed: float
    a_text: float
    farthest: float

    def texts(self, megabytes: float) -> int:
        """Texts for which so many MiB suffice; 0 when it is less than what is fixed."""
        return max(0, int((megabytes * 1024**2 - self.fixed) / self.a_text))


def fit(merges: Sequence[Merge]) -> Fit:
    """The line through at least two merges of different sizes."""
    texts = np.array([merge.texts for merge in merges], dtype=np.float64)
    measured = np.array([merge.peak for merge in merges], dtype=np.float64)
    a_text, fixed = np.polyfit(texts, measured, 1)
    distances = np.abs(fixed + a_text * texts - measured) / measured
    return Fit(fixed=float(fixed), a_text=float(a_text), farthest=float(distances.max()))


def measure_merges(
    directory: Path, sizes: Sequence[int], dimensions: int, progress: Callable[[str], object]
) -> list[Merge]:
    """Grow a collection and merge into a copy of it at each size."""
    merges = []
    with Services(directory / "services", FAST) as services:
        base = World(
            directory=directory / "base",
            name="memory",
            collection="lines",
            dynamodb_endpoint=services.dynamodb,
            s3_endpoint=services.s3,
            dimensions=dimensions,
            distinct=True,
        ).create()
        have = 0
        for size in sorted(sizes):
            progress(f"{size:,} texts")
            _grow(base, size - have)
            have = size
            world = base.fork()
            references = world.record([ROWS] * DELTAS)
            found = measure_memory(world, references, world.removal(references[0]))
            merges.append(Merge(texts=world.pointer.texts, peak=found.peak_with_check))
            progress(f"a merge ended at {merges[-1].texts:,} texts, its peak was {merges[-1].peak:,} bytes")
            world.remove()
    return merges


def _grow(world: World, rows: int) -> None:
    merger = world.merger()
    try:
        while rows > 0:
            batch = min(rows, ROWS_AT_ONCE)
            references = world.record([ROWS] * (batch // ROWS) + ([batch % ROWS] if batch % ROWS else []))
            merger.merge(references)
            world.require_completed(references)
            rows -= batch
    finally:
        merger.close()
