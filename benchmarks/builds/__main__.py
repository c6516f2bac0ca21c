"""``python -m benchmarks.builds``: this build beside an older one and Chroma alone, on the same receipts, in turn.

Each figure is that of this build, that of the older one, their ratio, and how often faster than Chroma's upsert of the
same rows this build is. Machines differ, so only ratios mean
something. At full size (70,000 word rows or 34,000 line rows of 1,536 dimensions) the growth takes most of the time.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.builds import process, scores
from benchmarks.builds.checkout import REPOSITORY, export_commit
from benchmarks.builds.raw import Raw
from benchmarks.builds.workload import Size, Workload, write_workload
from benchmarks.compaction.memory import LOOK_SECONDS, arguments, family, resident

OLDER = "9af5f40"
"""The last commit whose collections have one index record for each row, repeated texts too."""
ROWS, DELTA_ROWS = {"words": 70_000, "lines": 34_000}, {"words": 150, "lines": 35}
DIMENSIONS, BATCHES, QUERIES, ROUNDS = 1_536, (100, 10), 500, 3
MEGABYTE = 1e6
STOP_SECONDS = 60.0
UNTIL = ("published", "completed")


class Running:
    """One build, in its process.

    Args:
        root: of its checkout.
        workload: the directory of the files.
        directory: its own.
    """

    def __init__(self, root: Path, workload: Path, directory: Path) -> None:
        directory.mkdir()
        self._process = subprocess.Popen(
            [sys.executable, str(Path(process.__file__)), str(root), str(workload), str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=root,
            # For the processes that the build starts: without it they would find this build, which is installed.
            env=os.environ | {"PYTHONPATH": str(root)},
            text=True,
        )

    def do(self, command: str, **arguments: str) -> dict[str, Any]:
        """Have the build do something and wait for its answer."""
        requests, answers = self._process.stdin, self._process.stdout
        if requests is None or answers is None:
            raise ValueError("the build has pipes")
        requests.write(json.dumps({"do": command, **arguments}) + "\n")
        requests.flush()
        if not (answer := answers.readline()):
            raise RuntimeError(f"the build ended while it was to {command}; its error is above")
        return json.loads(answer)

    def memory(self, group: str) -> int:
        """Most bytes that a merge of one group has resident with the processes that it starts.

        Looked at from here, so that every build is measured alike.
        """
        peak, ended = 0, threading.Event()

        def look() -> None:
            nonlocal peak
            while not ended.wait(LOOK_SECONDS):
                for one in family(self._process.pid):
                    if process.MEMORY_MODULE in arguments(one):
                        peak = max(peak, resident(one))
                        break

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            self.do("memory", group=group)
        finally:
            ended.set()
            watcher.join()
        return peak

    def close(self) -> None:
        """End it; it stops its services when its input ends."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()


@contextmanager
def running(commit: str, workload: Path, directory: Path) -> Iterator[dict[str, Running]]:
    """Both builds, ``this`` and ``older``, until the ``with`` block ends."""
    with ExitStack() as stopping:
        builds: dict[str, Running] = {}
        roots = {"older": export_commit(commit, directory / "checkout"), "this": REPOSITORY}
        for name, root in roots.items():
            builds[name] = Running(root, workload, directory / name)
            stopping.callback(builds[name].close)
        yield builds


def measure(
    builds: dict[str, Running], raw: Raw, workload: Workload, size: Size, rounds: int
) -> dict[str, dict[str, float]]:
    """Every figure, by its name and then by build."""
    groups = [f"{count} deltas" for count in size.batches]
    found: dict[str, dict[str, float]] = {}

    def note(figure: str, name: str, value: float) -> None:
        found.setdefault(figure, {})[name] = value

    for name, build in builds.items():
        grown = build.do("grow")
        note("seconds to grow the collection", name, grown["seconds"])
        note("MB of a version", name, grown["bytes"] / MEGABYTE)
        answers = build.do("ask")
        note("share of rare texts not found by their own vector", name, scores.missed(workload, answers["own"]))
        note("recall@10, misspelt queries", name, scores.recall(workload, answers["misspelt"]))
        note("milliseconds a query", name, answers["milliseconds"])
    raw.grow()
    timings: dict[tuple[str, str, str], list[float]] = {}
    for number in range(rounds):
        for group in groups:
            # In turn, each first as often as second: a shared machine is slow for seconds at a time.
            for name in sorted(builds, reverse=bool(number % 2)):
                for until, seconds in builds[name].do("merge", group=group).items():
                    timings.setdefault((group, until, name), []).append(seconds)
            alone = raw.upsert(group)
            for until in UNTIL:
                timings.setdefault((group, until, "raw"), []).append(alone)
    for (group, until, name), seconds in timings.items():
        note(f"seconds until {group} are {until}", name, statistics.median(seconds))
    for name, build in builds.items():
        note("MB of memory, merge and check", name, build.memory(groups[0]) / MEGABYTE)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.builds", description=__doc__)
    parser.add_argument("--older", default=OLDER, help="the commit to compare with")
    parser.add_argument("--collection", choices=sorted(ROWS), default="words")
    parser.add_argument("--rows", type=int, help="rows of the collection; 70,000 words or 34,000 lines")
    parser.add_argument("--dimensions", type=int, default=DIMENSIONS)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, help="deltas of each measured batch")
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--with-noise", action="store_true", help="keep rows without a letter or digit")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    options = parser.parse_args()
    size = Size(
        collection=options.collection,
        rows=options.rows or ROWS[options.collection],
        dimensions=options.dimensions,
        delta_rows=DELTA_ROWS[options.collection],
        batches=tuple(options.batches),
        queries=options.queries,
        with_noise=options.with_noise,
    )
    with tempfile.TemporaryDirectory() as temporary:
        files = Path(temporary) / "workload"
        files.mkdir()
        workload = write_workload(size, files)
        with running(options.older, files, Path(temporary)) as builds:
            own = Path(temporary) / "raw"
            own.mkdir()
            found = measure(builds, Raw(process.Files(files), own), workload, size, options.rounds)
    if options.json:
        print(json.dumps({"older": options.older, "size": asdict(size), "figures": found}, indent=1))
        return
    distinct = len(set(workload.grown.tolist()))
    title = f"{size.rows:,} rows of {size.collection}, {distinct:,} texts, {size.dimensions:,} dimensions"
    table = Table("figure", "this build", options.older, "ratio", "raw / this build", title=title, title_justify="left")
    for figure, values in found.items():
        ratio = f"{values['this'] / values['older']:.2f}" if values["older"] else ""
        raw = f"{values['raw'] / values['this']:.2f}" if "raw" in values else ""
        table.add_row(figure, f"{values['this']:.3g}", f"{values['older']:.3g}", ratio, raw)
    Console().print(table)


if __name__ == "__main__":
    main()
