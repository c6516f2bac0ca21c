"""The memory benchmark judges and extrapolates rightly: what it says too much of is killed in an account, at night."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.function_memory.__main__ import MERGE, too_small
from benchmarks.function_memory.hosts import WORKER, declared_megabytes
from benchmarks.function_memory.merges import Merge, fit

MEBIBYTE = 1024**2
REPOSITORY = Path(__file__).resolve().parents[1]


def test_a_host_needs_a_quarter_more_than_its_peak():
    declared = {"exact": 1_250, "short": 1_249, "unseen": 1}
    assert too_small(declared, {"exact": 1_000 * MEBIBYTE, "short": 1_000 * MEBIBYTE}) == ["short"]


def test_the_line_through_merges_tells_how_many_texts_a_memory_suffices_for():
    line = fit([Merge(texts=texts, peak=200 * MEBIBYTE + 30_000 * texts) for texts in (4_000, 8_000, 16_000)])
    assert line.fixed == pytest.approx(200 * MEBIBYTE)
    assert line.a_text == pytest.approx(30_000)
    assert line.farthest < 1e-9
    assert line.texts(3_008) == pytest.approx((3_008 - 200) * MEBIBYTE / 30_000, abs=1)
    assert line.texts(100) == 0
    bent = fit([Merge(texts=texts, peak=peak * MEBIBYTE) for texts, peak in ((1, 100), (2, 200), (3, 330))])
    assert bent.farthest == pytest.approx(5 / 100, rel=0.5)


def test_every_function_of_the_program_and_the_worker_is_declared():
    declared = declared_megabytes()
    # Pulumi.dev.yaml, and the components of the functions that have no setting.
    assert declared == {
        "upload-read-pictures": 2_048,
        "upload-process-ocr-results": 512,
        "embed-lambda": 1_024,
        "compaction-stream-processor": 512,
        "compaction-merge": 3_008,
        "worker-waiting": 256,
        WORKER: 4_096,
    }


@pytest.mark.long
def test_the_benchmark_measures_every_host_and_merges_and_says_whether_each_has_its_margin(tmp_path: Path):
    figures = tmp_path / "figures.json"
    options = ["--receipts=2", "--dimensions=16", "--sizes", "300", "600", f"--json={figures}"]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.function_memory", *options],
        cwd=REPOSITORY,
        check=False,
        capture_output=True,
        text=True,
    )
    assert figures.exists(), ended.stderr
    found = json.loads(figures.read_text())
    assert found["peaks"].keys() == found["declared"].keys()
    # A Python process that has imported boto3 has more than 30 MB; Chroma is in the merge.
    assert min(found["peaks"].values()) > 30 * MEBIBYTE
    assert found["peaks"][MERGE] > 150 * MEBIBYTE
    first, second = found["merges"]
    assert 300 < first["texts"] < second["texts"] < 3_600
    # A fork of the merge must not be larger than 16 dimensions can make it, nor smaller than Chroma alone.
    assert all(150 * MEBIBYTE < merge["peak"] < 1_000 * MEBIBYTE for merge in found["merges"])
    assert ended.returncode == 0, ended.stdout
