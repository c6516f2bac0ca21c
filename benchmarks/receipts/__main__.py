"""``python -m benchmarks.receipts``: the shape of made-up receipts beside that of real ones where these are at hand."""

import argparse

from rich.console import Console
from rich.table import Table

from benchmarks.receipts.shape import from_repeated_merchants, shape_of, texts
from benchmarks.receipts.sources import SROIE_VARIABLE, made_up, real
from pipeline.contracts.identifiers import COLLECTIONS
from pipeline.contracts.ocr import OcrDocument

RECEIPTS = 645
"""As many receipts as have about 72,000 words."""


def main() -> None:
    """Print the table, and one receipt."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.receipts", description=__doc__)
    parser.add_argument("--receipts", type=int, default=RECEIPTS)
    parser.add_argument("--show", type=int, help="the number of a receipt to print")
    options = parser.parse_args()
    console = Console()
    if options.show is not None:
        (document,) = made_up(1, options.show)
        console.print(document.receipts[0].merchant_name, [line.text for line in document.receipts[0].lines])
        return
    console.print(_table("made up", made_up(options.receipts)))
    if (found := real()) is None:
        console.print(f"{SROIE_VARIABLE} does not name the real receipts")
        return
    console.print(_table("made up, as many as there are real ones", made_up(len(found))))
    console.print(_table("real", found))


def _table(name: str, documents: list[OcrDocument]) -> Table:
    repeated = from_repeated_merchants(documents)
    title = f"{name}: {len(documents)} receipts, {repeated:.2f} of them from merchants that occur again"
    table = Table("collection", "rows", "a receipt", "distinct", "once", "most frequent", title=title)
    for collection in COLLECTIONS:
        shape = shape_of(texts(documents, collection))
        table.add_row(
            collection,
            f"{shape.rows:,}",
            f"{shape.rows / len(documents):.1f}",
            f"{shape.distinct:,} ({shape.distinct / shape.rows:.3f})",
            f"{shape.once:.2f}",
            f"{shape.commonest_text} {shape.commonest:.3f}",
        )
    return table


if __name__ == "__main__":
    main()
