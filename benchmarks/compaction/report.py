"""What was measured beside what is wanted: figures, a table for people, a document for programs."""

import os
import platform
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from benchmarks.compaction.measurements import Comparison, Station
from benchmarks.compaction.memory import Memory

WORDS_TARGET, LINES_TARGET, TEN_TARGET = 4.0, 2.0, 2.0
WORDS_COMPLETED_TARGET, LINES_COMPLETED_TARGET, TEN_COMPLETED_TARGET = 3.0, 1.5, 1.2
REPLAY_TARGET = 50.0
COPIED_TARGET = 0.2
MEGABYTE = 1e6


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number.

    Attributes:
        name: what it is.
        value: in ``unit``.
        target: what is wanted; None where nothing is.
        at_least: whether the target is a lower limit; else it is an upper one.
        remark: what it was made of.
    """

    name: str
    value: float
    unit: Literal["of raw", "times", "of the directory", "rows/s", "MB"]
    target: float | None = None
    at_least: bool = True
    remark: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything of one run.

    Attributes:
        rows, large_rows, dimensions, rounds: as asked for.
        raw_by_sync_threshold: rows a second that Chroma alone takes at ``rows``.
        stations: by size, the one of ``rows`` measured in full.
        memories: at ``rows`` and at ``large_rows``.
    """

    rows: int
    large_rows: int
    dimensions: int
    rounds: int
    slow_bytes_a_second: float
    raw_by_sync_threshold: dict[int, float]
    stations: Sequence[Station]
    memories: Sequence[Memory]

    @property
    def main(self) -> Station:
        """The station that the targets are about."""
        return next(station for station in self.stations if station.size == self.rows)

    def figures(self) -> list[Figure]:
        """In the order of the targets, then what has none."""
        main, many = self.main, self.main.words.case.deltas
        return [
            _ratio(f"merge and publish of {many} word deltas", main.words, WORDS_TARGET),
            _ratio(f"merge and publish of {many} line deltas", main.lines, LINES_TARGET),
            _ratio("merge and publish of 10 word deltas", main.ten, TEN_TARGET),
            _completed(f"{many} word deltas until COMPLETED", main.words, WORDS_COMPLETED_TARGET),
            _completed(f"{many} line deltas until COMPLETED", main.lines, LINES_COMPLETED_TARGET),
            _completed("10 word deltas until COMPLETED", main.ten, TEN_COMPLETED_TARGET),
            Figure(
                name=f"replay of {many} applied deltas, delivered again",
                value=_median(main.replays),
                unit="times",
                target=REPLAY_TARGET,
                remark="faster than Chroma alone takes the same rows",
            ),
            Figure(
                name=f"replay of {many} applied deltas, marks lost",
                value=_median(main.lost_marks),
                unit="times",
                target=REPLAY_TARGET,
                remark="the same, all runs PENDING again: two writes to DynamoDB a run",
            ),
            Figure(
                name="bytes that a reader copies on refresh",
                value=_median(main.copied),
                unit="of the directory",
                target=COPIED_TARGET,
                at_least=False,
                remark=f"directory of {main.directory_bytes / MEGABYTE:,.0f} MB",
            ),
            _ratio("the origin's cycle, 10 messages", main.origin),
            _completed(
                f"{many} word deltas until COMPLETED, {self.slow_bytes_a_second / MEGABYTE:.0f} MB/s a connection",
                main.slow,
            ),
            *(
                Figure(name=f"Chroma alone, sync_threshold {threshold}", value=rate, unit="rows/s")
                for threshold, rate in self.raw_by_sync_threshold.items()
            ),
            *(
                Figure(
                    name=f"memory of a merge at {memory.rows:,} rows",
                    value=memory.peak / MEGABYTE,
                    unit="MB",
                    remark=f"{memory.started / MEGABYTE:,.0f} imported, {memory.opened / MEGABYTE:,.0f} opened; "
                    f"{memory.peak_with_check / MEGABYTE:,.0f} at most with the check's process",
                )
                for memory in self.memories
            ),
        ]

    @property
    def met(self) -> bool:
        """Whether no target was missed."""
        return all(figure.met is not False for figure in self.figures())

    def document(self) -> dict[str, Any]:
        """All of it, for a program; rates in rows a second, memory and directories in bytes."""
        return {
            "machine": {
                "processors": os.cpu_count(),
                "system": platform.platform(),
                "python": platform.python_version(),
                "chromadb": version("chromadb"),
                "sqlite": sqlite3.sqlite_version,
            },
            "rows": self.rows,
            "large_rows": self.large_rows,
            "dimensions": self.dimensions,
            "rounds": self.rounds,
            "met": self.met,
            "figures": [asdict(figure) | {"met": figure.met} for figure in self.figures()],
            "curve": [
                {"rows": station.size, "directory_bytes": station.directory_bytes}
                | {
                    name: _document(comparison)
                    for name, comparison in _comparisons(station).items()
                    if comparison.measured
                }
                for station in self.stations
            ],
            "memory": [asdict(memory) for memory in self.memories],
        }

    def table(self) -> Table:
        """The figures for people."""
        title = f"{self.rows:,} rows of {self.dimensions:,} dimensions"
        table = Table("figure", "", "target", "", title=title, title_justify="left")
        for figure in self.figures():
            name = Text(figure.name).append(f"\n{figure.remark}" if figure.remark else "", style="dim")
            table.add_row(name, _shown(figure), _target(figure), _verdict(figure.met))
        return table


def _comparisons(station: Station) -> dict[str, Comparison]:
    return {
        "words": station.words,
        "lines": station.lines,
        "ten": station.ten,
        "origin": station.origin,
        "slow": station.slow,
    }


def _document(comparison: Comparison) -> dict[str, Any]:
    return {
        "rate": comparison.rate,
        "raw_rate": comparison.raw_rate,
        "ratio": comparison.ratio,
        "ratios": [a.rate / b.rate for a, b in zip(comparison.measured, comparison.raw, strict=True)],
        "seconds": [timing.seconds for timing in comparison.measured],
        "completed_seconds": [timing.seconds for timing in comparison.completed],
        "rows": comparison.case.total,
    }


def _ratio(name: str, comparison: Comparison, target: float | None = None) -> Figure:
    return Figure(
        name=name,
        value=comparison.ratio,
        unit="of raw",
        target=target,
        remark=f"{comparison.case.total:,} rows; {comparison.rate:,.0f} of {comparison.raw_rate:,.0f} rows/s",
    )


def _completed(name: str, comparison: Comparison, target: float | None = None) -> Figure:
    return Figure(target=target, name=name, value=comparison.completed_ratio, unit="of raw", remark="in S3 as well")


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _shown(figure: Figure) -> str:
    digits = 0 if figure.unit in {"rows/s", "MB", "times"} else 2
    return f"{figure.value:,.{digits}f} {figure.unit}"


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return f"{'at least' if figure.at_least else 'at most'} {figure.target:g}"


def _verdict(met: bool | None) -> Text:
    if met is None:
        return Text("")
    return Text("met", style="green") if met else Text("missed", style="bold red")
