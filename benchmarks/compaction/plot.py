"""The merge rate against the size of the collection, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

INCHES = (11, 5)
DOTS_AN_INCH = 150
RAW = "Chroma's upsert alone"
COLORS = {RAW: ("#555555", "o"), "words": ("#1b6ca8", "s"), "ten": ("#2a9d54", "^"), "origin": ("#c0392b", "D")}
LABELS = {
    "words": "100 word deltas, merged and published",
    "ten": "10 word deltas, merged and published",
    "origin": "the origin's cycle, 10 messages",
}
OLDER = ("words", "ten")
"""What is drawn of an older build as well, dotted: it ran beside a raw upsert of its own."""

Curve = Sequence[Mapping[str, Any]]
"""Of a report's document, by size."""


def draw(curve: Curve, dimensions: int, output: Path, older: Curve = ()) -> None:
    """Write the PNG: rows a second on the left, ratios to Chroma alone on the right.

    Args:
        curve: of this build.
        dimensions: numbers a vector.
        output: the file; its directory is made.
        older: of another build's report.
    """
    mpl.use("Agg")
    figure = Figure(figsize=INCHES, dpi=DOTS_AN_INCH, layout="constrained")
    rates, ratios = figure.subplots(1, 2)
    sizes = [station["rows"] for station in curve]
    color, marker = COLORS[RAW]
    rates.plot(
        sizes, [station["words"]["raw_rate"] for station in curve], label=RAW, color=color, marker=marker, ls="--"
    )
    ratios.axhline(1.0, color=color, linestyle="--", label=RAW)
    for name, label in LABELS.items():
        _line(rates, curve, name, "rate", label=label, style="-")
        _line(ratios, curve, name, "ratio", label=label, style="-")
    for name in OLDER if older else ():
        _line(rates, older, name, "rate", label=f"{LABELS[name]}: one record a row", style=":")
        _line(ratios, older, name, "ratio", label=f"{LABELS[name]}: one record a row", style=":")
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


def _line(axes: Any, curve: Curve, name: str, figure: str, *, label: str, style: str) -> None:
    color, marker = COLORS[name]
    known = [station for station in curve if name in station]
    sizes, values = [station["rows"] for station in known], [station[name][figure] for station in known]
    axes.plot(sizes, values, label=label, color=color, marker=marker, linestyle=style)
