"""A test receipt that goes through all stages and is removed again: for ``receipts send`` and a switch's checks.

Its text says what it is and when it was made, its image id is new, and no shop ever printed it.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from ops.operations import remove_unseen
from ops.published import NOTHING_PUBLISHED, published_version
from ops.submitting import UploadedDocument, upload
from ops.target import OperatorError, Target
from ops.waiting import ConsumerWatch, require_complete, wait_for_runs
from pipeline.collections.receipts import ReceiptKey
from pipeline.contracts.identifiers import MANIFEST_FILE
from pipeline.contracts.run import CompactionRun
from pipeline.runs.repository import RunRepository

POLL_SECONDS = 0.25
STAGES = ("taken", "embedded", "merged", "published", "searchable")
"""What the receipt passes, in order: stage 1 has made its artifacts, a run is recorded, both collections have merged
it, both have published it, and a reader finds it."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A test receipt that went the whole way.

    Attributes:
        seconds: since its upload, by the stages that it has passed.
        removed_seconds: from its removal until no collection had it.
    """

    image_id: str
    seconds: Mapping[str, float]
    removed_seconds: float


def probe_document(label: str, moment: datetime) -> bytes:
    """An OCR result of one receipt with one line: the label and the time.

    Args:
        label: what it is, such as SWITCH CHECK.
        moment: when it was made.
    """
    words = [*label.split(), moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")]
    box = {"x": 0.1, "y": 0.1, "width": 0.8, "height": 0.05}
    row = {"confidence": 1.0, "bounding_box": box}
    line = {
        "line_id": 1,
        "text": " ".join(words),
        **row,
        "words": [{"word_id": number, "text": word, **row} for number, word in enumerate(words, 1)],
    }
    return json.dumps({"image_id": str(uuid4()), "receipts": [{"receipt_id": 1, "lines": [line]}]}).encode()


def send(target: Target, *, timeout_seconds: float, on_stage: Callable[[str, float], object] = lambda *_: None) -> Sent:
    """Send a test receipt, wait until it is searchable, and take it away again, however the wait ends.

    Args:
        target: the stack.
        timeout_seconds: for the way there, and again for the way out.
        on_stage: called with each stage as it is passed, and the seconds since the upload.

    Raises:
        OperatorError: TEST_NOT_SEARCHABLE, NOT_CONSUMED, NO_CONSUMER; NOT_SEARCHABLE when its removal is not published.
    """
    document = upload(target, "test receipt", probe_document("TEST RECEIPT", datetime.now(UTC)))
    receipt = ReceiptKey(str(document.runs[0].image_id), document.runs[0].receipt_id)
    seconds: dict[str, float] = {}
    try:
        _follow(target, document, receipt, seconds=seconds, timeout_seconds=timeout_seconds, on_stage=on_stage)
    finally:
        # Also when it did not arrive: what is still on its way is older than its removal.
        removal, begun = remove_unseen(target, receipt), time.monotonic()
    require_complete(wait_for_runs(target, [removal], timeout_seconds=timeout_seconds))
    return Sent(image_id=receipt.image_id, seconds=seconds, removed_seconds=round(time.monotonic() - begun, 2))


def passed(run: CompactionRun | None, *, taken: bool, seen: bool) -> int:
    """How many of ``STAGES`` a receipt has passed. Pure.

    Args:
        run: the one that the receipt has become; None when none is recorded.
        taken: whether stage 1 has made its artifacts.
        seen: whether a reader finds it.
    """
    if run is None:
        return 1 if taken else 0
    states = (run.lines.state, run.words.state)
    if run.is_completed:
        return len(STAGES) if seen else STAGES.index("published") + 1
    return STAGES.index("embedded") + 1 if "PENDING" in states else STAGES.index("merged") + 1


def _follow(
    target: Target,
    document: UploadedDocument,
    receipt: ReceiptKey,
    *,
    seconds: dict[str, float],
    timeout_seconds: float,
    on_stage: Callable[[str, float], object],
) -> None:
    repository = RunRepository(target.outputs["tableName"], target.dynamodb)
    begun, consumers = time.monotonic(), ConsumerWatch(target)
    while True:
        run = repository.find(document.runs[0])
        taken = run is not None or _is_taken(target, receipt.image_id)
        reached = passed(run, taken=taken, seen=run is not None and run.is_completed and _is_seen(target, receipt))
        for stage in STAGES[len(seconds) : reached]:
            seconds[stage] = round(time.monotonic() - begun, 2)
            on_stage(stage, seconds[stage])
        if reached == len(STAGES):
            return
        waits_for = STAGES[reached]
        if run is not None and run.has_failed:
            raise OperatorError(
                "TEST_NOT_SEARCHABLE",
                f"the test receipt's run {run.run_id} failed: {run.lines.error or run.words.error}",
                "mend what it names; `receipts reconcile` shows other runs that failed",
            )
        if run is None and (stopped := consumers.reason(time.monotonic(), came=False)) is not None:
            raise stopped
        if time.monotonic() - begun > timeout_seconds:
            raise OperatorError(
                "TEST_NOT_SEARCHABLE",
                f"the test receipt is not {waits_for} after {timeout_seconds:.0f} s; it has passed "
                f"{', '.join(STAGES[:reached]) or 'no stage'}",
                "`receipts doctor`, then `receipts logs --since 15m`",
            )
        time.sleep(POLL_SECONDS)


def _is_taken(target: Target, image_id: str) -> bool:
    """Stage 1 makes a receipt's manifest when it has written everything else of it."""
    listed: Mapping[str, Any] = target.s3.list_objects_v2(
        Bucket=target.outputs["artifactsBucket"], Prefix=f"receipts/{image_id}/"
    )
    return any(item["Key"].endswith(f"/{MANIFEST_FILE}") for item in listed.get("Contents", []))


def _is_seen(target: Target, receipt: ReceiptKey) -> bool:
    try:
        with published_version(target, "lines") as published:
            return bool(published.receipt(receipt))
    except OperatorError as error:
        if error.code != NOTHING_PUBLISHED:
            raise
        return False
