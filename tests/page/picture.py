"""Makes docs/page.png from the running local stack: ``receipts local up``, then ``make page-picture``.

It uploads the samples, so that there is something to see, and takes the picture while they are on their way; below it
comes what a search finds. Where Japanese letters are boxes, the machine has no font with them.
"""

import io
import sys
import time

from PIL import Image
from playwright.sync_api import sync_playwright

from ops.importers import read_documents
from ops.local.stack import LocalStack
from ops.page.serving import open_page
from ops.stacks.local import local_target
from ops.submitting import upload
from tests.page.chromium import CHROMIUM, OPTIONS
from tests.program.engine import PROJECT

FILE = PROJECT / "docs" / "page.png"
LARGEST_BYTES = 200_000
SIZE = {"width": 1240, "height": 1000}
GAP = 16
TOP, FOUND_HEIGHT = 70, 440
"""Pixels: of a search what is below the head of the page."""
ON_THE_WAY_SECONDS = 6.0
"""After the upload; by then some receipts are published and others are not."""


def main() -> None:
    """Take the picture."""
    stack = LocalStack()
    address, target = open_page(stack), local_target(stack)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        shown = browser.new_page(viewport=SIZE, color_scheme="light", reduced_motion="reduce")
        shown.goto(address)
        for path in sorted((PROJECT / "samples").glob("*.json")):
            for name, content in read_documents(path):
                upload(target, name, content)
        time.sleep(ON_THE_WAY_SECONDS)
        last = shown.locator("#timeline").bounding_box() or SIZE | {"y": 0}
        above = {"x": 0, "y": 0, "width": SIZE["width"], "height": last["y"] + last["height"] + GAP}
        overview = shown.screenshot(clip=above)
        shown.goto(f"{address}search?q=oat+milk")
        found = shown.screenshot(clip={"x": 0, "y": TOP, "width": SIZE["width"], "height": FOUND_HEIGHT})
        browser.close()
    parts = [Image.open(io.BytesIO(content)).convert("RGB") for content in (overview, found)]
    whole = Image.new("RGB", (SIZE["width"], sum(part.height for part in parts)))
    for number, part in enumerate(parts):
        whole.paste(part, (0, sum(before.height for before in parts[:number])))
    file = io.BytesIO()
    whole.quantize(128, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    if len(file.getvalue()) > LARGEST_BYTES:
        sys.exit(f"the picture has {len(file.getvalue())} bytes, and at most {LARGEST_BYTES} are wanted")
    FILE.write_bytes(file.getvalue())


if __name__ == "__main__":
    main()
