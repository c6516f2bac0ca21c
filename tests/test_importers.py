"""If these fail, foreign receipts enter with other ids or boxes than last time, or something else enters as them."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ops.importers import Taken, read_documents
from ops.importers.sroie import read_sroie
from pipeline.contracts.ocr import parse_ocr_document
from pipeline.errors import PermanentError
from upload_images.formats.detection import Format

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


OCR_FILES = Path(__file__).parent / "formats" / "data"


def test_files_of_other_tools_are_taken_by_their_content_and_told(tmp_path: Path) -> None:
    for name in ("bakery.hocr", "bakery.xml", "kiosk.tsv"):
        shutil.copy(OCR_FILES / name, tmp_path / name)
    shutil.copy(OCR_FILES / "kiosk.tsv", tmp_path / "named_wrongly.xml")
    taken: list[Taken] = []
    documents = list(read_documents(tmp_path, on_taken=taken.append))
    assert [(item.file, item.format, item.images) for item in taken] == [
        ("bakery.hocr", Format.HOCR, 2),
        ("bakery.xml", Format.ALTO, 2),
        ("kiosk.tsv", Format.TESSERACT_TSV, 1),
        ("named_wrongly.xml", Format.TESSERACT_TSV, 1),
    ]
    assert [name for name, _ in documents][:3] == ["bakery.hocr-1.json", "bakery.hocr-2.json", "bakery.xml-1.json"]
    # The same bytes under another name are the same image.
    assert documents[-1][1] == documents[-2][1]
    for name, content in documents:
        parse_ocr_document(content, name)


def test_a_format_that_is_given_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes((OCR_FILES / "bakery.xml").read_bytes())
    with pytest.raises(PermanentError, match=r"a\.xml: it has no ocr_page"):
        list(read_documents(tmp_path / "a.xml", as_format=Format.HOCR))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n...", r"a\.tsv: it is a PNG picture"),
        (b"", r"a\.tsv: it is empty"),
        (b"name;price\nmilk;1\n", r"a\.tsv: it is in no form that is known"),
    ],
)
def test_a_file_that_is_no_ocr_result_is_refused_by_its_name(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.tsv").write_bytes(content)
    with pytest.raises(PermanentError, match=message):
        list(read_documents(tmp_path / "a.tsv"))


def test_a_folder_without_ocr_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("milk,1.20\n")
    with pytest.raises(PermanentError, match=r"holds no OCR results; it holds 1 of \.csv.*tesseract"):
        list(read_documents(tmp_path))


def test_where_pictures_are_read_nobody_is_told_to_recognize_them_first(tmp_path: Path) -> None:
    refused: list[PermanentError] = []
    assert not list(read_documents(tmp_path, refused.append, on_picture=lambda _name, _content: None))
    assert "holds no OCR results and no pictures; it holds nothing" in str(refused[0])
    assert "tesseract" not in str(refused[0])


@pytest.mark.parametrize("content", [b"", b"this is a text\n", b"\x00\x01"])
def test_a_file_that_is_a_picture_by_its_name_alone_is_called_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "photo.JPG").write_bytes(content)
    (tmp_path / "result.jpg").write_bytes((OCR_FILES / "bakery.xml").read_bytes())
    refused: list[PermanentError] = []
    read = list(read_documents(tmp_path, refused.append, on_picture=lambda _name, _content: None))
    assert read
    (error,) = refused
    assert (error.code, error.value) == ("PICTURE_UNREADABLE", "photo.JPG: it begins like no kind of picture")


def test_a_page_that_breaks_a_bound_does_not_take_the_other_page_with_it(tmp_path: Path) -> None:
    rows = [f"5\t{page}\t1\t1\t1\t1\t0\t0\t9\t9\t90\t{text}" for page, text in ((1, "x" * 9_000), (2, "milk"))]
    (tmp_path / "a.tsv").write_text("\n".join(["1\t1\t0\t0\t0\t0\t0\t0\t9\t9\t-1\t", *rows]))
    refused: list[PermanentError] = []
    documents = list(read_documents(tmp_path / "a.tsv", refused.append))
    assert [name for name, _ in documents] == ["a.tsv-2.json"]
    assert "9000 bytes" in str(refused[0])
    assert "a.tsv-1.json" in str(refused[0])


def test_a_named_pipe_and_a_device_are_refused_before_they_are_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/zero")):
        with pytest.raises(PermanentError, match=r"is a pipe or a device.*receipts upload - <"):
            list(read_documents(path, on_picture=lambda *_: None))


@pytest.mark.parametrize("name", ["text.png", "text.PDF", "text.heic"])
def test_a_text_named_like_a_picture_is_told_what_pictures_are(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("just text\n")
    with pytest.raises(PermanentError, match=r"a picture is JPEG, PNG, TIFF, PDF or.* HEIC"):
        list(read_documents(tmp_path / name, on_picture=lambda *_: None))
