"""What both builds are given: deltas, their texts' vectors and queries, as JSON and npy files.

``process.py`` reads the files in another process, which may have other code. Their form:

* ``texts.json``: the different texts, a list; ``vectors.npy``: texts x dimensions, float32.
* ``deltas.jsonl``: an object a delta: ``run_id``, ``image_id``, ``receipt_id``, ``model``, ``rows`` as a list of
  ``[id, number of the text, metadata]``.
* ``groups.json``: group to ``[first, end]`` of the deltas: ``grow`` makes the collection, ``warm`` precedes a
  measurement, every other group is one measured batch.
* ``own.json``: numbers of texts that have one or two rows in ``grow``.
* ``misspelt.json``: queries that are no text of the collection; ``misspelt.npy``: queries x dimensions.
"""

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.compaction.rows import MODEL, Receipts, TextVectors
from pipeline.contracts.identifiers import CollectionName

SEED = 20260102
RARE = 2
"""Rows of a rare text, at most."""
SHORTEST_MISSPELT = 4
"""Letters and digits of a text that is still itself without one of them."""
GROW, WARM = "grow", "warm"


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much work.

    Attributes:
        collection: words or lines.
        rows: of the collection before anything is measured.
        dimensions: numbers a vector.
        delta_rows: rows of one delta.
        batches: deltas of each measured batch.
        queries: texts that are asked for by their own vector, and as many misspelt ones.
        with_noise: whether rows without a letter or digit are kept, which stage 2 leaves out.
    """

    collection: CollectionName
    rows: int
    dimensions: int
    delta_rows: int
    batches: tuple[int, ...]
    queries: int
    with_noise: bool = False


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What was written, for the scores.

    Attributes:
        texts: the different texts of all deltas.
        vectors: texts x dimensions.
        grown: the number of the text of each row of the grown collection.
        own: numbers of the rare texts that are asked for.
        misspelt: queries x dimensions.
        groups: group to the rows of its deltas.
    """

    texts: list[str]
    vectors: np.ndarray
    grown: np.ndarray
    own: list[int]
    misspelt: np.ndarray
    groups: dict[str, int]


def write_workload(size: Size, directory: Path) -> Workload:
    """Make the files in ``directory``, which exists."""
    receipts = Receipts(size.dimensions, collection=size.collection, with_noise=size.with_noise)
    full, rest = divmod(size.rows, size.delta_rows)
    sizes = {GROW: [size.delta_rows] * full + [rest] * bool(rest), WARM: [size.delta_rows]}
    sizes |= {f"{count} deltas": [size.delta_rows] * count for count in size.batches}
    numbers: dict[str, int] = {}
    groups: dict[str, tuple[int, int]] = {}
    grown: list[int] = []
    count = 0
    with (directory / "deltas.jsonl").open("w") as file:
        for group, each in sizes.items():
            groups[group] = (count, count + len(each))
            count += len(each)
            for rows in each:
                delta = receipts.delta(rows)
                rows_numbers = [numbers.setdefault(delta.text_of(row), len(numbers)) for row in delta.rows]
                if group == GROW:
                    grown += rows_numbers
                document = {
                    "run_id": delta.run_id,
                    "image_id": str(delta.image_id),
                    "receipt_id": delta.receipt_id,
                    "model": MODEL,
                    "rows": [
                        [row.id, number, row.metadata] for row, number in zip(delta.rows, rows_numbers, strict=True)
                    ],
                }
                file.write(json.dumps(document) + "\n")
    texts = list(numbers)
    vectors = TextVectors(size.dimensions).of(texts)
    own, queries = _queries(texts, Counter(grown), size.queries)
    misspelt = TextVectors(size.dimensions).of(queries)
    np.save(directory / "vectors.npy", vectors)
    np.save(directory / "misspelt.npy", misspelt)
    for name, content in {"texts": texts, "groups": groups, "own": own, "misspelt": queries}.items():
        (directory / f"{name}.json").write_text(json.dumps(content))
    return Workload(
        texts=texts,
        vectors=vectors,
        grown=np.array(grown),
        own=own,
        misspelt=misspelt,
        groups={group: sum(each) for group, each in sizes.items()},
    )


def misspelt(text: str, source: random.Random, *, of: Callable[[str], bool] = str.isalnum) -> str:
    """A text without one of its characters, of which ``of`` says whether it may be missing."""
    place = source.choice([place for place, character in enumerate(text) if of(character)])
    return text[:place] + text[place + 1 :]


def _queries(texts: list[str], counts: Counter[int], wanted: int) -> tuple[list[int], list[str]]:
    source = random.Random(SEED)  # noqa: S311 - the same queries every time
    rare = sorted(number for number, count in counts.items() if count <= RARE)
    own = source.sample(rare, min(wanted, len(rare)))
    known = {texts[number] for number in counts}
    long = sorted(text for text in known if sum(map(str.isalnum, text)) >= SHORTEST_MISSPELT)
    queries = (misspelt(text, source) for text in source.sample(long, min(wanted, len(long))))
    return own, [query for query in queries if query not in known]
