"""``receipts demo``: the whole thread on this machine, with both consumers, from nothing and back to nothing."""

import json
from pathlib import Path
from typing import Any

from ops.console import Output
from ops.importers import read_documents
from ops.local.stack import LocalStack
from ops.reporting import stack_status
from ops.searching import search
from ops.target import Target, local_target
from ops.uploading import upload
from ops.waiting import require_complete, wait_until_searchable

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
WAIT_SECONDS = 180.0
SEARCHES: tuple[tuple[str, Any], ...] = (("oat milk", "lines"), ("total", "words"))


def run_demo(output: Output, state_directory: Path) -> dict[str, Any]:
    """Run the demonstration; everything it starts is stopped and removed, also on failure and on Ctrl-C.

    Returns:
        The final status and what was searched, for ``--json``.
    """
    documents = [item for path in sorted(SAMPLES.glob("*.json")) for item in read_documents(path)]
    # Receipts whose merchant is told come first: their siblings then have something to be resolved by.
    documents.sort(key=lambda item: b'"merchant_name"' not in item[1])
    half = (len(documents) + 1) // 2
    with LocalStack(state_directory) as stack:
        try:
            output.heading("1. The stack comes up, with Lambda as the consumer")
            target = _switch(output, stack, "lambda")
            output.heading(f"2. {half} sample images are uploaded and embedded by the Lambda function")
            _process(output, target, documents[:half])
            output.heading("3. They are searchable")
            searches = [_search(output, target, text, collection) for text, collection in SEARCHES]
            output.heading("4. The flag is flipped: Lambda is turned off, then ECS is turned on")
            target = _switch(output, stack, "ecs")
            output.heading(f"5. {len(documents) - half} more images are embedded by the ECS worker")
            _process(output, target, documents[half:])
            output.heading("6. Which consumer did what")
            status = stack_status(target)
            output.status(status)
        finally:
            output.heading("7. Everything is torn down")
            stack.down(destroy=True)
            output.say("nothing is left running, nothing is left on disk")
    return {"status": status, "searches": searches}


def _switch(output: Output, stack: LocalStack, consumer: str) -> Target:
    result = stack.up({"embedConsumer": consumer})
    output.steps(result.steps if result.unchanged else ())
    output.say(f"  {len(result.changes)} resources changed, {result.unchanged} unchanged")
    return local_target(stack)


def _process(output: Output, target: Target, documents: list[tuple[str, bytes]]) -> None:
    uploaded = []
    with output.progress("uploading", len(documents)) as bar:
        for done, (name, content) in enumerate(documents, 1):
            uploaded.append(upload(target, name, content))
            bar.set(done)
    receipts = sum(len(document.runs) for document in uploaded)
    with output.progress("searchable", receipts) as bar:
        result = wait_until_searchable(target, uploaded, timeout_seconds=WAIT_SECONDS, on_progress=bar.wait)
    require_complete(result)


def _search(output: Output, target: Target, text: str, collection: Any) -> dict[str, Any]:
    result = search(target, text, collection=collection, limit=5)
    output.search_result(text, result)
    return json.loads(json.dumps({"text": text, "version": result.version, "matches": result.matches}))
