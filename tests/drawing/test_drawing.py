"""A receipt as a picture: where its texts stand, what is marked, what becomes of the photo beneath.

A failure marks another line than the one that was found, or lets a forged picture take the machine's memory.
"""

import io
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from ops.drawing import photo as photos
from ops.drawing.photo import unpacked
from ops.drawing.picture import HIT_EDGE, PAPER, Typefaces, draw, png, shown_part
from ops.drawing.sheet import LARGEST_HEIGHT, SHEET_WIDTH, Place, lay_out, part_of
from ops.errors import OperatorError

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
OWN_FONT = Typefaces(())


def row(line: int, text: str = "TOTAL 12.50", *, word: int = 0, confidence: float = 0.9, **box: float):
    place = {"x": 0.1, "y": 0.1 * line, "width": 0.8, "height": 0.05} | box
    return {"line_id": line, "text": text, "confidence": confidence, **({"word_id": word} if word else {}), **place}


def test_texts_stand_where_their_boxes_are_and_y_grows_downwards():
    sheet = lay_out([row(1), row(3)])
    first, third = sheet.marks
    assert first.top < third.top
    assert first.left == third.left
    assert first.left + first.width <= sheet.width
    assert third.top + third.height <= sheet.height


def test_only_the_part_of_the_image_is_shown_that_the_receipt_takes_up():
    right_half = lay_out([row(1, x=0.56, width=0.4), row(2, x=0.56, width=0.2)])
    assert right_half.region.left == pytest.approx(0.548)
    assert right_half.marks[0].left < 0.05 * right_half.width


def test_what_is_found_and_what_is_doubtful_is_marked_and_a_confidence_that_was_not_told_is_not_doubtful():
    rows = [row(1), row(2, confidence=0.4), row(3, confidence=0)]
    marks = lay_out(rows, hits={Place(1)}).marks
    assert [mark.is_hit for mark in marks] == [True, False, False]
    assert [mark.is_doubtful for mark in marks] == [False, True, False]


def test_a_hit_on_a_word_is_that_word_and_not_its_line():
    marks = lay_out([row(1, word=1, width=0.3), row(1, word=2, x=0.5, width=0.3)], hits={Place(1, 2)}).marks
    assert [mark.is_hit for mark in marks] == [False, True]


def test_texts_without_a_place_stand_below_one_another_and_cover_nothing():
    without = {"line_id": 2, "text": "NO BOX"}
    whole_page = row(3, "WHOLE PAGE", x=0.0, y=0.0, width=1.0, height=1.0)
    sheet = lay_out([row(1), without, whole_page])
    placed, second, third = sheet.marks
    assert placed.top + placed.height <= sheet.region_height <= second.top
    assert second.top + second.height <= third.top
    assert third.top + third.height <= sheet.height


def test_of_a_long_sheet_the_part_around_a_text_is_shown_and_of_a_short_one_all():
    sheet = lay_out([row(line, y=line / 200, height=0.004) for line in range(1, 190)])
    assert sheet.height > 2_000
    for mark in sheet.marks:
        top, height = part_of(sheet, mark.place, 480)
        assert height == 480
        assert 0 <= top <= mark.top
        assert mark.top + mark.height <= top + height <= sheet.height + 1
    assert part_of(sheet, Place(1_000), 480) == (0, 480)
    short = lay_out([row(1)])
    assert part_of(short, Place(1), 480) == (0, short.height)


FRACTIONS = st.floats(0, 1)
ROWS = st.lists(
    st.builds(
        row, st.integers(1, 50), st.text(max_size=40), x=FRACTIONS, y=FRACTIONS, width=FRACTIONS, height=FRACTIONS
    ),
    max_size=8,
)


@given(ROWS, st.none() | st.tuples(st.integers(1, 3000), st.integers(1, 3000)))
def test_every_receipt_of_the_contract_has_a_sheet_of_bounded_size(rows, photo_size):
    sheet = lay_out(rows, photo_size=photo_size)
    assert (sheet.width, len(sheet.marks)) == (SHEET_WIDTH, len(rows))
    assert 1 <= sheet.height <= LARGEST_HEIGHT + 24 * (len(rows) + 1) + 1
    assert all(mark.font_size >= 1 for mark in sheet.marks)


def test_the_picture_has_the_edge_of_a_hit_around_the_right_line():
    sheet = lay_out([row(1), row(2), row(3)], hits={Place(2)})
    picture = draw(sheet, typefaces=OWN_FONT)
    left_of = [round(mark.top + mark.height / 2) for mark in sheet.marks]
    x = round(sheet.marks[0].left) - 2
    assert [picture.getpixel((x, y)) == HIT_EDGE[:3] for y in left_of] == [False, True, False]


def test_the_texts_are_written_in_ink_inside_their_boxes():
    sheet = lay_out([row(1, "MMMM"), row(2, "")])
    picture = draw(sheet, typefaces=OWN_FONT)

    def inked(number: int) -> int:
        mark = sheet.marks[number]
        left, top = round(mark.left + 3), round(mark.top + 3)
        right, bottom = round(mark.left + mark.width - 3), round(mark.top + mark.height - 3)
        return sum(1 for pixel in picture.crop((left, top, right, bottom)).convert("L").tobytes() if pixel < 90)

    assert inked(0) > 100
    assert inked(1) == 0


@pytest.mark.parametrize("sample", ["greenleaf-long", "sakura-1", "two-receipts", "boulangerie-1"])
def test_every_kind_of_sample_is_drawn_and_its_file_is_small(sample):
    for receipt in json.loads((SAMPLES / f"{sample}.json").read_text())["receipts"]:
        sheet = lay_out([{**line, **line["bounding_box"]} for line in receipt["lines"]])
        file = png(draw(sheet, typefaces=OWN_FONT), is_photo=False)
        assert Image.open(io.BytesIO(file)).size == (sheet.width, sheet.height)
        # The long one has 150 lines.
        assert len(file) < 100_000 + 2_000 * len(receipt["lines"])


def test_letters_that_no_font_has_lose_their_accents_and_nothing_fails():
    assert OWN_FONT.choose("TOTAL") == (OWN_FONT.choose("A")[0], "TOTAL")
    assert OWN_FONT.choose("crème brûlée")[1] == "creme brulee"
    draw(lay_out([row(1, "さくら \U0001f9fe \u200d\n x" * 3)]), typefaces=OWN_FONT)


def test_of_a_photo_the_receipts_part_is_shown_and_the_texts_are_not_drawn_over_it():
    photo = Image.new("RGB", (400, 800), (10, 120, 10))
    ImageDraw.Draw(photo).rectangle((0, 0, 199, 799), fill=(200, 0, 0))
    sheet = lay_out([row(1, x=0.6, width=0.3), row(5, x=0.6, width=0.3)], hits={Place(5)}, photo_size=photo.size)
    assert set(shown_part(sheet, photo).get_flattened_data()) == {(10, 120, 10)}
    picture = draw(sheet, photo, OWN_FONT)
    first = sheet.marks[0]
    assert picture.getpixel((round(first.left + 10), round(first.top + first.height / 2))) == (10, 120, 10)
    assert PAPER not in set(picture.get_flattened_data())


def file_of(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_a_photo_that_was_taken_sideways_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert unpacked(file_of(Image.new("RGB", (300, 100)), "JPEG", exif=exif), "images/a.jpg").size == (100, 300)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no picture"),
        (b"a text that somebody called .jpg", "no picture"),
        (file_of(Image.new("RGB", (300, 300)))[:200], "no picture"),
        (file_of(Image.new("1", (20_000, 20_000)), compress_level=1), "hundreds of millions of pixels"),
        (file_of(Image.new("1", (70_000, 1_000)), compress_level=1), "70000 x 1000 pixels"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "no picture"),
    ],
    ids=["empty", "text", "cut", "a bomb", "many pixels", "a format that runs a program"],
)
def test_a_picture_that_cannot_be_used_is_refused_with_its_key(content, why, monkeypatch):
    with pytest.raises(OperatorError, match=why) as refused:
        unpacked(content, "images/a.jpg")
    assert refused.value.code == "PICTURE_UNUSABLE"
    assert "images/a.jpg" in str(refused.value)


WHOLE = [
    file_of(Image.effect_noise((60, 40), 50).convert(mode), kind)
    for mode, kind in [("RGB", "JPEG"), ("RGBA", "PNG"), ("P", "PNG"), ("RGB", "TIFF"), ("L", "TIFF")]
]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), max_size=6),
    st.floats(0.1, 1),
)
def test_a_file_that_was_changed_anywhere_is_a_picture_or_refused(content, changes, kept):
    changed = bytearray(content)
    for place, put in changes:
        start = int(place * len(changed))
        changed[start : start + len(put)] = put
    with suppress(OperatorError):
        assert unpacked(bytes(changed[: int(kept * len(changed))]), "k").mode == "RGB"


def test_what_is_transparent_in_a_picture_is_paper():
    assert unpacked(file_of(Image.new("RGBA", (4, 4), (0, 0, 0, 0))), "k").getpixel((1, 1)) == (255, 255, 255)
    with_palette = Image.new("P", (4, 4))
    assert unpacked(file_of(with_palette, transparency=0), "k").getpixel((1, 1)) == (255, 255, 255)


def test_a_large_photo_is_kept_in_a_bounded_size(monkeypatch):
    assert max(unpacked(file_of(Image.new("L", (5_000, 500))), "k").size) == photos.LONGEST_SIDE
