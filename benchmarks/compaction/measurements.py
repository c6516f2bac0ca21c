"""What is measured, and how: merges beside raw insertion into a collection of the same rows, close in time.

A machine that others use as well is slower for seconds at a time. So every merge has as many raw rows as its own
beside it, half before and half after, and a ratio is the median over rounds. A round starts from the same published
version.

A merge has two times: until its rows are published, which is when readers of the directory find them, and until its
runs are COMPLETED, which is when S3 has the version as well and the next merge may begin.
"""

import logging
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.compaction.alone import CHUNK_ROWS, OriginCycle, RawCollection, Timing, one_record_a_row, total
from benchmarks.compaction.memory import Memory, measure_memory
from benchmarks.compaction.rows import Receipts
from benchmarks.compaction.settled import settle_memory
from benchmarks.compaction.world import World
from compaction_handler import publishing
from compaction_handler.merging import CollectionMerger
from compaction_handler.planning import ROWS_AT_ONCE
from pipeline.collections.reader import SnapshotSource
from pipeline.contracts.messages import RunReference

SYNC_THRESHOLDS = (1, 1_000)
"""Ours, which leaves every closed directory at rest, and one below the chunk, fastest for a collection of rows."""
SETTING_CHUNKS = 5
SETTLED = 18
"""Times the bytes of the version. A publication needs four to six: its copy, two indexes, what waits to be sent. But
Linux offers a sixteenth of the free memory to the host every two seconds (mm/page_reporting.c), and the rows come
first."""
RAW_NUMBER = 500_000_000
"""Receipts of the raw collections; no world comes as far."""


class Case(NamedTuple):
    """A batch.

    Attributes:
        deltas: of how many receipts.
        rows: of each.
    """

    deltas: int
    rows: int

    @property
    def total(self) -> int:
        """Rows of the batch."""
        return self.deltas * self.rows


@dataclass(kw_only=True)
class Comparison:
    """One case at one size.

    Attributes:
        size: rows in the collection before.
        measured: until the rows are published, or until a cycle's end, a round.
        completed: until the runs are COMPLETED.
        raw: what Chroma alone did beside it.
    """

    size: int
    case: Case
    measured: list[Timing] = field(default_factory=list)
    completed: list[Timing] = field(default_factory=list)
    raw: list[Timing] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Rows a second."""
        return statistics.median(timing.rate for timing in self.measured)

    @property
    def raw_rate(self) -> float:
        """Rows a second that Chroma alone takes."""
        return statistics.median(timing.rate for timing in self.raw)

    @property
    def ratio(self) -> float:
        """Of the raw limit, until the rows are published."""
        return self._ratio(self.measured)

    @property
    def completed_ratio(self) -> float:
        """Of the raw limit, until the runs are COMPLETED."""
        return self._ratio(self.completed)

    def _ratio(self, timings: Sequence[Timing]) -> float:
        pairs = zip(timings, self.raw, strict=True)
        return statistics.median(timing.rate / beside.rate for timing, beside in pairs)


@dataclass(kw_only=True)
class Station:
    """Everything that was measured at one size of the collection."""

    size: int
    words: Comparison
    lines: Comparison
    ten: Comparison
    origin: Comparison
    slow: Comparison
    replays: list[float] = field(default_factory=list)
    """How many times faster than Chroma takes its rows a batch is that is delivered again."""
    lost_marks: list[float] = field(default_factory=list)
    """The same when the runs stand as PENDING again while the ledger holds them."""
    copied: list[float] = field(default_factory=list)
    """Bytes that a reader copied on a refresh, of the bytes of the version's directory."""
    directory_bytes: int = 0


@dataclass(kw_only=True)
class Measurements:
    """Takes them.

    Attributes:
        directory: for copies; on the disk of the worlds.
        base: the world that grows; every measurement is made in a fork of it.
        slow_s3: the address of an S3 whose connections are as slow as the real one's.
        words: rows of a word delta.
        lines: rows of a line delta.
        progress: told what begins.
    """

    directory: Path
    base: World
    slow_s3: str
    words: Case
    lines: Case
    ten: Case
    progress: Callable[[str], None]
    sync_threshold: int = SYNC_THRESHOLDS[0]

    @property
    def chunk_rows(self) -> int:
        """Rows of one raw call."""
        return min(CHUNK_ROWS, self.words.total)

    def grow(self, size: int) -> None:
        """Merge into the base until it has so many rows, in the largest batches that production takes."""
        merger = self.base.merger()
        have = 0 if not self._is_published() else self.base.pointer.count
        try:
            while have < size:
                self.progress(f"growing: {have:,} of {size:,} rows")
                batch = min(size - have, ROWS_AT_ONCE)
                sizes = [self.words.rows] * (batch // self.words.rows)
                references = self.base.record([*sizes, batch - sum(sizes)] if batch > sum(sizes) else sizes)
                merger.merge(references)
                self.base.require_completed(references)
                have += batch
        finally:
            merger.close()

    def settings(self) -> dict[int, float]:
        """Rows a second that Chroma alone takes, by sync threshold; the fastest is the raw limit from here on."""
        self.progress("Chroma alone, by sync threshold")
        collections = {threshold: self._raw(threshold) for threshold in SYNC_THRESHOLDS}
        timings: dict[int, list[Timing]] = {threshold: [] for threshold in SYNC_THRESHOLDS}
        try:
            for _ in range(SETTING_CHUNKS):
                for threshold, collection in collections.items():
                    timings[threshold].append(collection.insert(1, self.chunk_rows))
        finally:
            for collection in collections.values():
                collection.close()
        rates = {threshold: total(found).rate for threshold, found in timings.items()}
        self.sync_threshold = max(rates, key=lambda threshold: rates[threshold])
        return rates

    def station(self, rounds: int, *, everything: bool) -> Station:
        """Measure at the base's size.

        Args:
            rounds: times over.
            everything: False takes what the plot shows.
        """
        size = self.base.pointer.count
        station = Station(
            size=size,
            words=Comparison(size=size, case=self.words),
            lines=Comparison(size=size, case=self.lines),
            ten=Comparison(size=size, case=self.ten),
            origin=Comparison(size=size, case=self.ten),
            slow=Comparison(size=size, case=self.words),
            directory_bytes=_bytes_of(self.base.version),
        )
        for number in range(rounds):
            self.progress(f"{size:,} rows, round {number + 1} of {rounds}")
            raw = self._raw(self.sync_threshold)
            try:
                with self._forked() as (world, merger):
                    self._compare(station.ten, raw, lambda world=world, merger=merger: merged(world, merger, self.ten))
                    if everything:
                        self._compare(
                            station.lines, raw, lambda world=world, merger=merger: merged(world, merger, self.lines)
                        )
                    with reading(world) as reader:
                        references = self._compare(
                            station.words, raw, lambda world=world, merger=merger: merged(world, merger, self.words)
                        )
                        station.copied.append(reader())
                    if everything:
                        alone = self.words.total / station.words.raw[-1].rate
                        station.replays.append(alone / delivered(merger, references))
                        world.lose_marks(references)
                        station.lost_marks.append(alone / delivered(merger, references))
                        world.require_completed(references)
                self._origin(station.origin, raw)
            finally:
                raw.close()
        if everything:
            self._slow(station.slow)
        return station

    def memory(self) -> Memory:
        """Of a merge of word deltas at the base's size."""
        self.progress(f"{self.base.pointer.count:,} rows, memory")
        world = self.base.fork()
        try:
            return measure_memory(world, world.record([self.words.rows] * self.words.deltas))
        finally:
            world.remove()

    def _slow(self, comparison: Comparison) -> None:
        self.progress(f"{comparison.size:,} rows, S3 at its own pace")
        raw = self._raw(self.sync_threshold)
        try:
            with self._forked(self.slow_s3) as (world, merger):
                self._compare(comparison, raw, lambda: merged(world, merger, self.words))
        finally:
            raw.close()

    def _origin(self, comparison: Comparison, raw: RawCollection) -> None:
        cycle = OriginCycle(self._records(), self.directory / "origin", self.base.s3, self.base.name)
        receipts = Receipts(self.base.dimensions, number=2 * RAW_NUMBER)
        try:
            deltas = [receipts.delta(self.ten.rows) for _ in range(self.ten.deltas)]
            self._compare(comparison, raw, lambda: Merged(cycle.run(deltas), None, []))
        finally:
            cycle.close()

    def _compare(
        self,
        comparison: Comparison,
        raw: RawCollection,
        measure: Callable[[], "Merged"],
    ) -> list[RunReference]:
        """Measure with raw insertion before and after; as many rows in all."""
        chunks = max(1, round(comparison.case.total / 2 / self.chunk_rows))
        settle_memory(SETTLED * _bytes_of(self.base.version))
        before = raw.insert(chunks, self.chunk_rows)
        merged = measure()
        comparison.raw.append(total([before, raw.insert(chunks, self.chunk_rows)]))
        comparison.measured.append(merged.published)
        if merged.completed is not None:
            comparison.completed.append(merged.completed)
        return merged.references

    def _records(self) -> Path:
        """The base's rows with a record each, made once a version."""
        version = self.base.version
        return one_record_a_row(version, self.directory / f"records-{version.name}", self.base.dimensions)

    def _raw(self, sync_threshold: int) -> RawCollection:
        return RawCollection(
            self._records(),
            self.directory / f"raw-{sync_threshold}",
            Receipts(self.base.dimensions, number=RAW_NUMBER),
            sync_threshold=sync_threshold,
        )

    @contextmanager
    def _forked(self, s3_endpoint: str | None = None) -> Iterator[tuple[World, CollectionMerger]]:
        """A fork with a merger that is warm: it has merged and published one delta."""
        world = self.base.fork(s3_endpoint)
        merger = world.merger()
        try:
            merger.merge(world.record([self.lines.rows]))
            yield world, merger
        finally:
            merger.close()
            world.remove()

    def _is_published(self) -> bool:
        return (self.base.root / self.base.collection / "CURRENT").exists()


class Merged(NamedTuple):
    """A batch that was merged, or a cycle, which has nothing to complete."""

    published: Timing
    completed: Timing | None
    references: list[RunReference]


class PublicationClock(logging.Handler):
    """Hears of publications in the log, as whoever operates the function does."""

    def __init__(self) -> None:
        super().__init__()
        self.last = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Note the time of a publication, of ``time.perf_counter``."""
        if record.getMessage() == "published":
            self.last = time.perf_counter()


def merged(world: World, merger: CollectionMerger, case: Case) -> Merged:
    """A batch of new runs: deltas read from S3, merged, checked, published to the directory and S3, runs COMPLETED."""
    references = world.record([case.rows] * case.deltas)
    clock = PublicationClock()
    publishing.logger.setLevel(logging.INFO)
    publishing.logger.addHandler(clock)
    try:
        start = time.perf_counter()
        merger.merge(references)
        end = time.perf_counter()
    finally:
        publishing.logger.removeHandler(clock)
    world.require_completed(references)
    if not start < clock.last < end:
        raise RuntimeError("the merge published nothing")
    return Merged(
        Timing(rows=case.total, seconds=clock.last - start), Timing(rows=case.total, seconds=end - start), references
    )


def delivered(merger: CollectionMerger, references: Sequence[RunReference]) -> float:
    """Seconds that the merger takes for runs that are delivered to it again."""
    start = time.perf_counter()
    merger.merge(references)
    return time.perf_counter() - start


@contextmanager
def reading(world: World) -> Iterator[Callable[[], float]]:
    """A reader of the directory that has the current version open.

    Yields:
        What refreshes it and gives the bytes that it then holds for itself, of the bytes of the version's directory.
        A file that is linked to the version, hard or by name, holds none.
    """
    private = world.directory / "reader"
    source = SnapshotSource.from_directory(
        world.collection, collections_directory=world.root, private_directory=private
    )

    def refreshed() -> float:
        before = source.refresh()
        if before is None or before.count != world.pointer.count:
            raise RuntimeError("the reader has not found the published version")
        own = sum(
            path.stat().st_size
            for path in private.rglob("*")
            if path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1
        )
        return own / _bytes_of(world.version)

    try:
        source.refresh()
        yield refreshed
    finally:
        source.close()


def _bytes_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
