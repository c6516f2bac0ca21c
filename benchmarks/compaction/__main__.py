"""``make bench-compaction``: the merge beside Chroma's raw upsert, every figure a ratio within this one run.

It runs production's merger with its check in a child process, real Chroma, real clients of S3 and DynamoDB; what
stands for AWS is told in ``world.py``. At full size it takes half an hour and 15 GB of disk. Exit code 1 says that a
target was missed: people run this, the gate does not.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.compaction.measurements import Case, Measurements, Station
from benchmarks.compaction.memory import Memory
from benchmarks.compaction.plot import draw
from benchmarks.compaction.report import Report
from benchmarks.compaction.world import Services, World

ROWS, LARGE_ROWS, DIMENSIONS, ROUNDS = 70_000, 200_000, 1_536, 5
SIZES = (1_000, 10_000, 30_000)
DELTAS, FEW_DELTAS = 100, 10
WORDS_A_RECEIPT, LINES_A_RECEIPT = 150, 35
"""The 313 receipts of SROIE have 112 words in 53 pieces of lines on average,
27 to 235 words; the samples, written by hand, 45 words in 12 lines."""
SLOW_BYTES_A_SECOND = 85e6
"""One connection to S3 (docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-design-patterns.html: one
request for each 85 to 90 MB/s)."""
INTERRUPTED = 130
"""The exit code of a shell's command that Ctrl-C ended."""
OUTPUT = Path("build/compaction.png")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compaction", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of the collection that the targets are about")
    parser.add_argument("--large-rows", type=int, default=LARGE_ROWS, help="rows of the largest collection")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="smaller collections, for the plot")
    parser.add_argument("--dimensions", type=int, default=DIMENSIONS, help="numbers a vector")
    parser.add_argument("--deltas", type=int, default=DELTAS, help="deltas that are merged at once")
    parser.add_argument("--words", type=int, default=WORDS_A_RECEIPT, help="rows of a word delta")
    parser.add_argument("--lines", type=int, default=LINES_A_RECEIPT, help="rows of a line delta")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="times that each figure is measured")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where the plot is written, a PNG")
    parser.add_argument("--older", type=Path, help="an older build's --json, drawn into the plot as well")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    return parser.parse_args()


def measure(options: argparse.Namespace, directory: Path, progress: Progress) -> Report:
    """Grow a collection and measure on the way."""
    sizes = sorted({*(size for size in options.sizes if size < options.rows), options.rows, options.large_rows})
    steps = progress.add_task("starting", total=None)
    stations: list[Station] = []
    memories: list[Memory] = []
    rates: dict[int, float] = {}
    with Services(directory / "services", SLOW_BYTES_A_SECOND) as services:
        measurements = Measurements(
            directory=directory,
            base=World(
                directory=directory / "base",
                name="benchmark",
                dynamodb_endpoint=services.dynamodb,
                s3_endpoint=services.s3,
                dimensions=options.dimensions,
            ).create(),
            slow_s3=services.slow_s3,
            words=Case(options.deltas, options.words),
            lines=Case(options.deltas, options.lines),
            ten=Case(FEW_DELTAS, options.words),
            progress=lambda text: progress.update(steps, description=text),
        )
        progress.update(steps, total=len(sizes) + 3, completed=0)
        for size in sizes:
            measurements.grow(size)
            is_main = size == options.rows
            if is_main:
                rates = measurements.settings()
                progress.advance(steps)
            stations.append(measurements.station(options.rounds if is_main else 1, everything=is_main))
            progress.advance(steps)
            if size >= options.rows:
                memories.append(measurements.memory())
                progress.advance(steps)
    return Report(
        rows=options.rows,
        large_rows=options.large_rows,
        dimensions=options.dimensions,
        rounds=options.rounds,
        slow_bytes_a_second=SLOW_BYTES_A_SECOND,
        raw_by_sync_threshold=rates,
        stations=stations,
        memories=memories,
    )


def main() -> int:
    """Measure, draw, print.

    Returns:
        0 when every target was met, else 1.
    """
    options = arguments()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with (
        tempfile.TemporaryDirectory() as directory,
        Progress(*columns, console=Console(stderr=True)) as progress,
    ):
        report = measure(options, Path(directory), progress)
    document = report.document()
    older = json.loads(options.older.read_text())["curve"] if options.older else ()
    draw(document["curve"], report.dimensions, options.output, older)
    if options.json:
        print(json.dumps(document, indent=1))
    else:
        console = Console()
        console.print(report.table())
        console.print(f"The plot: {options.output}")
    return 0 if report.met else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
