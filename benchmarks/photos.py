"""Measures what a picture alone is worth: what is read of it, and what is found, beside the same from published OCR.

``RECEIPTS_SCANS_PATH=scans RECEIPTS_SROIE_PATH=receipts.jsonl python -m benchmarks.photos``

The folder of scans holds ``<receipt>.jpg`` for the receipts of the file. Without either, made-up receipts are drawn
and read. The first half of the receipts is published with its merchants, from its published OCR. Of the second half,
from which no setting was chosen, every ``--step``-th is read as stage 0 reads it; then these are embedded, resolved,
merged and published by production's code, once as read from the pictures and once from their published OCR.

Words are compared without case, as often as they occur. An amount is a word that ends in two decimals. A value of the
key, total or date, is found when the best hit of a search by letters and vectors within the receipt holds it. The
merchant is found when the receipt's run got the key's company; of the pictures' those count whose published OCR has it.
"""

import argparse
import json
import os
import re
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import track

from benchmarks.compaction.world import Services, World
from benchmarks.merchant_resolution import OBJECTS_BYTES_A_SECOND, Stages
from benchmarks.receipts.sources import SROIE_VARIABLE, made_up
from ops.importers.sroie import read_sroie
from ops.rendering import encode, render
from pipeline.collections.search import Filter
from pipeline.contracts.ocr import OcrDocument, parse_ocr_document
from pipeline.contracts.run import CompactionRun
from pipeline.errors import PermanentError
from pipeline.merchants.spelling import merchant_key
from upload_images.pictures.child import read_in_child

SCANS_VARIABLE = "RECEIPTS_SCANS_PATH"
AMOUNT = re.compile(r"\D{0,3}\d[\d,]*\.\d\d")
DATE = re.compile(r"\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}")
WANTED_TOTAL, WANTED_MERCHANT = 0.75, 0.8
MADE_UP = 120


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """A receipt whose texts are known.

    Attributes:
        published: its OCR as published, with the merchant.
        picture: the file of its picture.
        total: as the key has it, without currency; empty when there is none.
        date: the same.
    """

    published: OcrDocument
    picture: bytes
    total: str
    date: str

    @property
    def company(self) -> str:
        """Its merchant."""
        return self.published.receipts[0].merchant_name or ""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found of one receipt."""

    total: bool
    date: bool
    merchant: bool


def words(document: OcrDocument) -> Counter[str]:
    """Words without case, as often as they occur."""
    return Counter(word.upper() for line in document.receipts[0].lines for word in line.text.split())


def amounts(found: Counter[str]) -> Counter[str]:
    """Those of the words that are amounts."""
    return Counter({word: count for word, count in found.items() if AMOUNT.fullmatch(word)})


def scanned(path: Path, scans: Path) -> list[Receipt]:
    """The receipts of the file that have a scan."""
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    receipts = []
    for row, document in zip(rows, read_sroie(path, with_merchant=True), strict=True):
        picture = scans / f"{row['receipt']}.jpg"
        if picture.exists():
            key = row["key"]
            total = re.sub(r"[^\d.,]", "", key.get("total", ""))
            receipts.append(
                Receipt(published=document, picture=picture.read_bytes(), total=total, date=key.get("date", ""))
            )
    return receipts


def drawn(count: int) -> list[Receipt]:
    """Made-up receipts; total is the largest amount, date the first that stands there."""
    receipts = []
    for document in made_up(count):
        texts = [line.text for line in document.receipts[0].lines]
        said = " ".join(texts)
        found = [word for word in said.split() if AMOUNT.fullmatch(word)]
        largest = max(found, key=lambda word: float(re.sub(r"[^\d.]", "", word)), default="")
        dates = DATE.findall(said)
        receipts.append(
            Receipt(
                published=document,
                picture=encode(render(texts)),
                total=re.sub(r"[^\d.,]", "", largest),
                date=dates[0] if dates else "",
            )
        )
    return receipts


def find(stages: Stages, receipts: Sequence[Receipt], documents: Sequence[OcrDocument]) -> list[Found]:
    """Embed, publish and search documents that are of these receipts, in the same order, without their merchants."""
    runs = stages.embed([_without_merchant(document) for document in documents])
    stages.publish(runs)
    return [_find(stages, receipt, run) for receipt, run in zip(receipts, runs, strict=True)]


def _find(stages: Stages, receipt: Receipt, run: CompactionRun) -> Found:
    published = stages.snapshots.refresh()
    if published is None:
        raise RuntimeError("nothing is published")
    only = Filter(image_prefix=str(run.image_id))

    def holds(value: str) -> bool:
        (vector,) = stages.core.embedder.embed([value])
        hits = published.search(value, vector, limit=1, only=only)
        return bool(hits) and value in hits[0].text

    company = merchant_key(receipt.company)
    return Found(
        total=bool(receipt.total) and holds(receipt.total),
        date=bool(receipt.date) and holds(receipt.date),
        merchant=run.merchant_name is not None and merchant_key(run.merchant_name) == company,
    )


def _without_merchant(document: OcrDocument) -> OcrDocument:
    return document.model_copy(update={"receipts": (document.receipts[0].model_copy(update={"merchant_name": None}),)})


def main() -> int:
    """Print the figures; 1 when one that is wanted was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=Path, default=os.environ.get(SCANS_VARIABLE))
    parser.add_argument("--receipts", type=Path, default=os.environ.get(SROIE_VARIABLE))
    parser.add_argument("--step", type=int, default=1, help="every so many-th receipt of the second half is read")
    arguments = parser.parse_args()
    console = Console()
    if arguments.scans is not None and arguments.receipts is not None:
        receipts = scanned(Path(arguments.receipts), Path(arguments.scans))
        console.print(f"{len(receipts)} receipts have a scan")
    else:
        receipts = drawn(MADE_UP)
        console.print(f"{SCANS_VARIABLE} and {SROIE_VARIABLE} do not name scans: {len(receipts)} receipts are drawn")
    middle = len(receipts) // 2
    learned, asked = receipts[:middle], receipts[middle :: arguments.step]
    read: dict[int, OcrDocument] = {}
    seconds: list[float] = []
    for place, receipt in enumerate(track(asked, description="reading", console=console)):
        before = time.perf_counter()
        try:
            (document, *_) = read_in_child(receipt.picture).documents
        except PermanentError as error:
            console.print(f"receipt {place} of those read: {error}")
        else:
            read[place] = parse_ocr_document(document.encode(), "picture")
        seconds.append(time.perf_counter() - before)
    truth = [words(receipt.published) for receipt in asked]
    said = [words(read[place]) if place in read else Counter[str]() for place in range(len(asked))]
    hits = sum((one & other).total() for one, other in zip(said, truth, strict=True))
    recall, precision = (hits / max(1, sum(one.total() for one in many)) for many in (truth, said))
    amount_hits = sum((amounts(one) & amounts(other)).total() for one, other in zip(said, truth, strict=True))
    amount_recall = amount_hits / max(1, sum(amounts(one).total() for one in truth))
    console.print(
        f"{len(asked)} pictures: word recall {recall:.3f}, precision {precision:.3f}, amounts {amount_recall:.3f}, "
        f"median {statistics.median(seconds):.2f} s with the process"
    )
    with TemporaryDirectory() as directory, Services(Path(directory), OBJECTS_BYTES_A_SECOND) as services:

        def world(name: str) -> Stages:
            made = World(
                directory=Path(directory) / name,
                name=name,
                dynamodb_endpoint=services.dynamodb,
                s3_endpoint=services.s3,
                dimensions=256,
            ).create()
            stages = Stages(made)
            stages.publish(stages.embed([receipt.published for receipt in learned]))
            return stages

        by_ocr_stages, by_picture_stages = world("published"), world("pictures")
        by_ocr = find(by_ocr_stages, asked, [receipt.published for receipt in asked])
        places = sorted(read)
        found = find(by_picture_stages, [asked[place] for place in places], [read[place] for place in places])
        for stages in (by_ocr_stages, by_picture_stages):
            stages.snapshots.close()
    by_picture = [Found(total=False, date=False, merchant=False)] * len(asked)
    for place, one in zip(places, found, strict=True):
        by_picture[place] = one
    total = sum(one.total for one in by_picture) / len(asked)
    console.print(f"total found: {total:.3f}, from the published OCR {sum(o.total for o in by_ocr) / len(asked):.3f}")
    console.print(
        f"date found: {sum(one.date for one in by_picture) / len(asked):.3f}, "
        f"from the published OCR {sum(one.date for one in by_ocr) / len(asked):.3f}"
    )
    resolved = [place for place, one in enumerate(by_ocr) if one.merchant]
    merchant = sum(by_picture[place].merchant for place in resolved) / max(1, len(resolved))
    console.print(f"merchant resolved: {merchant:.3f} of the {len(resolved)} resolved from the published OCR")
    return 0 if total >= WANTED_TOTAL and merchant >= WANTED_MERCHANT else 1


if __name__ == "__main__":
    raise SystemExit(main())
