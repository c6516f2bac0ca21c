"""Answers to an SQS event source mapping with ``ReportBatchItemFailures``, with FIFO's rule. Pure.

On FIFO the first failure of a group fails everything after it in that group, or SQS would deliver out of order.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict


class BatchItemFailure(TypedDict):
    """One message that must be delivered again."""

    itemIdentifier: str


class BatchResponse(TypedDict):
    """What the mapping reads; everything not named in it is deleted from the queue."""

    batchItemFailures: list[BatchItemFailure]


class SqsRecord(TypedDict, total=False):
    """The part of an SQS record that the pipeline reads, as Lambda delivers it."""

    messageId: str
    receiptHandle: str
    body: str
    attributes: Mapping[str, str]
    messageAttributes: Mapping[str, Any]


def group_of(record: SqsRecord) -> str | None:
    """The record's FIFO group; None on a standard queue."""
    return record.get("attributes", {}).get("MessageGroupId")


def receives_of(record: SqsRecord) -> int:
    """How often the record was delivered, this time included."""
    return int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))


def batch_response(records: Iterable[SqsRecord], failed: set[str]) -> BatchResponse:
    """The answer for ``records`` of which the message ids ``failed`` must come back.

    Args:
        records: the batch, in its order.
        failed: message ids.

    Returns:
        The failed messages and, on FIFO, all that follow one of them in its group.
    """
    broken_groups: set[str] = set()
    failures: list[BatchItemFailure] = []
    for record in records:
        group = group_of(record)
        if record["messageId"] in failed or (group is not None and group in broken_groups):
            failures.append({"itemIdentifier": record["messageId"]})
            if group is not None:
                broken_groups.add(group)
    return {"batchItemFailures": failures}
