"""``python -m benchmarks.search``: whether people find what stands in a receipt, through a published version's reader.

It asks for texts that are known to be there: prices, bar codes and registration numbers, and lines with one letter
missing. Ratios of times are within this one run. What is judged is anything that is called as ``Search`` is: the
reader of this build is one, through ``Searching``.
"""

import argparse
import json
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.table import Table

from benchmarks.builds.workload import misspelt
from benchmarks.compaction.rows import Receipts
from benchmarks.compaction.world import Services, World
from benchmarks.receipts.shape import texts
from benchmarks.receipts.sources import SROIE_VARIABLE, made_up, real
from pipeline.collections.published import PublishedCollection
from pipeline.collections.reader import SnapshotSource
from pipeline.collections.search import SearchMode
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.ocr import OcrDocument
from pipeline.embedding.embedders.hashing import HashingEmbedder
from upload_images.export import is_noise

SEED = 20260102
RECEIPTS, QUERIES, DIMENSIONS, LIMIT = 640, 200, 256, 10
ROWS_AT_ONCE = 5_000
SLOW_BYTES_A_SECOND = 85e6
"""Of the slow S3 that comes with the services and is not used here."""
DELTA_ROWS = 50
SHORTEST_LINE = 8
"""Letters of a line that is asked for without one of them. Shorter lines are often as near to another line then: an
exact scan of 640 made-up receipts answers 0.93 of such questions from 6 letters, 0.96 from 8, 0.98 from 12."""
KINDS = {
    "prices": re.compile(r"(?<![\d.,])\d{1,4}\.\d\d(?![\d.])"),
    "bar codes": re.compile(r"(?<!\d)\d{13}(?!\d)"),
    "registration numbers": re.compile(r"(?<!\w)\d{6}-[A-Z](?!\w)"),
}
"""What a price and its like look like inside a line."""
MOST_HOLDERS = 1
"""Distinct lines that hold a number which is asked for; hundreds hold zero or a round sum, and any would be right."""

SEARCH_MODES: dict[str, SearchMode] = {"hybrid": "hybrid", "vector": "vector", "text": "text"}


class Search(Protocol):
    """A search of one published collection."""

    def __call__(self, text: str, *, limit: int, mode: str) -> Sequence[str]:
        """The texts of the hits, best first.

        Args:
            text: what a person typed.
            limit: hits at most.
            mode: ``hybrid``, ``vector`` or ``text``; a search may know fewer.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Question:
    """A query and how to know the right answer."""

    text: str
    is_right: Callable[[str], bool]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """The share of questions of one kind whose first hit was right."""

    kind: str
    asked: int
    right: float


def number_questions(lines: Sequence[str], kind: str, count: int) -> list[Question]:
    """Numbers of one kind that stand in a line, each in one distinct line; the right hit is a line that has it."""
    pattern = KINDS[kind]
    holders: dict[str, set[str]] = {}
    for line in lines:
        for number in pattern.findall(line):
            holders.setdefault(number, set()).add(line)
    chosen = sorted(number for number, found in holders.items() if len(found) <= MOST_HOLDERS)
    numbers = _source(kind).sample(chosen, min(count, len(chosen)))
    return [Question(text=number, is_right=_among(holders[number])) for number in numbers]


def misspelt_questions(lines: Sequence[str], count: int, *, letters: int = SHORTEST_LINE) -> list[Question]:
    """Distinct lines of so many letters, without one of them; the right hit is the line itself."""
    source = _source("misspelt")
    known = set(lines)
    long = sorted(line for line in known if sum(map(str.isalpha, line)) >= letters)
    asked = ((line, misspelt(line, source, of=str.isalpha)) for line in source.sample(long, min(count, len(long))))
    return [Question(text=text, is_right=_among({line})) for line, text in asked if text not in known]


def figures(
    search: Search, lines: Sequence[str], *, mode: str, count: int = QUERIES, letters: int = SHORTEST_LINE
) -> list[Figure]:
    """Ask every kind of question.

    Args:
        search: what is judged.
        lines: every row of the collection that it searches.
        mode: of the search.
        count: questions of each kind, at most.
        letters: of a line that is asked for without one of them, at least.
    """
    asked = {kind: number_questions(lines, kind, count) for kind in KINDS}
    asked["one letter missing"] = misspelt_questions(lines, count, letters=letters)
    return [
        Figure(
            kind=kind,
            asked=len(questions),
            right=sum(_first_is_right(search, question, mode) for question in questions) / len(questions),
        )
        for kind, questions in asked.items()
        if questions
    ]


def time_ratio(search: Search, plain: Callable[[str], object], asked: Sequence[str], *, mode: str) -> float:
    """The median time of a search, embedding included, to that of one plain Chroma query, in turn.

    Args:
        search: what is measured.
        plain: asks the same index for ``LIMIT`` rows with a vector that was embedded before.
        asked: texts.
        mode: of the search.
    """
    for text in asked[:LIMIT]:
        search(text, limit=LIMIT, mode=mode)
        plain(text)
    ratios = [
        _seconds(lambda text=text: search(text, limit=LIMIT, mode=mode)) / _seconds(lambda text=text: plain(text))
        for text in asked
    ]
    return statistics.median(ratios)


class Searching:
    """The published reader's search, as ``receipts search`` asks it."""

    def __init__(self, published: PublishedCollection, embedder: HashingEmbedder) -> None:
        self._published, self._embedder = published, embedder

    def __call__(self, text: str, *, limit: int, mode: str) -> Sequence[str]:
        """See ``Search``."""
        (vector,) = self._embedder.embed([text])
        found = self._published.search(
            text, vector, limit=limit, mode=SEARCH_MODES[mode], without_coincidences=mode != "text"
        )
        return [hit.text for hit in found]


def plain_query(
    published: PublishedCollection, embedder: HashingEmbedder, asked: Sequence[str]
) -> Callable[[str], object]:
    """One query of the version's own Chroma collection; the texts that will be asked are embedded here."""
    vectors = dict(zip(asked, embedder.embed(asked), strict=True))
    collection = published.open_index().collection
    return lambda text: collection.query(query_embeddings=vectors[text][None, :], n_results=LIMIT)


@contextmanager
def published_receipts(
    documents: Sequence[OcrDocument], collection: CollectionName, dimensions: int
) -> Iterator[PublishedCollection]:
    """Merge receipts with production's merger and open what it published."""
    rows = sum(not is_noise(text) for text in texts(documents, collection))
    with (
        tempfile.TemporaryDirectory() as temporary,
        Services(Path(temporary) / "services", SLOW_BYTES_A_SECOND) as services,
    ):
        world = World(
            directory=Path(temporary) / "world",
            name="search",
            dynamodb_endpoint=services.dynamodb,
            s3_endpoint=services.s3,
            dimensions=dimensions,
            collection=collection,
        ).create()
        world.receipts = Receipts(dimensions, collection=collection, documents=documents)
        merger = world.merger()
        try:
            for first in range(0, rows, ROWS_AT_ONCE):
                portion = min(ROWS_AT_ONCE, rows - first)
                full, rest = divmod(portion, DELTA_ROWS)
                merger.merge(world.record([DELTA_ROWS] * full + [rest] * bool(rest)))
        finally:
            merger.close()
        source = SnapshotSource.from_directory(
            collection, collections_directory=world.root, private_directory=Path(temporary) / "reader"
        )
        try:
            if (published := source.refresh()) is None or published.count != rows:
                raise RuntimeError("the version does not hold every row")
            yield published
        finally:
            source.close()


def _source(kind: str) -> random.Random:
    return random.Random(f"{SEED}/{kind}")  # noqa: S311 - the same questions every time


def _among(right: set[str]) -> Callable[[str], bool]:
    return lambda answer: answer in right


def _first_is_right(search: Search, question: Question, mode: str) -> bool:
    hits = search(question.text, limit=LIMIT, mode=mode)
    return bool(hits) and question.is_right(hits[0])


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--receipts", type=int, default=RECEIPTS, help="made-up receipts that are published")
    parser.add_argument("--real", action="store_true", help=f"take the receipts that {SROIE_VARIABLE} names")
    parser.add_argument("--dimensions", type=int, default=DIMENSIONS)
    parser.add_argument("--queries", type=int, default=QUERIES, help="questions of each kind")
    parser.add_argument("--letters", type=int, default=SHORTEST_LINE, help="of a line that lacks one of them, at least")
    parser.add_argument("--mode", default="hybrid", choices=SEARCH_MODES)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    options = parser.parse_args()
    documents = real() if options.real else made_up(options.receipts)
    if documents is None:
        parser.error(f"{SROIE_VARIABLE} does not name the real receipts")
    lines = [text for text in texts(documents, "lines") if not is_noise(text)]
    embedder = HashingEmbedder(options.dimensions)
    with published_receipts(documents, "lines", options.dimensions) as published:
        search = Searching(published, embedder)
        found = figures(search, lines, mode=options.mode, count=options.queries, letters=options.letters)
        asked = [question.text for question in misspelt_questions(lines, options.queries)]
        ratio = time_ratio(search, plain_query(published, embedder, asked), asked, mode=options.mode)
    if options.json:
        print(json.dumps({"figures": [asdict(figure) for figure in found], "time_to_plain_query": ratio}, indent=1))
        return
    title = f"{len(lines):,} lines of {len(documents)} receipts, mode {options.mode}"
    table = Table("questions", "asked", "first hit right", title=title, title_justify="left")
    for figure in found:
        table.add_row(figure.kind, str(figure.asked), f"{figure.right:.3f}")
    console = Console()
    console.print(table)
    console.print(f"a search takes {ratio:.2f} times as long as one plain Chroma query")


if __name__ == "__main__":
    main()
