"""``receipts show --picture``: the file that it writes, with and without the photo.

A failure shows another receipt, or writes half a file over a good one.
"""

import io
import json

import pytest
from PIL import Image

from tests.operations.published import BUCKET, Receipt, Shop

IMAGE = "7c1f5a20-3b64-4e8d-9a10-000000000001"


@pytest.fixture
def market(shop: Shop) -> Shop:
    shop.publish(Receipt(image=IMAGE, texts=["OAT MILK", "TOTAL 2.10"]))
    return shop


def picture(market: Shop, *words: str):
    file = market.path / "out.png"
    code, out, err = market.command("show", IMAGE[:8], "1", "--picture", str(file), "--json", *words)
    assert code == 0, err
    return Image.open(io.BytesIO(file.read_bytes())), json.loads(out)["picture"]


def test_it_is_drawn_from_boxes_and_texts_with_the_line_marked_that_is_meant(market):
    image, told = picture(market, "--mark", "oat milk")
    assert image.format == "PNG"
    assert (told["on_photo"], told["marked"]) == (False, ["OAT MILK"])


def test_its_photo_is_beneath_where_there_is_one(market):
    photo = io.BytesIO()
    Image.new("RGB", (100, 300), (0, 90, 200)).save(photo, "PNG")
    market.target.s3.put_object(Bucket=BUCKET, Key=f"images/{IMAGE}.png", Body=photo.getvalue())
    image, told = picture(market)
    assert told["on_photo"]
    assert image.getpixel((2, 2)) == (0, 90, 200)


def test_a_photo_that_cannot_be_used_is_told_and_the_receipt_is_drawn_without_it(market):
    market.target.s3.put_object(Bucket=BUCKET, Key=f"images/{IMAGE}.jpg", Body=b"text")
    image, told = picture(market)
    assert not told["on_photo"]
    assert told["remark"].startswith("PICTURE_UNUSABLE: ")
    assert image.width == 720


def test_a_file_that_cannot_be_written_is_an_error_that_says_so(market):
    code, _, err = market.command("show", IMAGE, "1", "--picture", str(market.path / "nowhere" / "out.png"))
    assert code == 1
    assert err.startswith("PICTURE_UNWRITABLE: ")


def test_a_text_that_no_line_is_like_marks_nothing_and_is_told(market):
    file = market.path / "out.png"
    code, _, err = market.command("show", IMAGE, "1", "--picture", str(file), "--mark", "zebra")
    assert code == 1
    assert err.startswith(f"NOTHING_TO_MARK: no line of receipt 1 of image {IMAGE} is like 'zebra'. Way out: ")
    assert not file.exists()


def test_a_receipt_that_is_not_published_has_nothing_to_draw(market):
    other = Receipt(image="7c1f5a20-3b64-4e8d-9a10-000000000009", texts=["A"])
    market.record(other)
    file = market.path / "out.png"
    code, _, err = market.command("show", other.image, "1", "--picture", str(file))
    assert code == 1
    assert err.startswith("NOTHING_TO_DRAW: ")
    assert not file.exists()


def test_a_mark_without_a_picture_is_a_wrong_call(market):
    assert market.command("show", IMAGE, "1", "--mark", "milk")[0] == 2
