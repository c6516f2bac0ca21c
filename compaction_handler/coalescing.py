"""Runs to as few lines and words messages as hold them. Pure.

A collection of which a run expects no vectors goes through like any other: the merge alone completes runs.
"""

from collections.abc import Iterable, Sequence

from pipeline.contracts.identifiers import COLLECTIONS
from pipeline.contracts.messages import CompactionMessage, RunReference

RUNS_PER_MESSAGE = 300
"""FACTS, Chroma: 300 deltas merged at once run at the raw speed; 1,000 cost 3.6 GB for no gain. A reference is about
120 bytes, so 300 are 36 kB, far below SQS's 1 MiB."""


def coalesce(references: Iterable[RunReference]) -> list[CompactionMessage]:
    """The messages for new runs, in their order, each run once a collection."""
    distinct: Sequence[RunReference] = list({reference.run_id: reference for reference in references}.values())
    return [
        CompactionMessage(collection=collection, runs=tuple(distinct[start : start + RUNS_PER_MESSAGE]))
        for collection in COLLECTIONS
        for start in range(0, len(distinct), RUNS_PER_MESSAGE)
    ]
