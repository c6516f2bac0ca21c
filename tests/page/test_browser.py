"""The page in a real browser: what a person sees, with and without JavaScript, by mouse and by keyboard.

``make torture`` runs it. Skipped where no Chromium is installed; ``make browser`` installs Debian's. The rest of the
page's tests need none.
"""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.sync_api import Browser, sync_playwright

from ops.errors import OperatorError
from tests.page.chromium import CHROMIUM, OPTIONS
from tests.page.served import Served
from tests.watching.snapshots import IMAGE, PLAIN, snapshot

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: `make browser` installs it"),
]
CONTRAST = 4.5
"""Of text to its ground, at least (W3C, WCAG 2.2, success criterion 1.4.3)."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@dataclass
class Visit:
    """One page in the browser, and what went wrong in it."""

    shown: Any
    address: str
    page: Served
    requests: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@pytest.fixture
def address(page: Served) -> Iterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        configuration = uvicorn.Config(page.application(port), log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(configuration)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def visit(page: Served, address: str, chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    context = chromium.new_context(**getattr(request, "param", {}), viewport={"width": 1280, "height": 900})
    context.set_default_timeout(20_000)
    shown = context.new_page()
    visit = Visit(shown, address, page)
    shown.on("request", lambda asked: visit.requests.append(asked.url))
    shown.on("pageerror", lambda error: visit.faults.append(str(error)))
    shown.on("console", lambda message: visit.faults.append(message.text) if message.type == "error" else None)
    shown.on("dialog", lambda dialog: visit.faults.append(dialog.message))
    yield visit
    context.close()


def test_a_switch_is_seen_as_it_happens_and_nothing_runs_that_came_from_data(visit):
    shown = visit.shown
    shown.goto(visit.address)
    assert shown.locator(".node.on .name").text_content() == "Lambda"
    visit.page.seen = snapshot(unfinished="ecs")
    shown.get_by_text("an update from lambda to ecs has begun").wait_for()
    lambda_host, worker = PLAIN.hosts
    hosts = (replace(lambda_host, standing="off"), replace(worker, standing="on"))
    visit.page.seen = snapshot(chosen="ecs", hosts=hosts)
    shown.locator(".node.on .name", has_text="ECS worker").wait_for()
    assert shown.locator(".node.on").count() == 1
    assert shown.evaluate("document.querySelectorAll('main script').length") == 0
    assert visit.faults == []
    assert {urlsplit(asked).netloc for asked in visit.requests} == {urlsplit(visit.address).netloc}


def test_the_keyboard_keeps_its_place_while_the_stack_works(visit):
    shown = visit.shown
    shown.goto(visit.address)
    link = shown.locator("#latest a").first
    link.focus()
    assert PLAIN.runs is not None
    visit.page.seen = snapshot(chosen="none", runs=replace(PLAIN.runs, recent=()))
    shown.locator("#head dd", has_text="none").wait_for()
    assert shown.evaluate("document.activeElement.getAttribute('href')") == f"/receipts/{IMAGE}/1"
    shown.keyboard.press("Enter")
    shown.wait_for_url("**/receipts/**")


def test_the_first_key_leads_to_the_content_and_a_search_needs_no_mouse(visit):
    shown = visit.shown
    shown.goto(visit.address)
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.textContent") == "To the content"
    shown.keyboard.press("Tab")
    shown.keyboard.press("Tab")
    shown.keyboard.type("oat milk")
    shown.keyboard.press("Enter")
    shown.wait_for_url("**/search?q=oat+milk")
    hit, text = shown.locator("svg.sheet .hit").first, shown.locator("svg.sheet text", has_text="OAT MILK")
    box, letters = hit.bounding_box(), text.first.bounding_box()
    assert box["y"] <= letters["y"] + letters["height"] / 2 <= box["y"] + box["height"]
    assert visit.faults == []


@pytest.mark.parametrize("visit", [{"java_script_enabled": False}], indirect=True)
def test_without_javascript_everything_is_there_and_is_loaded_again(visit):
    shown = visit.shown
    shown.goto(visit.address)
    assert shown.locator("table").count() >= 4
    visit.page.seen = snapshot(chosen="none")
    shown.locator("#head dd", has_text="none").wait_for()
    shown.goto(f"{visit.address}/search?q=oat+milk")
    assert shown.locator("mark").first.inner_text() == "OAT MILK 2.10"
    shown.locator("h2 a").first.click()
    shown.get_by_role("heading", name="Its way").wait_for()
    assert {urlsplit(asked).netloc for asked in visit.requests} == {urlsplit(visit.address).netloc}


LOW_CONTRAST = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const channel = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const colour = numbers(getComputedStyle(element).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("main *, .top *")]
    .filter((element) => !element.closest("svg, mark, tr.hit, noscript"))
    .filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
    .map((element) => {
      const [one, other] = [light(numbers(getComputedStyle(element).color)), light(ground(element))];
      const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
      return [element.textContent.trim().slice(0, 40), ratio];
    })
    .filter(([, ratio]) => ratio < LEAST);
}"""


@pytest.mark.parametrize("visit", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
def test_every_text_is_legible_in_light_and_in_dark(visit):
    visit.page.seen = snapshot(unfinished="ecs", remarks=("ages are not known",))
    for path in ("/", "/search?q=oat+milk", f"/receipts/{IMAGE}/1?line=1"):
        visit.shown.goto(visit.address + path)
        assert visit.shown.evaluate(LOW_CONTRAST.replace("LEAST", str(CONTRAST))) == []


@pytest.mark.parametrize("path", ["/", "/search?q=oat+milk", f"/receipts/{IMAGE}/1?line=1"])
def test_a_narrow_screen_scrolls_in_one_direction_only(visit, path):
    visit.shown.set_viewport_size({"width": 360, "height": 740})
    visit.shown.goto(visit.address + path)
    assert visit.shown.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_view_says_when_the_stack_has_gone(visit):
    visit.shown.goto(visit.address)
    visit.page.seen = OperatorError("STACK_NOT_RUNNING", "the local stack is not up", "receipts local up")
    visit.shown.get_by_text("STACK_NOT_RUNNING").wait_for()
