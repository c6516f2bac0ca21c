"""``python -m benchmarks.function_memory``: the peak memory of each host beside what the program declares for it.

Two parts, ``--only hosts`` and ``--only merges``; about ten minutes each. The exit code is 1 when a declared
memory is below ``MARGIN`` times the peak, or when a host was never seen.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.function_memory.hosts import declared_megabytes, peaks
from benchmarks.function_memory.merges import SIZES, Merge, fit, measure_merges

MARGIN = 1.25
RECEIPTS, DIMENSIONS = 60, 1_536
MERGE = "compaction-merge"
MEBIBYTE = 1024**2


def too_small(declared: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    """The hosts of those seen whose declared MiB are below ``MARGIN`` times the bytes of their peak. Pure."""
    return [name for name, peak in found.items() if declared[name] * MEBIBYTE < MARGIN * peak]


def hosts_table(declared: Mapping[str, int], found: Mapping[str, int]) -> Table:
    """Every host that was seen."""
    table = Table("host", "peak, MiB", "declared, MiB", "share", title="hosts", title_justify="left")
    for name, peak in sorted(found.items()):
        megabytes = peak / MEBIBYTE
        table.add_row(name, f"{megabytes:,.0f}", f"{declared[name]:,}", f"{megabytes / declared[name]:.2f}")
    return table


def merges_table(declared: int, merges: Sequence[Merge]) -> Table:
    """Every size."""
    table = Table("texts", "peak, MiB", "share", title="merges", title_justify="left")
    for merge in merges:
        megabytes = merge.peak / MEBIBYTE
        table.add_row(f"{merge.texts:,}", f"{megabytes:,.0f}", f"{megabytes / declared:.2f}")
    return table


def conclusion(declared: int, merges: Sequence[Merge]) -> str:
    """What the line through the merges says of the declared memory."""
    line = fit(merges)
    return (
        f"{line.fixed / MEBIBYTE:,.0f} MiB and {line.a_text / 1024:.1f} KiB a text, at most {line.farthest:.1%} off. "
        f"{declared:,} MiB suffice for {line.texts(declared):,} texts, with a margin of {MARGIN} for "
        f"{line.texts(declared / MARGIN):,}"
    )


def main() -> int:
    """Measure, print, and say by the exit code whether each host has its margin."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.function_memory", description=__doc__)
    parser.add_argument("--only", choices=("hosts", "merges"), help="one of the two parts")
    parser.add_argument("--receipts", type=int, default=RECEIPTS, help="uploaded to each of the two consumers")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="texts before a merge; at least two sizes")
    parser.add_argument("--dimensions", type=int, default=DIMENSIONS, help="numbers a vector")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    if len(set(options.sizes)) < 2:  # noqa: PLR2004 - a line needs two points
        parser.error("--sizes needs at least two different sizes")
    console = Console(width=110)
    declared = declared_megabytes()
    found: dict[str, int] = {}
    merges: list[Merge] = []
    with tempfile.TemporaryDirectory() as directory:
        if options.only != "merges":
            found = peaks(Path(directory) / "stack", receipts=options.receipts, dimensions=options.dimensions)
            console.print(hosts_table(declared, found))
        if options.only != "hosts":
            merges = measure_merges(
                Path(directory) / "merges",
                options.sizes,
                options.dimensions,
                lambda text: print(text, file=sys.stderr),
            )
            console.print(merges_table(declared[MERGE], merges), conclusion(declared[MERGE], merges), sep="\n")
    small = too_small(declared, found)
    small += [f"{MERGE} at {merge.texts:,} texts" for merge in merges if too_small(declared, {MERGE: merge.peak})]
    unseen = sorted(declared.keys() - found.keys()) if options.only != "merges" else []
    if unseen:
        console.print(f"never seen: {', '.join(unseen)}")
    if small:
        console.print(f"less than {MARGIN} times the peak: {', '.join(small)}")
    if options.json:
        figures = {"declared": declared, "peaks": found, "merges": [asdict(merge) for merge in merges]}
        options.json.write_text(json.dumps(figures, indent=1))
    return int(bool(small or unseen))


if __name__ == "__main__":
    sys.exit(main())
