"""Where a benchmark's receipts come from: made up, or real ones from the file that ``RECEIPTS_SROIE_PATH`` names.

There are too few real ones for the sizes of the targets, so only small measurements use them.
"""

import os
from itertools import islice
from pathlib import Path

from benchmarks.receipts.generator import generate_all
from ops.importers.sroie import read_sroie
from pipeline.contracts.ocr import OcrDocument

SROIE_VARIABLE = "RECEIPTS_SROIE_PATH"


def made_up(count: int, first: int = 1) -> list[OcrDocument]:
    """So many made-up receipts, by number from ``first`` on."""
    return list(islice(generate_all(first), count))


def real() -> list[OcrDocument] | None:
    """The SROIE receipts with their companies as merchants; None when the variable is not set."""
    path = os.environ.get(SROIE_VARIABLE, "")
    return list(read_sroie(Path(path), with_merchant=True)) if path else None
