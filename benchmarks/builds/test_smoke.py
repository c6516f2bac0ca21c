"""Both builds do the same work, each with its own code. At this size the figures mean nothing."""

import json
import subprocess
import sys

import pytest

from benchmarks.builds.__main__ import OLDER
from benchmarks.builds.checkout import REPOSITORY

OPTIONS = ["--rows=300", "--dimensions=32", "--batches", "4", "2", "--queries=40", "--rounds=1", "--json"]


@pytest.mark.skipif(
    subprocess.run(["git", "cat-file", "-e", OLDER], cwd=REPOSITORY, check=False, capture_output=True).returncode != 0,  # noqa: S607
    reason=f"this clone does not have commit {OLDER}",
)
@pytest.mark.parametrize("collection", ["words", "lines"])
def test_both_builds_give_every_figure(collection: str):
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.builds", f"--collection={collection}", *OPTIONS],
        cwd=REPOSITORY,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)["figures"]
    assert {name for name in figures if name.startswith("seconds until")} == {
        f"seconds until {count} deltas are {until}" for count in (4, 2) for until in ("published", "completed")
    }
    for name, values in figures.items():
        assert set(values) == {"older", "this"} | ({"raw"} if name.startswith("seconds until") else set())
    assert all(values["this"] >= 0 for values in figures.values())
    assert figures["recall@10, misspelt queries"]["older"] > 0.5
