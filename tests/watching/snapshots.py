"""Snapshots for tests of what shows them; every text that can come from data is hostile."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ops.watching.snapshot import (
    FunctionNow,
    HostNow,
    QueueNow,
    RunCounts,
    RunNow,
    Snapshot,
    Span,
    VersionNow,
)

MOMENT = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
IMAGE = "7c1f5a20-3b64-4e8d-9a10-000000000001"
MARKUP = "<script>alert(1)</script> [bold]x[/bold] &amp; \"'"
CONTROLS = "\x1b[31mred\x1b[0m \u202e"

PLAIN = Snapshot(
    at=MOMENT,
    stack="local",
    chosen="lambda",
    unfinished=None,
    queues=(
        QueueNow(label="OCR results", visible=0, in_flight=0),
        QueueNow(label="embed", visible=12, in_flight=3, oldest_seconds=75.0),
        QueueNow(label="lines", visible=0, in_flight=1, oldest_seconds=2.0),
        QueueNow(label="words", visible=0, in_flight=0),
        QueueNow(label="OCR results, dead letters", visible=0, in_flight=0, is_dead_letter=True),
        QueueNow(label="embed, dead letters", visible=0, in_flight=0, is_dead_letter=True),
    ),
    hosts=(
        HostNow(kind="lambda", name="embed", standing="on", is_chosen=True, detail="mapping Enabled"),
        HostNow(kind="ecs", name="worker", standing="off", is_chosen=False, detail="desired 0, running 0"),
    ),
    functions=(
        FunctionNow(label="process OCR", running=0, recent=4),
        FunctionNow(label="Lambda function", running=1, recent=7, failed=2),
        FunctionNow(label="ECS worker", running=0, recent=None),
    ),
    versions=(
        VersionNow(collection="lines", version="000000000004-abc-000001", rows=274, texts=258, published_at=MOMENT),
        VersionNow(collection="words", version=None),
    ),
    runs=RunCounts(
        by_state={"lines COMPLETED": 20, "words FAILED": 1},
        by_consumer={"lambda": 13},
        recent=(
            RunNow(
                image_id=IMAGE,
                receipt_id=1,
                kind="upsert",
                consumer="lambda",
                merchant_name=MARKUP + CONTROLS,
                lines="COMPLETED",
                words="FAILED",
                created_at=MOMENT,
            ),
        ),
        errors=(f"receipt 1 of image {IMAGE}, words: DELTA_INVALID: {MARKUP}{CONTROLS}",),
        counted_at=MOMENT,
    ),
    spans=(Span(lane="Lambda function", started=30.0, ended=0.0, is_running=True),),
)


def snapshot(**changes: Any) -> Snapshot:
    """The plain one with some fields changed."""
    return replace(PLAIN, **changes)
