"""``python -m benchmarks.worker``: the ECS worker without its embedder's time, beside the build of a past commit.

Both builds take the same receipts from a queue of the local emulator, in turn, within one run: ratios carry over to
other machines, rates do not. The past build runs in a git worktree in a temporary directory, which is removed.

The emulator answers without a network, so a round on it is nearly all computing, the emulator's and boto3's, and shares
this machine's processors. The target is therefore for calls with a round trip; the ratio without one is printed too.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import worker_load
from benchmarks.compaction.object_server import free_port
from ops.local.emulator import Emulator
from pipeline.contracts.ocr import parse_ocr_document
from pipeline.embedding.embedders.request_plan import plan_requests

REPOSITORY = Path(__file__).resolve().parents[1]
BASELINE = "9af5f40"
"""The last commit whose worker took ten messages, embedded them, wrote them, and only then received again."""
REQUEST_DIMENSIONS = 8
"""The requests do not depend on the vectors' length."""
RECEIVE_LIMIT = 10
WANTED_REQUESTS_A_THOUSAND = 60
WANTED_RATIO = 2.0
ROUND_TRIP_SECONDS = 0.01
"""Of a call. A small request to S3 takes 100 to 200 ms (docs.aws.amazon.com/AmazonS3/latest/userguide/
optimizing-performance.html) and one to DynamoDB less than 10, so this flatters nobody."""
SECONDS_AT_MOST = 900


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Receipts a second, a round each, and the median of the rounds' ratios."""

    round_trip_seconds: float
    rates: list[float]
    baseline_rates: list[float]
    ratio: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured.

    Attributes:
        requests: embedding requests of today's worker for a thousand receipts; ``function_requests`` are those of
            batches of ten, as Lambda's mapping delivers them from a queue that never runs empty.
        networked: with a round trip for each call; ``local`` without one.
    """

    receipts: int
    requests: float
    function_requests: float
    baseline_requests: float
    networked: Rates
    local: Rates

    @property
    def is_reached(self) -> bool:
        """Whether both targets are reached."""
        return self.requests <= WANTED_REQUESTS_A_THOUSAND and self.networked.ratio >= WANTED_RATIO


@contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """The repository as it was at a commit, in a directory of its own."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "baseline"
        _git("worktree", "add", "--detach", "--quiet", str(path), commit)
        try:
            yield path
        finally:
            _git("worktree", "remove", "--force", str(path))


def measure(count: int, rounds: int, dimensions: int, request_count: int) -> Figures:
    """Run both builds in turn.

    Args:
        count: receipts of a round.
        rounds: of both builds each.
        dimensions: numbers a vector, in the rounds.
        request_count: receipts of the run that counts requests.
    """
    with tempfile.TemporaryDirectory() as directory, worktree(BASELINE) as baseline:
        emulator = Emulator(Path(directory), free_port())
        emulator.start()
        try:
            counted = _run(REPOSITORY, emulator.endpoint, request_count, REQUEST_DIMENSIONS, 0)
            counted_before = _run(baseline, emulator.endpoint, request_count, REQUEST_DIMENSIONS, 0)
            networked, local = (
                _rates(baseline, emulator.endpoint, rounds, count=count, dimensions=dimensions, round_trip=round_trip)
                for round_trip in (ROUND_TRIP_SECONDS, 0.0)
            )
        finally:
            emulator.stop()
    return Figures(
        receipts=count,
        requests=counted["requests"] * 1_000 / request_count,
        function_requests=_requests_of_batches(request_count) * 1_000 / request_count,
        baseline_requests=counted_before["requests"] * 1_000 / request_count,
        networked=networked,
        local=local,
    )


def _rates(baseline: Path, endpoint: str, rounds: int, *, count: int, dimensions: int, round_trip: float) -> Rates:
    rates, baseline_rates = [], []
    for _ in range(rounds):
        for build, found in ((baseline, baseline_rates), (REPOSITORY, rates)):
            found.append(count / _run(build, endpoint, count, dimensions, round_trip)["seconds"])
    return Rates(
        round_trip_seconds=round_trip,
        rates=rates,
        baseline_rates=baseline_rates,
        ratio=statistics.median(new / old for new, old in zip(rates, baseline_rates, strict=True)),
    )


def _run(build: Path, endpoint: str, count: int, dimensions: int, round_trip_seconds: float) -> dict[str, float]:
    answer = subprocess.run(
        [sys.executable, worker_load.__file__, endpoint, str(count), str(dimensions), str(round_trip_seconds)],
        # Before the installed project, which is today's build.
        env=os.environ | {"PYTHONPATH": str(build)},
        cwd=build,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=SECONDS_AT_MOST,
    )
    return json.loads(answer.stdout.splitlines()[-1])


def _requests_of_batches(count: int) -> int:
    texts = [_texts(content) for content in worker_load.receipts(count)]
    batches = [texts[start : start + RECEIVE_LIMIT] for start in range(0, count, RECEIVE_LIMIT)]
    return sum(
        len(list(plan_requests(list(dict.fromkeys(text for item in batch for text in item))))) for batch in batches
    )


def _texts(content: bytes) -> list[str]:
    lines = parse_ocr_document(content, "benchmark").receipts[0].lines
    return [line.text for line in lines] + [word.text for line in lines for word in line.words]


def _git(*arguments: str) -> None:
    subprocess.run(["git", "-C", str(REPOSITORY), *arguments], check=True, stdout=subprocess.DEVNULL)  # noqa: S607


def _listed(rates: list[float]) -> str:
    return ", ".join(f"{rate:.1f}" for rate in rates)


def main() -> int:
    """Measure and print; exit code 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--receipts", type=int, default=200, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dimensions", type=int, default=1_536)
    parser.add_argument("--request-receipts", type=int, default=1_000, help="of the run that counts requests")
    arguments = parser.parse_args()
    figures = measure(arguments.receipts, arguments.rounds, arguments.dimensions, arguments.request_receipts)
    if arguments.json:
        print(json.dumps(asdict(figures) | {"is_reached": figures.is_reached}))
    else:
        print(f"embedding requests for 1,000 receipts: {figures.requests:.0f}, wanted {WANTED_REQUESTS_A_THOUSAND}")
        print(f"  function {figures.function_requests:.0f}, worker at {BASELINE} {figures.baseline_requests:.0f}")
        for rates, wanted in ((figures.networked, f", wanted {WANTED_RATIO}"), (figures.local, "")):
            milliseconds = 1_000 * rates.round_trip_seconds
            print(f"receipts a second, calls of {milliseconds:.0f} ms more: {rates.ratio:.2f} of {BASELINE}{wanted}")
            print(f"  rounds {_listed(rates.rates)}; at {BASELINE} {_listed(rates.baseline_rates)}")
    return 0 if figures.is_reached else 1


if __name__ == "__main__":
    sys.exit(main())
