"""``receipts demo``: the whole thread on this machine, from a picture to a hit, with both consumers.

It begins with nothing and leaves one file: the picture with the hit marked on it. The picture is drawn from a sample's
texts, as no picture comes with the project.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ops.console import Output
from ops.drawing.receipt import drawing_of, place_of, write_picture
from ops.errors import OperatorError
from ops.importers import read_documents
from ops.local.stack import LocalStack
from ops.pictures import upload_picture, wait_until_read
from ops.rendering import encode, render
from ops.reporting import stack_status
from ops.searching import search
from ops.showing import show
from ops.stacks.local import local_target
from ops.submitting import UploadedDocument, upload
from ops.target import Target
from ops.views import show_search_result, show_status
from ops.waiting import require_complete, wait_until_searchable
from pipeline.collections.receipts import ReceiptKey
from pipeline.contracts.ocr import parse_ocr_document

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
PICTURED = SAMPLES / "greenleaf-1.json"
WAIT_SECONDS = 180.0
MARKED = "demo-hit.png"
"""In the folder beside the demo's state: what is left of the demo."""
SEARCHES: tuple[tuple[str, Any], ...] = (("oat milk", "lines"), ("total", "words"))


def run_demo(output: Output, state_directory: Path) -> dict[str, Any]:
    """Run the demonstration; everything it starts is stopped and removed, also on failure and on Ctrl-C.

    Returns:
        The final status and what was searched, for ``--json``.
    """
    documents = [item for path in sorted(SAMPLES.glob("*.json")) for item in read_documents(path)]
    # Receipts that name their merchant come first: their siblings then have something to be resolved by.
    documents.sort(key=lambda item: b'"merchant_name"' not in item[1])
    half = (len(documents) + 1) // 2
    with LocalStack(state_directory) as stack:
        try:
            output.heading("1. The stack comes up, with Lambda as the consumer")
            target = _switch(output, stack, "lambda")
            output.heading("2. A picture of a receipt is read, embedded and found: nothing but the picture was given")
            pictured = _picture(output, target, state_directory / "receipt.png", state_directory.parent / MARKED)
            output.heading(f"3. {half} sample images are uploaded and embedded by the Lambda function")
            _process(output, target, documents[:half])
            output.heading("4. They are searchable")
            searches = [pictured, *(_search(output, target, text, collection) for text, collection in SEARCHES)]
            output.heading("5. The flag is flipped: Lambda is turned off, then ECS is turned on")
            target = _switch(output, stack, "ecs")
            output.heading(f"6. {len(documents) - half} more images are embedded by the ECS worker")
            _process(output, target, documents[half:])
            output.heading("7. Which consumer did what")
            status = stack_status(target)
            show_status(output, status)
        finally:
            output.heading("8. Everything is torn down")
            stack.down(destroy=True)
            output.say(f"nothing is left running, and nothing on disk but {state_directory.parent / MARKED}")
    return {"status": status, "searches": searches}


def _switch(output: Output, stack: LocalStack, consumer: str) -> Target:
    result = stack.up({"embedConsumer": consumer})
    for step in result.steps if result.unchanged else ():
        output.step(step.operation, step.line)
    output.say(f"  {len(result.changes)} resources changed, {result.unchanged} unchanged")
    return local_target(stack)


def _picture(output: Output, target: Target, path: Path, marked: Path) -> dict[str, Any]:
    """Draw a receipt, upload the picture, search it, and draw the hit's box on it into ``marked``."""
    (receipt,) = parse_ocr_document(PICTURED.read_bytes(), PICTURED.name).receipts
    content = encode(render([line.text for line in receipt.lines]))
    write_picture(content, path)
    uploaded = upload_picture(target, path.name, content)
    output.say(f"  {path.name} is {uploaded.key}")
    with output.progress("reading", 1) as bar:
        (picture,) = wait_until_read(target, [uploaded], timeout_seconds=WAIT_SECONDS, on_progress=bar.set)
    if picture.outcome.error is not None:
        raise OperatorError("PICTURE_REFUSED", picture.outcome.error.reason, "report it: the demo draws what it reads")
    _wait(output, target, picture.documents)
    found = _search(output, target, *SEARCHES[0], image=str(uploaded.image_id))
    (match,) = found["matches"]
    details = show(target, ReceiptKey(match["image_id"], match["receipt_id"]), words=False)
    write_picture(drawing_of(target, details, [place_of(match)]).png(), marked)
    output.say(f"  the hit is marked in {marked}")
    return {**found, "picture": str(marked)}


def _process(output: Output, target: Target, documents: list[tuple[str, bytes]]) -> None:
    uploaded = []
    with output.progress("uploading", len(documents)) as bar:
        for done, (name, content) in enumerate(documents, 1):
            uploaded.append(upload(target, name, content))
            bar.set(done)
    _wait(output, target, uploaded)


def _wait(output: Output, target: Target, uploaded: Sequence[UploadedDocument]) -> None:
    receipts = sum(len(document.runs) for document in uploaded)
    with output.progress("searchable", receipts) as bar:
        result = wait_until_searchable(target, uploaded, timeout_seconds=WAIT_SECONDS, on_progress=bar.wait)
    require_complete(result)


def _search(output: Output, target: Target, text: str, collection: Any, *, image: str | None = None) -> dict[str, Any]:
    result = search(target, text, collection=collection, limit=5 if image is None else 1, image=image)
    show_search_result(output, text, result)
    return json.loads(json.dumps({"text": text, "version": result.version, "matches": result.matches}))
