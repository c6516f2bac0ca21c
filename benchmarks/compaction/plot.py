"""The merge rate against the size of the collection, as a picture."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.compaction.measurements import Comparison, Station

INCHES = (11, 5)
DOTS_AN_INCH = 150
SERIES = {
    "Chroma's upsert alone": ("#555555", "o", "--"),
    "100 word deltas, merged and published": ("#1b6ca8", "s", "-"),
    "10 word deltas, merged and published": ("#2a9d54", "^", "-"),
    "the origin's cycle, 10 messages": ("#c0392b", "D", "-"),
}


def draw(stations: Sequence[Station], dimensions: int, output: Path) -> None:
    """Write the PNG: rows a second on the left, ratios to Chroma alone on the right.

    Args:
        stations: by size.
        dimensions: numbers a vector.
        output: the file; its directory is made.
    """
    mpl.use("Agg")
    sizes = [station.size for station in stations]
    merges: list[list[Comparison]] = [
        [station.words for station in stations],
        [station.ten for station in stations],
        [station.origin for station in stations],
    ]
    figure = Figure(figsize=INCHES, dpi=DOTS_AN_INCH, layout="constrained")
    rates, ratios = figure.subplots(1, 2)
    values = [[station.words.raw_rate for station in stations], *([one.rate for one in each] for each in merges)]
    for (label, (color, marker, line)), heights in zip(SERIES.items(), values, strict=True):
        rates.plot(sizes, heights, label=label, color=color, marker=marker, linestyle=line)
    for (label, (color, marker, line)), each in zip(list(SERIES.items())[1:], merges, strict=True):
        ratios.plot(sizes, [one.ratio for one in each], label=label, color=color, marker=marker, linestyle=line)
    ratios.axhline(1.0, color=SERIES["Chroma's upsert alone"][0], linestyle="--", label="Chroma's upsert alone")
    rates.set_ylabel("rows per second")
    ratios.set_ylabel("ratio to Chroma's upsert alone, measured beside it")
    rates.set_title("Rate")
    ratios.set_title("Ratio")
    for axes in (rates, ratios):
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.set_xlabel(f"rows in the collection before, {dimensions:,} dimensions (logarithmic)")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    rates.legend(loc="best", fontsize=8)
    figure.suptitle("Merging and publishing against the size of the collection")
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output)
