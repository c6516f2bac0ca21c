"""The page by its ASGI application: what it shows, that it escapes everything, what it costs to load.

A failure runs a receipt's text as a program in the operator's browser, or hides a receipt's way.
"""

import asyncio
import io
import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from PIL import Image
from starlette.requests import Request
from starlette.testclient import TestClient

from ops.errors import OperatorError
from ops.page import application as application_module
from ops.page.application import Feed, Page
from ops.page.guard import HEADERS
from ops.page.rendering import PARTS
from tests.operations.published import BUCKET, Receipt
from tests.page.served import PORT, Served
from tests.watching.snapshots import CONTROLS, IMAGE, MARKUP, PLAIN, snapshot

FIRST_VIEW_BYTES = 100_000
PATHS = ("/", "/search?q=oat+milk", "/search?q=oat&collection=words&mode=text", f"/receipts/{IMAGE}/1?line=2")


@pytest.fixture
def browser(page: Served) -> TestClient:
    return TestClient(page.application(), base_url=f"http://127.0.0.1:{PORT}")


def test_the_first_page_shows_the_stack_as_drawing_and_as_tables(browser):
    html = browser.get("/").text
    for told in ("Stack local", "mapping Enabled", "words FAILED", "lambda", "000000000004-abc-000001", "1 min"):
        assert told in html
    assert html.count("<svg") >= 2
    assert html.count("<table") >= 4
    assert re.search(r'<g class="node work on"[^>]*>\s*<rect[^>]*>\s*<text[^>]*>Lambda<', html)


def test_it_is_whole_without_javascript_and_then_loads_itself_again(browser):
    html = browser.get("/").text
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in html
    for part in PARTS:
        section = re.search(rf'<section id="{part}">(.*?)</section>', html, re.S)
        assert section
        assert len(section[1].strip()) > 50


def test_the_first_view_is_small_and_asks_no_other_host(browser):
    html = browser.get("/").text
    links = re.findall(r'(?:src|href)="([^"]+)"', html)
    files = [link for link in links if link.startswith("/static/")]
    assert {"/static/page.css", "/static/page.js"} <= set(files)
    total = len(html.encode())
    for file in files:
        answer = browser.get(file)
        assert answer.status_code == 200
        total += len(answer.content)
        assert "//" not in re.sub(r"^\s*//.*$|http://www\.w3\.org/2000/svg", "", answer.text, flags=re.M)
        assert "url(" not in answer.text
    assert total < FIRST_VIEW_BYTES
    assert [link for link in links if urlsplit(link).netloc or not link.startswith(("/", "#"))] == []


@pytest.mark.parametrize("path", PATHS)
def test_text_from_data_is_text_on_every_page(browser, page, path):
    page.seen = snapshot(remarks=(MARKUP,), unfinished=MARKUP)
    answer = browser.get(path)
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text or "oat" in path
    assert "\x1b" not in answer.text
    assert "\u202e" not in answer.text
    assert re.findall(r"<script[^>]*>", answer.text) in ([], ['<script src="/static/page.js" defer>'])
    assert not re.search(r"\s(style|on\w+)=", answer.text)


def test_what_is_typed_is_text_too(browser):
    hostile = '"><script>alert(1)</script>'
    answer = browser.get("/search", params={"q": hostile, "collection": hostile, "mode": hostile})
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    refused = browser.get(f"/receipts/{MARKUP.split('/')[0]}/1")
    assert "<script>alert" not in refused.text


@pytest.mark.parametrize("path", [*PATHS, "/snapshot.json", "/static/page.css", "/nowhere"])
def test_every_answer_has_the_headers_that_keep_other_sites_out(browser, path):
    headers = browser.get(path).headers
    assert {name: headers[name] for name in HEADERS} == HEADERS
    assert "access-control-allow-origin" not in headers


def test_another_host_and_another_sites_requests_are_refused_before_anything_is_read(browser, page):
    assert browser.get("/", headers={"host": f"evil.example:{PORT}"}).status_code == 403
    assert browser.get("/search?q=x", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert browser.post("/", headers={"origin": "http://evil.example"}).status_code == 403
    assert browser.post("/", headers={"origin": f"http://127.0.0.1:{PORT}"}).status_code == 405
    assert page.looks == 0


def test_a_search_marks_the_hit_on_its_receipts_own_boxes(browser):
    html = browser.get("/search", params={"q": "oat milk"}).text
    assert "<mark>OAT MILK 2.10</mark>" in html
    assert re.search(r'<rect class="hit"[^>]*/>\s*<text[^>]*>OAT MILK 2.10<', html)
    assert f'href="/receipts/{IMAGE}/1?line=1&amp;word=0"' in html
    words = browser.get("/search", params={"q": "milk", "collection": "words"}).text
    assert re.search(r'<rect class="hit"[^>]*/>\s*<text[^>]*>MILK<', words)
    assert f'href="/receipts/{IMAGE}/1?line=1&amp;word=2"' in words


@pytest.mark.parametrize("query", ["", " ", "\x00", "x" * 5_000, "zzz"])
def test_a_search_for_anything_is_answered(browser, query):
    assert browser.get("/search", params={"q": query}).status_code == 200


def test_before_anything_is_published_a_search_says_so_and_a_receipt_is_not_found(shop):
    browser = TestClient(Served(shop).application(), base_url=f"http://127.0.0.1:{PORT}")
    assert "NOTHING_PUBLISHED" in browser.get("/search?q=x").text
    missing = browser.get(f"/receipts/{IMAGE}/1")
    assert missing.status_code == 404
    assert "RECEIPT_UNKNOWN" in missing.text


def test_a_receipt_is_shown_with_its_way_and_the_line_that_was_found(browser, page):
    put = page.shop.target.s3.put_object
    put(Bucket=BUCKET, Key=f"ocr/{IMAGE}.json", Body=b"{}")
    put(Bucket=BUCKET, Key=f"receipts/{IMAGE}/receipt-00001/0123456789abcdef/manifest.json", Body=b"{}")
    html = browser.get(f"/receipts/{IMAGE[:8]}/1?line=3").text
    assert f"ocr/{IMAGE}.json, 20" in html
    assert f"receipts/{IMAGE}/receipt-00001/0123456789abcdef/, 20" in html
    assert "operation 1: upsert by lambda" in html
    assert "now in version 000000000001-owner-000001" in html
    assert "now in version 000000000002-owner-000001" in html
    assert re.search(r'<rect class="hit"[^>]*/>\s*<text[^>]*>TOTAL 2.10<', html)
    assert 'href="/receipts' not in html


def test_a_receipt_on_its_way_is_shown_with_what_failed(browser, page):
    other = "7c1f5a20-3b64-4e8d-9a10-000000000009"
    failed = {"state": "FAILED", "expected_count": 1, "delta_sha256": "0" * 64, "error": f"DELTA_INVALID: {MARKUP}"}
    page.shop.record(Receipt(image=other, texts=["A"]), lines=failed)
    html = browser.get(f"/receipts/{other}/1").text
    assert '<li class="failed"><h3>Runs' in html
    assert "DELTA_INVALID: &lt;script&gt;" in html
    assert "No published version holds it." in html
    assert "it expired, or was uploaded under another key" in html


@pytest.mark.parametrize("path", ["0", "x", str(2**63), "9" * 5_000, "-1", "²", "1/photo.jpg"])
def test_what_is_no_receipt_or_has_no_photo_is_not_found(browser, path):
    assert browser.get(f"/receipts/{IMAGE}/{path}").status_code == 404


@pytest.mark.parametrize("hit", ["line=x", "line=0", "line=1&word=²", "line=99999999999999999999999", "word=1"])
def test_a_link_that_marks_nothing_shows_the_receipt(browser, hit):
    answer = browser.get(f"/receipts/{IMAGE}/1?{hit}")
    assert answer.status_code == 200
    assert 'rect class="hit"' not in answer.text


def test_an_uploaded_picture_lies_beneath_the_boxes_and_is_served_without_its_own_notes(browser, page):
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "CAMERA MAKER"
    Image.new("RGB", (200, 600), (0, 90, 200)).save(file, "JPEG", exif=exif)
    page.shop.target.s3.put_object(Bucket=BUCKET, Key=f"images/{IMAGE}.jpg", Body=file.getvalue())
    html = browser.get(f"/receipts/{IMAGE}/1?line=1").text
    address = f"/receipts/{IMAGE}/1/photo.jpg"
    assert f'<image href="{address}"' in html
    assert ">OAT MILK 2.10</text>" not in html
    photo = browser.get(address)
    assert photo.headers["content-type"] == "image/jpeg"
    assert b"CAMERA" not in photo.content
    assert Image.open(io.BytesIO(photo.content)).size[0] == 720


def events(page: Served, later: list[Any]) -> list[tuple[str, Any]]:
    """The first events of a stream; ``later`` has what is seen after the first."""

    async def read() -> list[str]:
        answer: Any = await Page(Feed(look=page.look), lambda: page.shop.target).events(Request({"type": "http"}))
        stream = answer.body_iterator
        found = [await anext(stream)]
        for page.seen in later:
            found.append(await anext(stream))
        await stream.aclose()
        return found

    pairs = [re.fullmatch(r"event: (\w+)\ndata: (.*)\n\n", event) for event in asyncio.run(read())]
    return [(pair[1], json.loads(pair[2])) for pair in pairs if pair]


def test_the_stream_sends_every_part_first_then_what_changed_trouble_and_the_end(page, monkeypatch):
    monkeypatch.setattr(application_module, "LOOK_SECONDS", 0.0)
    throttled = ClientError({"Error": {"Code": "Throttling", "Message": MARKUP + CONTROLS}}, "GetQueueAttributes")
    ended = OperatorError("STACK_NOT_RUNNING", "the local stack is not up", "receipts local up")
    old = OperatorError("OUTPUT_MISSING", "the stack has no output x", "receipts local up")
    first, changed, trouble, missing, end = events(page, [snapshot(chosen="ecs"), throttled, old, ended])
    assert (first[0], set(first[1])) == ("parts", set(PARTS))
    assert (changed[0], set(changed[1])) == ("parts", {"head"})
    assert "&lt;script&gt;" in first[1]["latest"]
    assert (trouble[0], missing[0], end[0]) == ("trouble", "trouble", "ended")
    assert end[1]["message"].startswith("STACK_NOT_RUNNING")


def test_many_who_look_at_once_are_one_look_a_second(page):
    feed = Feed(look=page.look)
    for _ in range(50):
        assert feed.latest() is PLAIN
    assert page.looks == 1


def test_programs_get_the_snapshot(browser):
    assert browser.get("/snapshot.json").json()["chosen"] == "lambda"


def test_a_stack_that_does_not_answer_is_an_error_page_and_no_traceback(browser, page):
    page.seen = ClientError({"Error": {"Code": "Throttling", "Message": MARKUP}}, "GetQueueAttributes")
    answer = browser.get("/")
    assert answer.status_code == 400
    assert "Throttling" in answer.text
    assert "<script>alert" not in answer.text
