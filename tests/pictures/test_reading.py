"""What is read of a picture. A failure here is a receipt that nobody finds, or a bad file that stops the good ones."""

import json
import subprocess
import sys
from collections import Counter
from io import BytesIO
from uuid import UUID

import numpy as np
import pytest
from PIL import Image

from ops.rendering import encode, render
from pipeline.contracts.ocr import OcrDocument, parse_ocr_document
from tests.pictures import files
from upload_images.pictures import pages
from upload_images.pictures.answer import Answer
from upload_images.pictures.child import SOURCE
from upload_images.pictures.kinds import PictureKind, first_image_id, kind_of
from upload_images.pictures.limits import MAXIMUM_PAGES, MAXIMUM_PICTURE_BYTES
from upload_images.pictures.reading import answer_of, read_picture


def documents(answer: Answer) -> list[OcrDocument]:
    assert answer.fault is None, answer.fault
    return [parse_ocr_document(document.encode(), "test") for document in answer.documents]


def words(document: OcrDocument) -> Counter[str]:
    return Counter(word for line in document.receipts[0].lines for word in line.text.split())


WRITTEN: Counter[str] = Counter(" ".join(files.TEXTS).split())


def is_read(document: OcrDocument) -> bool:
    """Whether nearly all words are; the engine is not perfect, and the font is small."""
    return (WRITTEN & words(document)).total() >= 0.85 * WRITTEN.total()


def reads(content: bytes) -> bool:
    (document,) = documents(read_picture(content))
    return is_read(document)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "PDF"])
def test_a_picture_of_every_kind_is_read(kind: str) -> None:
    picture = files.receipt()
    assert reads(files.pages(kind, picture) if kind in {"PDF", "TIFF"} else encode(picture, kind))


def test_a_heic_picture_is_read_where_the_library_is() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = BytesIO()
    pillow_heif.from_pillow(files.receipt().convert("RGB")).save(file, quality=90)
    assert kind_of(file.getvalue()) is PictureKind.HEIC
    assert reads(file.getvalue())


def test_a_heic_picture_is_refused_in_one_sentence_where_the_library_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    fault = answer_of(b"\x00\x00\x00\x18ftypheic" + bytes(100)).fault
    assert fault is not None
    assert (fault.code, fault.value) == (
        "PICTURE_UNREADABLE",
        "it is a HEIC picture and pillow-heif is not installed",
    )


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"])
def test_a_picture_in_any_colours_is_read(mode: str) -> None:
    grey = files.receipt()
    if mode == "I;16":
        # As of a scanner with 16 bits, which uses the lower part of them.
        picture = Image.fromarray((np.asarray(grey).astype(np.uint16)) * 40)
    elif mode in {"RGBA", "LA"}:
        # Black letters on nothing.
        black = Image.new("L", grey.size, 0)
        picture = Image.merge("LA", (black, grey.point([255 - value for value in range(256)]))).convert(mode)
    else:
        picture = grey.convert(mode, dither=Image.Dither.NONE)
    assert reads(encode(picture, "TIFF" if mode in {"CMYK", "I;16"} else "PNG"))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_picture_that_lies_turned_is_read_and_told(degrees: int) -> None:
    answer = read_picture(encode(files.turned(files.receipt(), degrees)))
    (document,) = documents(answer)
    assert is_read(document)
    assert answer.remarks == (f"page 1 lies turned by {degrees} degrees",)


@pytest.mark.parametrize("degrees", [-6, -2.5, 4, 94])
def test_a_tilted_picture_is_straightened(degrees: float) -> None:
    assert reads(encode(files.turned(files.receipt(), degrees)))


@pytest.mark.parametrize(("table", "darker", "degrees"), [(30, 1.0, 0), (110, 1.0, 3), (30, 0.35, 0), (60, 0.5, -4)])
def test_a_photo_on_a_table_in_uneven_light_is_read(table: int, darker: float, degrees: float) -> None:
    assert reads(encode(files.on_a_table(table=table, darker=darker, degrees=degrees), "JPEG"))


def test_letters_of_dots_are_read() -> None:
    (document,) = documents(read_picture(encode(files.of_dots())))
    assert (WRITTEN & words(document)).total() >= 0.5 * WRITTEN.total()


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_photo_is_turned_as_its_exif_says(orientation: int) -> None:
    stored = {3: 180, 6: 90, 8: 270}[orientation]
    answer = read_picture(files.photo(files.receipt().rotate(stored, expand=True), orientation=orientation))
    assert is_read(documents(answer)[0])
    # A viewer shows it upright, so nothing is told.
    assert answer.remarks == ()


@pytest.mark.parametrize("degrees", [0, 5, 90, 180, 270])
def test_a_words_box_is_where_its_ink_is_on_the_picture_as_it_was_given(degrees: int) -> None:
    picture = files.turned(files.receipt(), degrees)
    (document,) = documents(read_picture(encode(picture)))
    found = [word for line in document.receipts[0].lines for word in line.words if word.text == "HARDWARE"]
    (box,) = (word.bounding_box for word in found)
    # Where the picture differs from one without the word.
    without = render(("HOLLOW OAK", *files.TEXTS[1:]))
    alone = files.receipt()
    alone.paste(255, mask=Image.fromarray(np.asarray(files.receipt()) == np.asarray(without)))
    ink = np.asarray(files.turned(alone, degrees)) < 128
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    tolerance = 8
    assert abs(box.x * picture.width - columns[0]) < tolerance
    assert abs((box.x + box.width) * picture.width - columns[-1]) < tolerance
    assert abs(box.y * picture.height - rows[0]) < tolerance
    assert abs((box.y + box.height) * picture.height - rows[-1]) < tolerance


@pytest.mark.parametrize("kind", ["TIFF", "PDF"])
def test_each_page_with_text_is_an_image_of_its_own(kind: str) -> None:
    content = files.pages(kind, files.receipt(), files.blank(), files.receipt())
    answer = read_picture(content)
    first, third = documents(answer)
    assert first.image_id == first_image_id(content)
    assert len({first.image_id, third.image_id}) == 2
    assert answer.dropped == {"pages without text": 1}


def test_a_photo_with_a_preview_behind_it_is_one_page() -> None:
    file = BytesIO()
    files.receipt().save(file, format="MPO", save_all=True, append_images=[files.receipt().reduce(4)])
    assert reads(file.getvalue())


def heads(content: bytes) -> tuple[list[str], tuple[str, ...]]:
    """The first line of each receipt on the one page of a picture, by number, and the remarks."""
    answer = read_picture(content)
    (document,) = documents(answer)
    assert [receipt.receipt_id for receipt in document.receipts] == list(range(1, len(document.receipts) + 1))
    return [receipt.lines[0].text for receipt in document.receipts], answer.remarks


@pytest.mark.parametrize("degrees", [0, 3, 90, 180])
def test_two_receipts_side_by_side_are_told_apart_however_the_picture_lies(degrees: int) -> None:
    first_lines, remarks = heads(encode(files.turned(files.side_by_side(), degrees)))
    assert first_lines == ["HOLLOW OAK HARDWARE", "GREENLEAF MARKET"]
    assert remarks[-1] == "page 1 shows 2 receipts side by side; they are numbered from the left"


def test_each_of_two_receipts_is_straightened_on_its_own() -> None:
    first_lines, _ = heads(encode(files.side_by_side(files.TEXTS, files.OTHER_TEXTS, degrees=2)))
    assert first_lines == ["HOLLOW OAK HARDWARE", "GREENLEAF MARKET"]


def test_a_receipt_beside_a_much_longer_one_is_not_lost() -> None:
    long = (*files.TEXTS[:3], *[f"Wood screws box {number}  6.49" for number in range(10, 30)], *files.TEXTS[6:])
    first_lines, _ = heads(encode(files.side_by_side(files.OTHER_TEXTS, long)))
    assert first_lines == ["GREENLEAF MARKET", "HOLLOW OAK HARDWARE"]


@pytest.mark.long
def test_three_receipts_side_by_side_are_three() -> None:
    first_lines, remarks = heads(encode(files.side_by_side(files.TEXTS, files.OTHER_TEXTS, files.THIRD_TEXTS)))
    assert first_lines == ["HOLLOW OAK HARDWARE", "GREENLEAF MARKET", "HARBOR BAKERY"]
    assert "shows 3 receipts" in remarks[-1]


def test_the_boxes_of_two_receipts_are_on_their_own_side_of_the_page() -> None:
    (document,) = documents(read_picture(encode(files.side_by_side())))
    left, right = ([line.bounding_box for line in receipt.lines] for receipt in document.receipts)
    assert max(box.x + box.width for box in left) < 0.5 < min(box.x for box in right)
    assert all(box.y + box.height < 0.97 for box in (*left, *right))


def test_two_columns_of_which_one_has_no_total_are_one_receipt_with_a_warning() -> None:
    first_lines, (remark,) = heads(encode(files.side_by_side(files.TEXTS, files.OTHER_TEXTS[:6])))
    assert len(first_lines) == 1
    assert "seems to show two receipts side by side" in remark


ONE_RECEIPT = {
    "a column of prices": files.TEXTS,
    "nothing across the gap": (
        "HOLLOW OAK  Till 1",
        "Item  Amount RM",
        *[f"Wood screws {number}  6.49 T" for number in range(10, 22)],
        "TOTAL  77.88",
        "CASH  80.00",
        "CHANGE  2.12",
    ),
    "two columns of words": (
        "HOLLOW OAK  Served by Ann",
        "Millrace Lane  22 Jan 2026",
        *[f"Wood screws box {number}  size {number} steel 6.49" for number in range(10, 22)],
        "TOTAL TO PAY  77.88",
    ),
}


@pytest.mark.parametrize("name", ONE_RECEIPT)
def test_one_receipt_is_never_divided(name: str) -> None:
    first_lines, _ = heads(encode(render(ONE_RECEIPT[name])))
    assert len(first_lines) == 1


def test_one_receipt_with_a_column_of_prices_is_not_warned_of() -> None:
    assert read_picture(encode(files.receipt())).remarks == ()


REFUSED = {
    "blank": (lambda: encode(files.blank()), "PICTURE_WITHOUT_TEXT", "no text on any"),
    "blank pages": (lambda: files.pages("TIFF", files.blank(), files.blank()), "PICTURE_WITHOUT_TEXT", "2 pages"),
    "no text": (lambda: encode(files.noise()), "PICTURE_WITHOUT_TEXT", "no text on any"),
    "scribble": (lambda: encode(files.scribble()), "PICTURE_WITHOUT_TEXT", "no text on any"),
    "1 x 1": (lambda: encode(Image.new("L", (1, 1))), "PICTURE_WITHOUT_TEXT", "1 x 1 pixels"),
    "text called .jpg": (lambda: b"images/a.jpg\nimages/b.jpg\n", "PICTURE_UNREADABLE", "begins like no kind"),
    "empty": (lambda: b"", "PICTURE_UNREADABLE", "it is empty"),
    "cut JPEG": (lambda: encode(files.receipt(), "JPEG")[:9_000], "PICTURE_UNREADABLE", "truncated"),
    "cut PNG": (lambda: encode(files.receipt())[:4_000], "PICTURE_UNREADABLE", "truncated"),
    "cut TIFF": (lambda: files.pages("TIFF", files.receipt())[:5_000], "PICTURE_UNREADABLE", "cannot be unpacked"),
    "cut PDF": (lambda: files.pages("PDF", files.receipt())[:3_000], "PICTURE_UNREADABLE", "cannot be opened"),
    "JPEG's beginning alone": (lambda: b"\xff\xd8\xff\xe0", "PICTURE_UNREADABLE", "jpg"),
    "wrong bytes": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "PICTURE_UNREADABLE", "png"),
    "encrypted PDF": (files.encrypted_pdf, "PICTURE_UNREADABLE", "the PDF is encrypted"),
    "20,000 x 20,000": (lambda: files.huge_png(20_000, 20_000), "PICTURE_TOO_LARGE", "400000000 pixels"),
    "9,000 x 9,000": (lambda: files.huge_png(9_000, 9_000), "PICTURE_TOO_LARGE", "9000 x 9000 pixels"),
    "too many bytes": (lambda: bytes(MAXIMUM_PICTURE_BYTES + 1), "PICTURE_TOO_LARGE", "20971521 bytes"),
    "too many pages": (
        lambda: files.pages("TIFF", *[Image.new("1", (20, 20))] * (MAXIMUM_PAGES + 1)),
        "PICTURE_TOO_LARGE",
        "21 pages",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_picture_is_refused_by_a_code_with_its_value(name: str) -> None:
    make, code, said = REFUSED[name]
    answer = answer_of(make())
    assert answer.documents == ()
    assert answer.fault is not None
    assert answer.fault.code == code
    assert said in answer.fault.value


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    def unpack(*_: object) -> None:
        raise AssertionError("it was unpacked")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", unpack)
    for side in (9_000, 20_000):
        fault = answer_of(files.huge_png(side, side)).fault
        assert fault is not None
        assert fault.code == "PICTURE_TOO_LARGE"


def test_no_decoder_but_that_of_the_kind_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    plain = Image.open

    def opened(file: BytesIO, formats: list[str]) -> Image.Image:
        asked.append(formats)
        return plain(file, formats=formats)

    monkeypatch.setattr(pages.Image, "open", opened)
    read_picture(encode(files.receipt(), "JPEG"))
    assert asked == [["JPEG", "MPO"]]


def test_the_same_picture_gives_the_same_bytes_in_every_process() -> None:
    content = encode(files.turned(files.receipt(), 2))
    command = [sys.executable, "-m", "upload_images.pictures.reading"]
    said = {
        subprocess.run(command, input=content, capture_output=True, check=True, cwd=SOURCE).stdout for _ in range(2)
    }
    (only,) = said
    assert UUID(json.loads(json.loads(only)["documents"][0])["image_id"]) == first_image_id(content)
