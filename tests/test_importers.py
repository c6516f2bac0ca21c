"""If these fail, foreign receipts enter with other ids or boxes than last time, or something else enters as them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ops.importers import read_documents
from ops.importers.sroie import read_sroie
from pipeline.contracts.ocr import parse_ocr_document
from pipeline.errors import PermanentError

SROIE_PATH = os.environ.get("RECEIPTS_SROIE_PATH", "")
RECEIPTS = [
    {
        "receipt": "900",
        "key": {"company": "GREENLEAF MARKET"},
        "lines": [
            {"box": [100, 50, 300, 80], "text": "GREENLEAF  MARKET"},
            {"box": [400, 960, 500, 1000], "text": "9.00"},
        ],
    },
    {"receipt": "901", "key": {}, "lines": [{"box": [-3, 40, 60, 20], "text": "ÉTÉ"}]},
]


@pytest.fixture
def sroie(tmp_path: Path) -> Path:
    path = tmp_path / "receipts.jsonl"
    path.write_text("\n".join(json.dumps(receipt) for receipt in RECEIPTS) + "\n\n", encoding="utf-8")
    return path


def test_pixels_become_fractions_of_the_extent(sroie: Path) -> None:
    line = next(read_sroie(sroie)).receipts[0].lines[0]
    box = line.bounding_box
    assert (box.x, box.y, box.width, box.height) == pytest.approx((0.2, 0.05, 0.4, 0.03))
    assert [word.text for word in line.words] == ["GREENLEAF", "MARKET"]
    assert line.words[1].bounding_box.x == pytest.approx(0.2 + 0.4 * 11 / 17)


def test_the_same_receipt_has_the_same_id_every_time(sroie: Path) -> None:
    assert list(read_sroie(sroie)) == list(read_sroie(sroie))
    assert len({document.image_id for document in read_sroie(sroie)}) == 2


def test_the_merchant_is_told_only_when_asked_for(sroie: Path) -> None:
    def names(**options: Any) -> list[str | None]:
        return [document.receipts[0].merchant_name for document in read_sroie(sroie, **options)]

    assert names() == [None, None]
    assert names(with_merchant=True) == ["GREENLEAF MARKET", None]
    assert names(with_merchant=lambda receipt: receipt != "900") == [None, None]


def test_documents_of_both_forms_are_of_the_contract(sroie: Path, tmp_path: Path) -> None:
    for name, content in list(read_documents(sroie)):
        parse_ocr_document(content, name)
        (tmp_path / name).write_bytes(content)
    assert len(list(read_documents(tmp_path))) == 4


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.txt", "{}"), ("a.json", "{}"), ("a.jsonl", "no json"), ("a.jsonl", "[]"), ("a.jsonl", '{"receipt": "1"}')],
)
def test_anything_else_is_refused_by_name(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(PermanentError, match=name):
        list(read_documents(path))


@pytest.mark.skipif(not SROIE_PATH, reason="RECEIPTS_SROIE_PATH does not name the SROIE data; it is not shipped")
def test_every_receipt_of_the_data_set_is_accepted() -> None:
    documents = list(read_documents(Path(SROIE_PATH)))
    assert len(documents) == 313
    for name, content in documents:
        parse_ocr_document(content, name)
