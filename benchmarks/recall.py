"""``python -m benchmarks.recall``: recall at ten of a large published collection, by its reader and by its index.

Above ``EXACT_BYTES`` a reader lets Chroma and the letters propose texts and ranks them by their vectors; both ways are
measured, whichever a reader of this collection takes. It is filled and sealed as a conversion fills one, without runs
and without a merge, and checked as before a publication: an index that falls short is built again with the next
parameters, and what it misses is named. What is asked is production's reader.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from uuid import UUID

import numpy as np
from rich.console import Console
from rich.progress import Progress

from benchmarks.builds.workload import misspelt
from benchmarks.receipts.generator import generate_all
from benchmarks.search import LIMIT, SEED
from compaction_handler.soundness import Inspection, judge
from compaction_handler.working_copy import WorkingCopy
from pipeline.collections.chroma import PARAMETERS
from pipeline.collections.layout import LAYOUT, MANIFEST_NAME, Pointer, encode_manifest, version_name
from pipeline.collections.published import PublishedCollection
from pipeline.collections.receipts import ReceiptKey
from pipeline.collections.rows import NewRow, RowName
from pipeline.collections.search import EXACT_BYTES
from pipeline.embedding.embedders.hashing import HashingEmbedder
from upload_images.export import is_noise

TEXTS, DIMENSIONS, QUERIES = 300_000, 256, 300
TEXTS_A_RECEIPT = 1_000
"""Not a receipt of this world, but the fewest rows that bring so many texts."""
SHORTEST = 8
"""Letters of a text that is asked for without one of them, as in ``benchmarks.search``."""
SAME = 1e-5
"""Cosine distance below which two texts are equally near."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one run found.

    Attributes:
        texts: distinct texts in the collection.
        scanned: whether a reader of this collection scans it.
        parameters: which of ``PARAMETERS`` the check let pass; None when it let none pass.
        missed: texts that the index does not find by their own vector, so that readers rank them beside it.
        recall_at_ten: share of the exact ten nearest, by distance, in the reader's answers to misspelt texts.
        lost: of as many texts, those that are not first for their own vector.
        proposed_recall_at_ten: the same where the index proposes.
        proposed_lost: the same where the index proposes.
        slower_scan: how many times as long as an answer with the index an exact scan takes.
    """

    texts: int
    dimensions: int
    scanned: bool
    parameters: int | None
    missed: int
    asked: int
    recall_at_ten: float
    lost: int
    proposed_recall_at_ten: float
    proposed_lost: int
    slower_scan: float


def distinct_texts(count: int) -> list[str]:
    """Distinct lines and words of made-up receipts, in the order of their first occurrence."""

    def every() -> Iterator[str]:
        for document in generate_all(1):
            for receipt in document.receipts:
                for line in receipt.lines:
                    yield line.text
                    yield from (word.text for word in line.words)

    return list(islice(dict.fromkeys(text for text in islice(every(), 60 * count) if not is_noise(text)), count))


def filled(
    parent: Path, texts: Sequence[str], dimensions: int, first: int, progress: Progress
) -> tuple[WorkingCopy, Pointer]:
    """A sealed working copy of the texts, its index made with parameters ``first``, and a pointer that fits it."""
    embedder = HashingEmbedder(dimensions)
    steps = progress.add_task("filling", total=len(texts))

    def receipts() -> Iterator[tuple[ReceiptKey, Sequence[str], list[NewRow], np.ndarray]]:
        for number, start in enumerate(range(0, len(texts), TEXTS_A_RECEIPT), 1):
            part = texts[start : start + TEXTS_A_RECEIPT]
            key = ReceiptKey(str(UUID(int=number)), 1)
            rows = [NewRow(name=RowName(key, line + 1, 0), text=line, metadata={}) for line in range(len(part))]
            yield key, part, rows, embedder.embed(part)
            progress.advance(steps, len(part))

    copy = WorkingCopy("lines", parent=parent, dimensions=dimensions, source=None)
    # A reader looks there for what must not be missing.
    (copy.directory / MANIFEST_NAME).write_bytes(encode_manifest({}))
    try:
        copy.fill(receipts(), {}, {})
        progress.update(progress.add_task("sealing: index and letters", total=None))
        copy.rebuild(first, lambda: None)
    except BaseException:
        copy.discard()
        raise
    pointer = Pointer(
        version=version_name(1, "benchmark", copy.revision),
        fence=1,
        count=len(texts),
        texts=len(texts),
        layout=LAYOUT,
        model=embedder.model,
        dimensions=dimensions,
        digest="0" * 64,
        published_at=datetime.now(UTC),
    )
    return copy, pointer


def passing_parameters(
    copy: WorkingCopy, pointer: Pointer, directory: Path, first: int, progress: Progress
) -> int | None:
    """Check the copy, made with parameters ``first``, as a publication does; build its index again until it passes."""
    inspection = Inspection(
        collection="lines",
        directory=str(copy.directory),
        private_directory=str(directory / "check"),
        rows=pointer.count,
        texts=pointer.texts or 0,
        dimensions=pointer.dimensions,
        asked_from=0,
    )
    for parameters in range(first, len(PARAMETERS)):
        progress.update(progress.add_task(f"checking the index, parameters {parameters}", total=None))
        verdict = judge(inspection)
        if verdict.faults:
            raise RuntimeError("; ".join(verdict.faults))
        said = "; ".join(verdict.losses) or f"it passes and misses {len(verdict.missed)} texts"
        progress.console.print(f"parameters {parameters}: {said}")
        copy.asked(0, pointer.texts or 0, verdict.missed)
        if not verdict.losses:
            return parameters
        if parameters + 1 < len(PARAMETERS):
            copy.rebuild(parameters + 1, lambda: None)
    return None


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Of one reader; see ``Measured``."""

    recall_at_ten: float
    lost: int
    slower_scan: float


def ask(published: PublishedCollection, asked: np.ndarray, own: np.ndarray) -> Answers:
    """Ask a reader for misspelt texts and for texts by their own vectors, beside an exact scan."""
    published.query(asked[:1], LIMIT)
    right, answered, scanned = 0, 0.0, 0.0
    for vector in asked:
        start = time.perf_counter()
        (hits,) = published.query(vector[None], LIMIT)
        answered += time.perf_counter() - start
        start = time.perf_counter()
        ((_, exact),) = published.vectors.nearest(vector[None], LIMIT)
        scanned += time.perf_counter() - start
        right += sum(hit.distance <= exact[-1] + SAME for hit in hits)
    return Answers(
        recall_at_ten=right / (LIMIT * len(asked)),
        lost=sum(published.query(vector[None], 1)[0][0].distance > SAME for vector in own),
        slower_scan=scanned / answered,
    )


def measure(texts: Sequence[str], dimensions: int, queries: int, first: int, progress: Progress) -> Measured:
    """Fill a collection and ask it; ``first`` says which of ``PARAMETERS`` its index is made with."""
    source = random.Random(SEED)  # noqa: S311 - the same questions every time
    long = [text for text in texts if sum(map(str.isalpha, text)) >= SHORTEST]
    chosen = source.sample(long, min(queries, len(long)))
    embedder = HashingEmbedder(dimensions)
    asked = embedder.embed([misspelt(text, source, of=str.isalpha) for text in chosen])
    own = embedder.embed(chosen)
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        copy, pointer = filled(directory / "work", texts, dimensions, first, progress)
        try:
            passed = passing_parameters(copy, pointer, directory, first, progress)
            reader, proposing = (
                PublishedCollection("lines", pointer, copy.directory, directory / f"private-{limit}", limit)
                for limit in (EXACT_BYTES, 0)
            )
            try:
                is_scanned, missed = reader.vectors.size <= EXACT_BYTES, len(reader.missed())
                by_reader = ask(reader, asked, own)
                by_index = ask(proposing, asked, own)
            finally:
                reader.close()
                proposing.close()
        finally:
            copy.discard()
    return Measured(
        texts=len(texts),
        dimensions=dimensions,
        scanned=is_scanned,
        parameters=passed,
        missed=missed,
        asked=len(asked),
        recall_at_ten=by_reader.recall_at_ten,
        lost=by_reader.lost,
        proposed_recall_at_ten=by_index.recall_at_ten,
        proposed_lost=by_index.lost,
        slower_scan=by_index.slower_scan,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recall", description=__doc__)
    parser.add_argument("--texts", type=int, default=TEXTS, help="distinct texts")
    parser.add_argument("--dimensions", type=int, default=DIMENSIONS)
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument(
        "--first",
        type=int,
        default=0,
        choices=range(len(PARAMETERS)),
        help="index parameters to begin with; a collection that grew has left the first behind",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of lines")
    options = parser.parse_args()
    with Progress(console=Console(stderr=True)) as progress:
        texts = distinct_texts(options.texts)
        found = measure(texts, options.dimensions, options.queries, options.first, progress)
    if options.json:
        print(json.dumps(asdict(found), indent=1))
        return
    console = Console()
    for name, value in asdict(found).items():
        shown = f"{value:,.4g}" if isinstance(value, float) else value
        console.print(f"{name.replace('_', ' ')}: {shown}")


if __name__ == "__main__":
    main()
