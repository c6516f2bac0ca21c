"""``make bench``: every figure is a ratio within this one run, because machines differ and this one may be noisy.

The merchant benchmark needs a data set and is run by hand: ``python -m benchmarks.merchant_resolution``.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from ops.importers import read_documents
from ops.local.stack import LocalStack
from ops.stacks.local import local_target
from ops.submitting import upload
from ops.waiting import require_complete, wait_until_searchable

REPEATS = 5
SAMPLES = Path(__file__).resolve().parent.parent / "samples"
HANDLERS = {
    "upload_images.handler": "pydantic",
    "embed_lambda.handler": "numpy",
    "compaction_worker.worker": "boto3",
    "compaction_handler.stream_processor": "boto3",
    "compaction_handler.handler": "chromadb",
}
"""Entry point module to the heaviest library that it cannot do without once it works."""
IMPORT_PROGRAM = "import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"


def import_seconds(module: str) -> float:
    """The median time to import a module in a fresh process."""
    times = [
        float(
            subprocess.run(
                [sys.executable, "-c", IMPORT_PROGRAM.format(module=module)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for _ in range(REPEATS)
    ]
    return statistics.median(times)


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes, once."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure_thread(stack: LocalStack, consumer: str) -> float:
    """Receipts a second, end to end: from the first upload until the last is searchable."""
    stack.up({"embedConsumer": consumer})
    target = local_target(stack)
    documents = [item for path in sorted(SAMPLES.glob("*.json")) for item in read_documents(path)]
    if consumer == "ecs":
        # The same receipts again would be skipped: another merchant name makes another version of each.
        documents = [(name, _renamed(content)) for name, content in documents]
    start = time.perf_counter()
    uploaded = [upload(target, name, content) for name, content in documents]
    require_complete(wait_until_searchable(target, uploaded, timeout_seconds=300))
    return sum(len(document.runs) for document in uploaded) / (time.perf_counter() - start)


def _renamed(content: bytes) -> bytes:
    document = json.loads(content)
    for receipt in document["receipts"]:
        receipt["merchant_name"] = "BENCHMARK"
    return json.dumps(document).encode()


def main() -> None:
    """Measure and print."""
    console = Console()
    table = Table("figure", "ratio", "of", "seconds or receipts/s", title="ratios of this run", title_justify="left")
    for module, library in track(HANDLERS.items(), description="imports", console=console):
        own, heaviest = import_seconds(module), import_seconds(library)
        table.add_row(f"import {module}", f"{own / heaviest:.2f}", f"import {library}", f"{own:.2f} / {heaviest:.2f}")
    sdk = import_seconds("pulumi, pulumi_aws")
    with tempfile.TemporaryDirectory() as directory, LocalStack(Path(directory)) as stack:
        console.print("the local stack, from nothing ...")
        first = seconds(lambda: stack.up({"embedConsumer": "lambda"}))
        again = seconds(lambda: stack.up({"embedConsumer": "lambda"}))
        table.add_row(
            "stack from nothing to healthy", f"{first / sdk:.1f}", "import pulumi", f"{first:.2f} / {sdk:.2f}"
        )
        table.add_row("evaluation, nothing changed", f"{again / sdk:.2f}", "import pulumi", f"{again:.2f} / {sdk:.2f}")
        console.print("the samples through the Lambda function, then through the ECS worker ...")
        by_lambda, by_ecs = measure_thread(stack, "lambda"), measure_thread(stack, "ecs")
        table.add_row(
            "receipts/s by the ECS worker", f"{by_ecs / by_lambda:.2f}", "by Lambda", f"{by_ecs:.2f} / {by_lambda:.2f}"
        )
        stack.down(destroy=True)
    console.print(table)


if __name__ == "__main__":
    main()
