"""What a stack is doing, read from the stack itself: queues, runs, consumer, published versions."""

from collections import Counter
from collections.abc import Iterable
from typing import TypedDict
from uuid import UUID

from botocore.exceptions import ClientError

from one_consumer.live.observer import is_missing_queue
from ops.auditing import expected_queues
from ops.target import Target
from pipeline.collections.receipts import ReceiptState, fold, operation_of
from pipeline.contracts.identifiers import COLLECTIONS
from pipeline.contracts.metadata import MERCHANT_SOURCE
from pipeline.contracts.run import CompactionRun
from pipeline.runs.repository import RunRepository

SUPERSEDED = "SUPERSEDED"
"""Instead of its state, of a run that changed nothing because something that happened later was there already."""


class QueueStatus(TypedDict):
    """One queue's depth in messages."""

    name: str
    visible: int
    in_flight: int


class ConsumerStatus(TypedDict):
    """Who consumes the embed queue: the flag, and what AWS says of both consumers."""

    chosen: str
    mapping_state: str
    desired_count: int
    running_count: int


class StackStatus(TypedDict):
    """Everything ``receipts status`` prints."""

    queues: list[QueueStatus]
    consumer: ConsumerStatus
    runs_by_state: dict[str, int]
    runs_by_consumer: dict[str, int]
    merchants: dict[str, int]
    snapshots: dict[str, str | None]


def stack_status(target: Target) -> StackStatus:
    """Read the stack."""
    runs = list(RunRepository(target.outputs["tableName"], target.dynamodb).all_runs())
    states = Counter(state for run in runs for state in states_of(run))
    consumers = Counter(run.consumer for run in runs if was_embedded(run))
    return {
        "queues": [_queue(target, item.label, item.url) for item in expected_queues(target.outputs)],
        "consumer": _consumer(target),
        "runs_by_state": dict(sorted(states.items())),
        "runs_by_consumer": dict(sorted(consumers.items())),
        "merchants": merchant_sources(runs),
        "snapshots": {collection: _current_version(target, collection) for collection in COLLECTIONS},
    }


def was_embedded(run: CompactionRun) -> bool:
    """Whether a consumer embedded for this run: a receipt that is applied again, removed or renamed costs no vector."""
    return run.kind == "upsert" and run.delta_run_id is None


def merchant_sources(runs: Iterable[CompactionRun]) -> dict[str, int]:
    """How many receipts have their merchant from where, after all that was recorded of each; removed ones do not count.

    Pure. It says what the receipts become; until the last run of one is published, searches may show less.
    """
    receipts: dict[tuple[UUID, int], list[CompactionRun]] = {}
    for run in runs:
        receipts.setdefault((run.image_id, run.receipt_id), []).append(run)
    sources: Counter[str] = Counter()
    for recorded in receipts.values():
        state = fold(ReceiptState(), map(operation_of, recorded))
        if state.decided_by is not None and state.decided_by.kind == "upsert":
            deciding = next(run for run in recorded if run.run_id == state.decided_by.run_id)
            sources[str(state.changes.get(MERCHANT_SOURCE, deciding.merchant_source))] += 1
    return dict(sorted(sources.items()))


def states_of(run: CompactionRun) -> list[str]:
    """A run's collections with their states, as they are counted."""
    progress = {collection: run.progress(collection) for collection in COLLECTIONS}
    return [
        f"{collection} {item.state if item.superseded_by is None else SUPERSEDED}"
        for collection, item in progress.items()
    ]


def _queue(target: Target, name: str, url: str) -> QueueStatus:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    try:
        attributes = target.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    except ClientError as error:
        if not is_missing_queue(error):
            raise
        # An update that was to leave `hybrid` and has not ended: `receipts audit` reports the queue as missing.
        return {"name": name, "visible": 0, "in_flight": 0}
    return {"name": name, "visible": int(attributes[names[0]]), "in_flight": int(attributes[names[1]])}


def _consumer(target: Target) -> ConsumerStatus:
    outputs = target.outputs
    mapping = target.client("lambda").get_event_source_mapping(UUID=outputs["embedMappingId"])
    (service,) = target.client("ecs").describe_services(
        cluster=outputs["clusterName"], services=[outputs["serviceName"]]
    )["services"]
    return {
        "chosen": outputs["embedConsumer"],
        "mapping_state": mapping["State"],
        "desired_count": service["desiredCount"],
        "running_count": service.get("runningCount", 0),
    }


def _current_version(target: Target, collection: str) -> str | None:
    from pipeline.collections.versions import parse_pointer  # noqa: PLC0415

    try:
        body = target.s3.get_object(Bucket=target.outputs["vectorsBucket"], Key=f"{collection}/CURRENT")["Body"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            return None
        raise
    return parse_pointer(body.read(), f"{collection}/CURRENT").version
