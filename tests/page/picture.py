"""Makes docs/page.png from the running local stack: ``receipts local up --page``, then ``make page-picture``.

It uploads the samples, so that there is something to see, and takes the picture while they are on their way.
"""

import io
import sys
import time

from PIL import Image
from playwright.sync_api import sync_playwright

from ops.importers import read_documents
from ops.local.stack import LocalStack
from ops.page.serving import open_page
from ops.target import local_target
from ops.uploading import upload
from tests.page.chromium import CHROMIUM, OPTIONS
from tests.program.engine import PROJECT

FILE = PROJECT / "docs" / "page.png"
LARGEST_BYTES = 200_000
SIZE = {"width": 1240, "height": 900}
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
        content = shown.screenshot()
        browser.close()
    file = io.BytesIO()
    Image.open(io.BytesIO(content)).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
        file, "PNG", optimize=True
    )
    if len(file.getvalue()) > LARGEST_BYTES:
        sys.exit(f"the picture has {len(file.getvalue())} bytes, and at most {LARGEST_BYTES} are wanted")
    FILE.write_bytes(file.getvalue())


if __name__ == "__main__":
    main()
