"""The large benchmark, small: everything is scanned exactly then, so its answers must be right."""

import json
import subprocess
import sys

from benchmarks.builds.checkout import REPOSITORY

TEXTS = 400


def test_a_collection_is_filled_checked_and_asked():
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.recall", f"--texts={TEXTS}", "--dimensions=32", "--queries=9", "--json"],
        cwd=REPOSITORY,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert (found["texts"], found["asked"], found["lost"], found["recall_at_ten"]) == (TEXTS, 9, 0, 1.0)
    assert found["scanned"]
    assert found["parameters"] is not None
    assert found["proposed_recall_at_ten"] >= 0.98
