"""Mends what a reconciliation found: by operations that are recorded, runs that are driven again, deltas deleted.

Nothing here touches a collection: the merge alone does. A repair never outdates what was recorded after the look.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from ops.operations import apply_again, repository
from ops.reconciling.comparison import Finding, is_on_its_way
from ops.reconciling.looking import Reconciliation
from ops.target import Target
from pipeline.collections.receipts import ReceiptKey
from pipeline.contracts.delta import decode_delta
from pipeline.contracts.identifiers import CollectionName, sha256_hex
from pipeline.contracts.messages import CompactionMessage, RunReference
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from pipeline.objects import ObjectStore
from pipeline.queues import OutgoingMessage, send_batch
from pipeline.runs.transitions import Reopened

WRITTEN_SINCE = timedelta(hours=1)
"""A surplus delta is a day old; what is younger than this was written again, whatever the clocks say."""
QUEUE_OUTPUTS: dict[CollectionName, str] = {"lines": "linesQueueUrl", "words": "wordsQueueUrl"}


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """What a repair set going.

    Attributes:
        runs: the runs that must be completed for it to be done.
        deltas: deltas that were deleted.
        postponed: receipts that somebody changed meanwhile; the next reconciliation looks at them again.
    """

    runs: tuple[RunReference, ...]
    deltas: int
    postponed: tuple[ReceiptKey, ...]


def repair(
    target: Target, found: Sequence[Reconciliation], on_progress: Callable[[int], None] = lambda _: None
) -> Repaired:
    """Do what the findings say, each receipt once for both collections.

    Args:
        target: the stack.
        found: of both collections.
        on_progress: called with the number of findings that are dealt with.
    """
    findings = [finding for reconciliation in found for finding in reconciliation.findings]
    runs: dict[str, RunReference] = {}
    applied: set[ReceiptKey] = set()
    postponed: list[ReceiptKey] = []
    deltas = 0
    # Runs first: a receipt is not applied again while something of it is on its way.
    order = {"drive the run again": 0, "apply the receipt again": 1}
    for done, finding in enumerate(sorted(findings, key=lambda item: order.get(item.repair or "", 2)), 1):
        if finding.repair == "drive the run again" and finding.receipt and finding.run_id:
            reference = RunReference(
                image_id=UUID(finding.receipt.image_id), receipt_id=finding.receipt.receipt_id, run_id=finding.run_id
            )
            _drive_again(target, finding, reference)
            runs[reference.run_id] = reference
        elif finding.repair == "apply the receipt again" and finding.receipt and finding.receipt not in applied:
            applied.add(finding.receipt)
            reference = _apply_again(target, finding.receipt)
            if reference is None:
                postponed.append(finding.receipt)
            else:
                runs[reference.run_id] = reference
        elif finding.repair == "delete the delta" and finding.key:
            deltas += _delete_delta(target, finding.collection, finding.key, found)
        on_progress(done)
    return Repaired(runs=tuple(runs.values()), deltas=deltas, postponed=tuple(postponed))


def _drive_again(target: Target, finding: Finding, reference: RunReference) -> None:
    """Let a run be merged: by a message, or by the next tick when SQS takes the message for a repetition."""
    repository(target).move(reference, finding.collection, Reopened())
    message = CompactionMessage(collection=finding.collection, runs=(reference,))
    outgoing = OutgoingMessage(
        body=message.model_dump_json(), group_id=message.group_id, deduplication_id=message.deduplication_id
    )
    send_batch(target.sqs, target.outputs[QUEUE_OUTPUTS[finding.collection]], [outgoing])


def _delete_delta(target: Target, collection: CollectionName, key: str, found: Sequence[Reconciliation]) -> bool:
    """Delete a delta, unless it was written again since the look, or a run has recorded its digest since."""
    objects, bucket = ObjectStore(target.s3), target.outputs["vectorsBucket"]
    looked = max(item.looked_at for item in found if item.collection == collection)
    if any(written >= looked - WRITTEN_SINCE for _, written in objects.modification_times(bucket, key)):
        return False
    if _is_recorded(target, collection, objects.get(bucket, key), key):
        return False
    objects.delete(bucket, key)
    return True


def _is_recorded(target: Target, collection: CollectionName, content: bytes, key: str) -> bool:
    """Whether a run has this very delta now: a message that came back after long makes the same bytes once more."""
    try:
        delta = decode_delta(content, key)
    except PermanentError:
        # A delta that cannot be read is of no use to the run that records it.
        return False
    digest, runs = sha256_hex(content), repository(target).of_receipt(delta.image_id, delta.receipt_id)
    return any(run.kind == "upsert" and run.progress(collection).delta_sha256 == digest for run in runs)


def _apply_again(target: Target, receipt: ReceiptKey) -> RunReference | None:
    latest = repository(target).latest_version(UUID(receipt.image_id), receipt.receipt_id)
    runs = repository(target).of_receipt(UUID(receipt.image_id), receipt.receipt_id)
    if any(is_on_its_way(run) for run in runs):
        return None
    try:
        return apply_again(target, receipt, runs, latest)
    except RetryableError as error:
        if error.code is not ErrorCode.RUN_CONFLICT:
            raise
        return None
