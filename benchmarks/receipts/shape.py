"""How often the texts of receipts repeat: the figures by which made-up receipts are compared with real ones. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.ocr import OcrDocument


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Of the first so many rows of one collection.

    Attributes:
        rows: texts, repeated ones too; noise is counted, as in the data set.
        distinct: different texts among them.
        once: of the different texts, the share that occurs once.
        commonest: of the rows, the share of the most frequent text.
        commonest_text: that text.
    """

    rows: int
    distinct: int
    once: float
    commonest: float
    commonest_text: str


def texts(documents: Iterable[OcrDocument], collection: CollectionName) -> list[str]:
    """Every row's text, in order."""
    lines = (line for document in documents for receipt in document.receipts for line in receipt.lines)
    if collection == "lines":
        return [line.text for line in lines]
    return [word.text for line in lines for word in line.words]


def shape_of(found: Sequence[str]) -> Shape:
    """The shape of some rows."""
    counts = Counter(found)
    ((commonest_text, commonest),) = counts.most_common(1)
    return Shape(
        rows=len(found),
        distinct=len(counts),
        once=sum(count == 1 for count in counts.values()) / len(counts),
        commonest=commonest / len(found),
        commonest_text=commonest_text,
    )


def new_texts(found: Sequence[str], first: int, further: int) -> int:
    """Different texts that ``further`` rows after the ``first`` ones bring."""
    return len(set(found[first : first + further]) - set(found[:first]))


def from_repeated_merchants(documents: Iterable[OcrDocument]) -> float:
    """The share of receipts whose merchant occurs more than once."""
    counts = Counter(receipt.merchant_name for document in documents for receipt in document.receipts)
    return sum(count for count in counts.values() if count > 1) / counts.total()
