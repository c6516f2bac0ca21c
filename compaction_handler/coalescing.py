"""Combines runs into as few lines and words messages as can hold them. Pure.

A collection of which a run expects no vectors goes through like any other: the merge alone completes runs.
"""

from collections.abc import Iterable

from pipeline.contracts.identifiers import COLLECTIONS
from pipeline.contracts.messages import CompactionMessage, RunReference

RUNS_PER_MESSAGE = 500
"""A thousand runs are four messages, two a collection. The merge takes them in portions of its own size."""
MESSAGE_BYTES = 900_000
"""Of the 1 MiB that SQS takes, with room for the envelope; counted, not assumed."""


def coalesce(references: Iterable[RunReference]) -> list[CompactionMessage]:
    """The messages for new runs, in their order, each run once a collection; the same runs give the same messages."""
    distinct = list({reference.run_id: reference for reference in references}.values())
    parts: list[list[RunReference]] = []
    used = 0
    for reference in distinct:
        size = len(reference.model_dump_json().encode()) + 1
        if not parts or len(parts[-1]) == RUNS_PER_MESSAGE or used + size > MESSAGE_BYTES:
            parts.append([])
            used = 0
        parts[-1].append(reference)
        used += size
    return [CompactionMessage(collection=collection, runs=tuple(part)) for collection in COLLECTIONS for part in parts]
