"""The compaction benchmark runs to its end and says everything. At this size its figures mean nothing."""

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PNG = b"\x89PNG\r\n\x1a\n"
OPTIONS = {"rows": 300, "large-rows": 300, "dimensions": 16, "deltas": 20, "words": 15, "lines": 4, "rounds": 1}
FIGURES = {
    "merge and publish of 20 word deltas": 4.0,
    "merge and publish of 20 line deltas": 2.0,
    "merge and publish of 10 word deltas": 2.0,
    "20 word deltas until COMPLETED": 3.0,
    "20 line deltas until COMPLETED": 1.5,
    "10 word deltas until COMPLETED": 1.2,
    "replay of 20 applied deltas, delivered again": 50,
    "replay of 20 applied deltas, marks lost": 50,
    "bytes that a reader copies on refresh": 0.2,
    "the origin's cycle, 10 messages": None,
    "20 word deltas until COMPLETED, 85 MB/s a connection": None,
    "Chroma alone, sync_threshold 1": None,
    "Chroma alone, sync_threshold 1000": None,
    "memory of a merge at 300 rows": None,
}


def test_the_compaction_benchmark_gives_every_figure_and_a_plot(tmp_path: Path):
    plot = tmp_path / "made" / "plot.png"
    options = [f"--{name}={value}" for name, value in OPTIONS.items()]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.compaction", *options, "--sizes", "--json", f"--output={plot}"],
        cwd=REPOSITORY,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode in {0, 1}, ended.stderr
    assert ended.stdout, ended.stderr
    document = json.loads(ended.stdout)
    assert {figure["name"]: figure["target"] for figure in document["figures"]} == FIGURES
    # A reader that scans exactly copies nothing.
    assert all(figure["value"] >= 0 for figure in document["figures"])
    assert document["met"] is (ended.returncode == 0)
    assert [point["rows"] for point in document["curve"]] == [300]
    assert {"words", "lines", "ten", "origin"} < document["curve"][0].keys()
    assert document["memory"][0]["rows"] == 300
    assert plot.read_bytes().startswith(PNG)
