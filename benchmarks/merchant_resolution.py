"""Measures merchant resolution with hashed n-grams, leave-one-out, over SROIE receipts: brute force, no Chroma.

``python -m benchmarks.merchant_resolution sroie-dev.jsonl``
"""

import argparse
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ops.importers.sroie import read_sroie
from pipeline.contracts.artifacts import LineRow
from pipeline.embedding.embedders.hashing import HashingEmbedder
from pipeline.merchants.vote import merchant_key, telling_lines, vote

NEIGHBOURS = 20


@dataclass(frozen=True, kw_only=True)
class _Neighbour:
    distance: float
    metadata: Mapping[str, str | int | float | bool]


def measure(path: Path, dimensions: int) -> Counter[str]:
    """Resolve every receipt against all others, whose merchants are given; count what came out.

    Returns:
        ``right``, ``wrong``, ``silent`` (repeated merchants), ``silent single`` and ``wrong single`` (merchants that
        occur once, where silence is right).
    """
    receipts = [document.receipts[0] for document in read_sroie(path, with_merchant=True)]
    rows = [
        [
            LineRow(
                line_id=line.line_id,
                text=line.text,
                confidence=line.confidence,
                bounding_box=line.bounding_box,
                is_noise=not any(character.isalnum() for character in line.text),
            )
            for line in receipt.lines
        ]
        for receipt in receipts
    ]
    owners = np.array([index for index, lines in enumerate(rows) for _ in lines])
    vectors = HashingEmbedder(dimensions).embed([line.text for lines in rows for line in lines])
    names = [receipt.merchant_name or "" for receipt in receipts]
    keys = [merchant_key(name) for name in names]
    frequency = Counter(keys)
    outcome: Counter[str] = Counter()
    for index, lines in enumerate(rows):
        offset = int(np.searchsorted(owners, index))
        chosen = [offset + position for position in telling_lines(lines)]
        similarities = vectors[chosen] @ vectors.T
        similarities[:, owners == index] = -1.0
        asked = [
            [
                _Neighbour(
                    distance=1.0 - float(row[place]),
                    metadata={"merchant_name": names[owners[place]], "merchant_source": "given"},
                )
                for place in np.argsort(-row)[:NEIGHBOURS]
            ]
            for row in similarities
        ]
        answer = vote(asked).merchant_name
        kind = "silent" if answer is None else "right" if merchant_key(answer) == keys[index] else "wrong"
        outcome[kind if frequency[keys[index]] > 1 else f"{kind} single"] += 1
    return outcome


def main() -> None:
    """Print precision (of the answers) and recall (of the receipts whose merchant occurs again)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--dimensions", type=int, default=256)
    arguments = parser.parse_args()
    outcome = measure(arguments.path, arguments.dimensions)
    answers = outcome["right"] + outcome["wrong"] + outcome["wrong single"]
    findable = outcome["right"] + outcome["wrong"] + outcome["silent"]
    print(dict(outcome))
    print(f"precision {outcome['right'] / answers:.3f} ({outcome['right']} of {answers})")
    print(f"recall {outcome['right'] / findable:.3f} ({outcome['right']} of {findable})")


if __name__ == "__main__":
    main()
