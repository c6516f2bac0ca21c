"""The real worker process, frozen past its visibility, stopped and killed in every phase, beside its successor.

A failure loses a receipt, applies one twice, turns the versions of a receipt round, or ends in an exit code that no
document explains. ``WORKER_SIGNALS`` sets how many there are: a few in the gate, every phase with ``make torture``.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import pytest

from compaction_worker.worker import EXIT_MEANINGS
from pipeline.contracts.identifiers import COLLECTIONS
from pipeline.contracts.messages import EmbedMessage
from pipeline.contracts.ocr import parse_ocr_document
from pipeline.contracts.run import RunState
from pipeline.deltas import read_delta
from pipeline.queues import OutgoingMessage, send_batch
from tests.embedding.openai_api import FakeOpenAiApi, serve
from tests.stages.signals.trap import PHASES, Phase, Trap, proxy
from tests.world import World, create_queue, emulator_clients
from upload_images.export import export_receipt

REPOSITORY = Path(__file__).resolve().parents[3]
COUNT = int(os.environ.get("WORKER_SIGNALS", "2"))
"""Signals: 2 in the gate; 36 are every phase, moment and signal once."""
AT_ONCE = 4
VISIBILITY_SECONDS = 4
MODEL, DIMENSIONS = "text-embedding-3-small", 64
RECEIPTS, VERSIONS = 3, 3

Case = tuple[Phase, Literal["before", "after"], signal.Signals]
FIRST: list[Case] = [
    ("embedding", "after", signal.SIGSTOP),
    ("writing", "before", signal.SIGTERM),
]
"""Those of the gate: a freeze with vectors that somebody else makes as well, and a stop with work in hand."""
MOMENTS: tuple[Literal["before", "after"], ...] = ("before", "after")
EVERY: list[Case] = [
    *FIRST,
    *(
        case
        for case in itertools.product(PHASES, MOMENTS, (signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL))
        if case not in FIRST
    ),
]


@pytest.fixture(scope="module")
def api() -> Iterator[FakeOpenAiApi]:
    with serve() as running:
        yield running


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What became of one case; all but the exit codes must be 0."""

    exit_codes: tuple[int, int]
    lost: int = 0
    doubled: int = 0
    turned_round: int = 0
    without_delta: int = 0
    failed: int = 0
    left: int = 0
    parked: int = 0


class WorkerWorld(World):
    """What one case has to itself: a queue, a table and a bucket, all of one name, and receipts to embed."""

    def __init__(self, endpoint: str, api: FakeOpenAiApi, directory: Path) -> None:
        self.endpoint, self.api, self.directory = endpoint, api, directory
        self.name = f"signals-{uuid4().hex[:8]}"
        super().__init__(clients=emulator_clients(endpoint), table=self.name, bucket=self.name)
        self.create()
        self.dead, self.queue = (
            create_queue(self.sqs, f"{self.name}-{name}.fifo", VisibilityTimeout=str(VISIBILITY_SECONDS))
            for name in ("dead", "embed")
        )
        self.secret = self.clients("secretsmanager").create_secret(Name=self.name, SecretString="key")["ARN"]
        self.images = [str(uuid4()) for _ in range(RECEIPTS)]
        self.sent: list[EmbedMessage] = []

    def send(self) -> None:
        """Versions of some receipts, in the order of their events; the first one of each is delivered twice."""
        moment = datetime(2026, 1, 2, tzinfo=UTC)
        row = {"confidence": 1.0, "bounding_box": {"x": 0.1, "y": 0.1, "width": 0.8, "height": 0.05}}
        for _, version in itertools.product([0], range(VERSIONS)):
            for receipt in range(RECEIPTS):
                image = self.images[receipt]
                lines = [{"line_id": 1, "text": f"RECEIPT {receipt} VERSION {version}", **row}]
                content = {"image_id": image, "receipts": [{"receipt_id": 1, "lines": lines}]}
                document = parse_ocr_document(json.dumps(content).encode(), "case")
                export = export_receipt(
                    document,
                    document.receipts[0],
                    bucket=self.name,
                    embedding_model=MODEL,
                    dimensions=DIMENSIONS,
                    uploaded_at=moment + timedelta(minutes=version),
                )
                for artifact in export.artifacts:
                    self.s3.put_object(Bucket=self.name, Key=artifact.key, Body=artifact.content)
                self.sent.append(export.message)
                send_batch(
                    self.sqs,
                    self.queue,
                    [
                        OutgoingMessage(
                            body=export.message.model_dump_json(exclude_none=True),
                            group_id=export.message.group_id,
                            deduplication_id=f"{export.message.run_id}-{delivery}",
                        )
                        for delivery in range(2 if version == 0 else 1)
                    ],
                )

    @contextmanager
    def worker(self, endpoint: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
        """The container's own command."""
        home = self.directory / name
        home.mkdir(parents=True)
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "TABLE_NAME": self.name,
            "VECTORS_BUCKET": self.name,
            "ARTIFACTS_BUCKET": self.name,
            "EMBED_DEAD_LETTER_QUEUE_URL": self.dead,
            "EMBEDDER": "openai",
            "EMBEDDING_MODEL": MODEL,
            "EMBEDDING_DIMENSIONS": str(DIMENSIONS),
            "DELTA_PRECISION": "float32",
            "OPENAI_API_KEY_SECRET_ARN": self.secret,
            "OPENAI_BASE_URL": f"{endpoint if name == 'victim' else self.api.base_url.removesuffix('/v1')}/v1",
            "EMBED_QUEUE_URL": self.queue,
            "EMBED_QUEUE_ARN": arn,
            "COLLECTIONS_DIRECTORY": str(home),
            "PRIVATE_DIRECTORY": str(home),
            "VISIBILITY_TIMEOUT_SECONDS": str(VISIBILITY_SECONDS),
            "STOP_TIMEOUT_SECONDS": "30",
            "HEALTH_FILE": str(home / "alive"),
        }
        with (
            (home / "log").open("wb") as log,
            subprocess.Popen(
                [sys.executable, "-m", "compaction_worker"], cwd=REPOSITORY, env=variables, stdout=log, stderr=log
            ) as process,
        ):
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def waiting(self) -> int:
        """Messages on the queue, visible or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)["Attributes"]
        return sum(int(answer[name]) for name in names)

    def drained(self, seconds: float = 90) -> bool:
        """Wait until the queue is empty."""
        deadline = time.monotonic() + seconds
        while self.waiting() and time.monotonic() < deadline:
            time.sleep(0.1)
        return not self.waiting()

    def judge(self, exit_codes: tuple[int, int]) -> Figures:
        """Compare what is recorded with what was sent."""
        runs = list(self.runs.all_runs())
        embedded = Counter((run.image_id, run.content_run_id or run.run_id) for run in runs)
        missing = [message for message in self.sent if (message.image_id, message.run_id) not in embedded]
        without = turned = 0
        for run in runs:
            for collection in COLLECTIONS:
                digest = run.progress(collection).delta_sha256
                if digest is not None:
                    # Raises when the object is another one than the run recorded.
                    read_delta(self.objects, run.delta_bucket, collection, run.delta_run_id or run.run_id, digest)
                else:
                    without += 1
        for image in self.images:
            of_receipt = sorted(
                (run for run in runs if str(run.image_id) == image), key=lambda run: run.receipt_version
            )
            events = [run.uploaded_at for run in of_receipt if run.uploaded_at]
            turned += events != sorted(events)
        dead = self.sqs.receive_message(QueueUrl=self.dead, MaxNumberOfMessages=10).get("Messages", [])
        return Figures(
            exit_codes=exit_codes,
            lost=len(missing),
            doubled=sum(count > 1 for count in embedded.values()),
            turned_round=turned,
            without_delta=without,
            failed=sum(RunState.FAILED in (run.lines.state, run.words.state) for run in runs),
            left=self.waiting(),
            parked=len(dead),
        )


def wait_for(look: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def play(endpoint: str, api: FakeOpenAiApi, directory: Path, case: Case) -> Figures:
    """One worker meets its signal; a second one comes in its place, and a frozen one goes on beside it."""
    trap = Trap(*case)
    with ExitStack() as stack:
        world = stack.enter_context(closing(WorkerWorld(endpoint, api, directory)))
        world.send()
        address = stack.enter_context(proxy(endpoint, api.base_url.removesuffix("/v1"), trap.at))
        victim = stack.enter_context(world.worker(address, "victim"))
        trap.process_id = victim.pid
        assert trap.sprung.wait(60), (case, (directory / "victim" / "log").read_text()[-2000:])
        frozen = trap.number is signal.SIGSTOP
        if not frozen:
            victim.wait(60)
        successor = stack.enter_context(world.worker(endpoint, "successor"))
        # A frozen worker's messages come back after their visibility; a dead one's as well.
        world.drained()
        if frozen:
            victim.send_signal(signal.SIGCONT)
            # It goes on with what it held, which is no longer its own.
            time.sleep(1.5)
            victim.send_signal(signal.SIGTERM)
            victim.wait(60)
        world.drained()
        log = directory / "successor" / "log"
        wait_for(lambda: b"polling" in log.read_bytes())
        successor.send_signal(signal.SIGTERM)
        successor.wait(60)
        return world.judge((victim.returncode, successor.returncode))


def test_a_stop_that_comes_while_the_worker_is_still_being_loaded_is_kept():
    heavy = "{'boto3', 'numpy', 'pydantic', 'chromadb'}"
    program = f"import sys, compaction_worker.__main__; sys.exit(bool({heavy} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=False).returncode == 0


def test_a_worker_that_is_frozen_stopped_or_killed_in_any_phase_loses_and_doubles_nothing(
    endpoint: str, api: FakeOpenAiApi, tmp_path: Path
) -> None:
    cases = list(itertools.islice(itertools.cycle(EVERY), COUNT))

    def one(number: int) -> Figures:
        return play(endpoint, api, tmp_path / str(number), cases[number])

    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(one, range(len(cases))))
    for case, figures in zip(cases, found, strict=True):
        name = f"{case[0]}, {case[1]}, {case[2].name}"
        counted: dict[str, Any] = {key: value for key, value in vars(figures).items() if key != "exit_codes"}
        assert not any(counted.values()), (name, figures)
        victim, successor = figures.exit_codes
        assert successor == 0, name
        assert victim == -signal.SIGKILL if case[2] is signal.SIGKILL else victim in EXIT_MEANINGS, (name, victim)
        if case[2] is signal.SIGTERM:
            assert victim == 0, name
    signals = Counter(case[2].name for case in cases)
    codes = Counter(figures.exit_codes[0] for figures in found)
    print(  # noqa: T201 - the figures are what the test is for
        f"\n{len(cases)} signals in {time.monotonic() - began:.0f} s: {dict(signals)}; exit codes {dict(codes)}; "
        f"{len(cases) * RECEIPTS * VERSIONS} receipts, none lost, doubled, turned round, parked or failed"
    )
