"""CompactionRun items in DynamoDB: recorded once, then moved by conditional writes; states: ``contracts/run.py``.

A run gets its receipt's next version in the transaction that records it, so nothing is recorded unseen in between. What
happened last is another matter: ``CompactionRun.order``.

The index attribute ``unfinished_state`` depends on both collections, so a transition of one is conditional on both
states as they were read; when the other moved in between, it is read and tried again.
"""

import json
import logging
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.aws import moment_of
from pipeline.calls import call_error
from pipeline.contracts.identifiers import (
    COLLECTIONS,
    CollectionName,
    receipt_counter_key,
    run_partition_key,
    run_sort_key,
)
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import ALLOWED_TRANSITIONS, RUN_TYPE, CompactionRun, RunState, unfinished_state
from pipeline.contracts.versions import require_supported_version
from pipeline.errors import ErrorCode, PermanentError, RetryableError

logger = logging.getLogger(__name__)

UNFINISHED_INDEX = "unfinished-runs"
CONDITION_FAILED = "ConditionalCheckFailedException"
TRANSACTION_CANCELLED = "TransactionCanceledException"
THROTTLED_REASONS = frozenset({"ThrottlingError", "ProvisionedThroughputExceeded"})
"""Why a transaction was cancelled (Amazon DynamoDB API reference, TransactWriteItems, CancellationReasons)."""
RECORD_TRIES = 8
"""Operations of one receipt are recorded one by one but for an operator's, so a second try nearly always succeeds."""
READERS = 8
"""Calls at once; below the ten connections of a boto3 client."""
READ_AT_ONCE = 100
"""Items a call, the most that BatchGetItem takes (docs.aws.amazon.com/amazondynamodb/latest/APIReference/
API_BatchGetItem.html)."""
READ_TRIES = 8
CLOCK_SECONDS, CLOCK_POLL_SECONDS = 2.0, 0.05
TRANSITION_TRIES = 8
"""Two collections move one run at a time each, so a second try nearly always succeeds."""
ERROR_LIMIT = 1_024
"""Characters of a recorded error; the whole text is in the log."""

Item = dict[str, dict[str, Any]]
OnUnreadable = Callable[[PermanentError], None]


class RunRepository:
    """The runs of one table.

    Args:
        table_name: the table.
        dynamodb_client: a boto3 DynamoDB client (not a resource).
    """

    def __init__(self, table_name: str, dynamodb_client: Any) -> None:
        self._table = table_name
        self._dynamodb = dynamodb_client

    def find(self, reference: RunReference) -> CompactionRun | None:
        """Read a run, consistently; None when it was never recorded."""
        try:
            item = self._dynamodb.get_item(TableName=self._table, Key=_key(reference), ConsistentRead=True).get("Item")
        except (ClientError, BotoCoreError) as error:
            raise call_error(error, "DynamoDB") from error
        return None if item is None else run_from_item(item)

    def find_all(self, references: Iterable[RunReference]) -> list[CompactionRun]:
        """Read many runs, consistently, in the order asked for, each once; without those missing or unreadable."""
        keys = {
            (run_partition_key(reference.image_id), run_sort_key(reference.receipt_id, reference.run_id)): None
            for reference in references
        }
        parts = [list(keys)[start : start + READ_AT_ONCE] for start in range(0, len(keys), READ_AT_ONCE)]
        with ThreadPoolExecutor(READERS) as readers:
            found = {key: item for part in readers.map(self._items, parts) for key, item in part.items()}
        runs = []
        for key in keys:
            if key in found:
                try:
                    runs.append(run_from_item(found[key]))
                except PermanentError as error:
                    log_unreadable(error)
        return runs

    def _items(self, keys: list[tuple[str, str]]) -> dict[tuple[str, str], Item]:
        """The items that are there; DynamoDB may answer for a part of them, and is then asked for the rest."""
        found: dict[tuple[str, str], Item] = {}
        left: dict[str, Any] = {
            self._table: {
                "Keys": [{"PK": {"S": partition}, "SK": {"S": sort}} for partition, sort in keys],
                "ConsistentRead": True,
            }
        }
        for attempt in range(READ_TRIES):
            try:
                answer = self._dynamodb.batch_get_item(RequestItems=left)
            except (ClientError, BotoCoreError) as error:
                raise call_error(error, "DynamoDB") from error
            for item in answer["Responses"].get(self._table, []):
                found[item["PK"]["S"], item["SK"]["S"]] = item
            left = answer.get("UnprocessedKeys", {})
            if not left:
                return found
            time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - jitter, not a secret
        raise RetryableError(
            ErrorCode.SERVICE_UNAVAILABLE,
            value=f"DynamoDB left {len(left[self._table]['Keys'])} of {len(keys)} items unread",
            rule=f"it answers in {READ_TRIES} tries",
            way_out="the message is delivered again; look whether the table is throttled",
        )

    def of_receipt(self, image_id: UUID, receipt_id: int) -> list[CompactionRun]:
        """Every operation on a receipt, consistently, in the order in which they happened."""
        arguments: dict[str, Any] = {
            "KeyConditionExpression": "PK = :image AND begins_with(SK, :runs)",
            "ExpressionAttributeValues": {
                ":image": {"S": run_partition_key(image_id)},
                ":runs": {"S": run_sort_key(receipt_id, "")},
            },
            "ConsistentRead": True,
        }
        runs = map(run_from_item, self._pages(self._dynamodb.query, arguments))
        return sorted(runs, key=lambda run: run.order)

    def of_image(self, image_id: UUID) -> list[CompactionRun]:
        """Every operation on every receipt of an image, consistently, receipt after receipt."""
        arguments: dict[str, Any] = {
            "KeyConditionExpression": "PK = :image",
            "FilterExpression": "#type = :run",
            "ExpressionAttributeNames": {"#type": "TYPE"},
            "ExpressionAttributeValues": {":image": {"S": run_partition_key(image_id)}, ":run": {"S": RUN_TYPE}},
            "ConsistentRead": True,
        }
        runs = map(run_from_item, self._pages(self._dynamodb.query, arguments))
        return sorted(runs, key=lambda run: (run.receipt_id, run.order))

    def all_runs(self, on_unreadable: OnUnreadable | None = None) -> Iterator[CompactionRun]:
        """Every run of the table, consistently, in no order: a scan, for an operator's look and not for a dashboard.

        Args:
            on_unreadable: told of items that this release cannot read; without it they are logged.
        """
        arguments: dict[str, Any] = {
            "FilterExpression": "#type = :run",
            "ExpressionAttributeNames": {"#type": "TYPE"},
            "ExpressionAttributeValues": {":run": {"S": RUN_TYPE}},
            "ConsistentRead": True,
        }
        return _readable(self._pages(self._dynamodb.scan, arguments), on_unreadable)

    def record(self, run: CompactionRun, *, only_after: int | None = None) -> bool:
        """Create a run as its receipt's next operation; ``receipt_version`` is given here.

        Args:
            run: the run.
            only_after: the version of the receipt's last operation as the caller knows it; None for whatever it is.

        Returns:
            False when it exists already; the item is then left as it is and no version is used up.

        Raises:
            RetryableError: RUN_CONFLICT when others kept recording operations of the receipt, or one after
                ``only_after``; SERVICE_UNAVAILABLE.
        """
        for attempt in range(RECORD_TRIES):
            # The transaction itself is conditional on the version that the caller knows, so nothing is read for it.
            latest = self.latest_version(run.image_id, run.receipt_id) if only_after is None else only_after
            versioned = run.model_copy(update={"receipt_version": latest + 1})
            try:
                self._dynamodb.transact_write_items(TransactItems=self._recording(versioned, latest))
            except ClientError as error:
                failure = call_error(error, "DynamoDB")
                if error.response["Error"]["Code"] != TRANSACTION_CANCELLED or isinstance(failure, PermanentError):
                    raise failure from error
                if condition_failed(error, 0):
                    return False
                if only_after is not None and condition_failed(error, 1):
                    raise RetryableError(
                        ErrorCode.RUN_CONFLICT,
                        value=f"receipt {run.receipt_id} of image {run.image_id} is not at operation {only_after}",
                        rule=f"run {run.run_id} follows operation {only_after} and nothing newer",
                        way_out="look at the receipt again, then decide again",
                    ) from error
                if attempt + 1 == RECORD_TRIES and is_throttled(error):
                    raise failure from error
            except BotoCoreError as error:
                raise call_error(error, "DynamoDB") from error
            else:
                return True
            time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311 - jitter, not a secret
        raise RetryableError(
            ErrorCode.RUN_CONFLICT,
            value=f"run {run.run_id} got no version in {RECORD_TRIES} tries",
            rule="operations of a receipt are recorded one after the other",
            way_out="the message is delivered again",
        )

    def latest_version(self, image_id: UUID, receipt_id: int) -> int:
        """How many operations on a receipt were recorded; 0 when none was."""
        key = _counter_key(image_id, receipt_id)
        try:
            answer = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        except (ClientError, BotoCoreError) as error:
            raise call_error(error, "DynamoDB") from error
        return int(answer["Item"]["latest"]["N"]) if "Item" in answer else 0

    def moment(self, image_id: UUID, receipt_id: int) -> datetime:
        """DynamoDB's time: the beginning of its next second, for which this waits, up to a second.

        Its answers tell whole seconds, and within one nobody could say whether an upload was before or after. What was
        uploaded before this was called is before the next second, what is uploaded after it returned is after it.
        The receipt's counter is read for it.
        """
        key = _counter_key(image_id, receipt_id)
        try:
            first = found = moment_of(self._dynamodb.get_item(TableName=self._table, Key=key))
            deadline = time.monotonic() + CLOCK_SECONDS
            while found == first and time.monotonic() < deadline:
                time.sleep(CLOCK_POLL_SECONDS)
                found = moment_of(self._dynamodb.get_item(TableName=self._table, Key=key))
        except (ClientError, BotoCoreError) as error:
            raise call_error(error, "DynamoDB") from error
        return found

    def _recording(self, run: CompactionRun, latest: int) -> list[dict[str, Any]]:
        return [
            {
                "Put": {
                    "TableName": self._table,
                    "Item": run_to_item(run),
                    "ConditionExpression": "attribute_not_exists(PK)",
                }
            },
            {
                "Update": {
                    "TableName": self._table,
                    "Key": _counter_key(run.image_id, run.receipt_id),
                    "UpdateExpression": "SET latest = :next",
                    "ConditionExpression": "latest = :latest" + (" OR attribute_not_exists(PK)" if not latest else ""),
                    "ExpressionAttributeValues": {
                        ":next": {"N": str(latest + 1)},
                        ":latest": {"N": str(latest)},
                    },
                }
            },
        ]

    def transition(
        self,
        reference: RunReference,
        collection: CollectionName,
        expected_states: Collection[RunState],
        new_state: RunState,
        *,
        merged_count: int | None = None,
        error: str | None = None,
        snapshot_version: str | None = None,
        superseded_by: int | None = None,
        count_attempt: bool = False,
        forget_attempts: bool = False,
        known: CompactionRun | None = None,
    ) -> bool:
        """Move one collection of a run; a state may also be "moved" to itself, to record an attempt and its error.

        Args:
            reference: the run.
            collection: whose state moves.
            expected_states: the states it may be moved from.
            new_state: where to.
            merged_count: rows read back; left alone when None.
            error: the failure to record; a transition without one clears the last.
            snapshot_version: the published version; left alone when None.
            superseded_by: the newer operation's receipt version; written with ``merged_count``, None included.
            count_attempt: count one more failed attempt.
            forget_attempts: start counting anew, because an operator drives the run again.
            known: the run as it was just read; saves a read when it has not moved since.

        Returns:
            False when the collection stands in another state than the expected ones: nothing was written.

        Raises:
            PermanentError: RUN_MISSING, or RUN_CONFLICT for an edge that does not exist.
            RetryableError: RUN_CONFLICT when the run kept moving, SERVICE_UNAVAILABLE.
        """
        for attempt in range(TRANSITION_TRIES):
            run = known if known is not None and attempt == 0 else self.find(reference)
            if run is None:
                raise PermanentError(
                    ErrorCode.RUN_MISSING,
                    value=f"run {reference.run_id} is not in table {self._table}",
                    rule="a run is recorded before anybody moves it",
                    way_out="upload the receipt again",
                )
            state = run.progress(collection).state
            if state not in expected_states:
                if run is known:
                    continue
                return False
            if state is not new_state and new_state not in ALLOWED_TRANSITIONS[state]:
                raise PermanentError(
                    ErrorCode.RUN_CONFLICT,
                    value=f"{collection} of run {reference.run_id}: {state} to {new_state}",
                    rule="states move along the edges of pipeline/contracts/run.py only",
                    way_out="correct the caller",
                )
            fields = {
                "merged_count": merged_count,
                "snapshot_version": snapshot_version,
                "superseded_by": superseded_by,
                "attempts": run.progress(collection).attempts + 1 if count_attempt else 0 if forget_attempts else None,
                "error": None if error is None else error[:ERROR_LIMIT],
            }
            changes = {
                f"{collection}_state": {"S": new_state.value},
                "updated_at": {"S": datetime.now(UTC).isoformat()},
            } | {f"{collection}_{name}": _attribute(value) for name, value in fields.items() if value is not None}
            removals = [f"{collection}_error"] if error is None else []
            if merged_count is not None and superseded_by is None:
                removals.append(f"{collection}_superseded_by")
            states = {name: run.progress(name).state for name in COLLECTIONS} | {collection: new_state}
            unfinished = unfinished_state(states["lines"], states["words"])
            if unfinished is None:
                removals.append("unfinished_state")
            else:
                changes["unfinished_state"] = {"S": unfinished.value}
            if self._update(reference, run, changes, removals):
                return True
        raise RetryableError(
            ErrorCode.RUN_CONFLICT,
            value=f"run {reference.run_id} moved under {TRANSITION_TRIES} tries",
            rule="a transition is conditional on both states as they were read",
            way_out="the message is delivered again",
        )

    def unfinished(self, state: RunState) -> Iterator[CompactionRun]:
        """Runs that stand under ``state`` in the index, oldest first. The index lags a little behind the table.

        What this release cannot read is logged and left out: the stream processor has parked it with its reason.
        """
        arguments: dict[str, Any] = {
            "IndexName": UNFINISHED_INDEX,
            "KeyConditionExpression": "unfinished_state = :state",
            "ExpressionAttributeValues": {":state": {"S": state.value}},
        }
        return _readable(self._pages(self._dynamodb.query, arguments), None)

    def _pages(self, read: Callable[..., Any], arguments: dict[str, Any]) -> Iterator[Item]:
        following: dict[str, Any] = {}
        while True:
            try:
                page = read(TableName=self._table, **arguments, **following)
            except (ClientError, BotoCoreError) as error:
                raise call_error(error, "DynamoDB") from error
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            following = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _update(
        self, reference: RunReference, run: CompactionRun, changes: dict[str, dict[str, Any]], removals: list[str]
    ) -> bool:
        names = {f"#{name}": name for name in (*changes, *removals, "lines_state", "words_state")}
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in changes)
        if removals:
            expression += " REMOVE " + ", ".join(f"#{name}" for name in removals)
        values = {f":{name}": value for name, value in changes.items()}
        values |= {":lines_was": {"S": run.lines.state.value}, ":words_was": {"S": run.words.state.value}}
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key=_key(reference),
                UpdateExpression=expression,
                ConditionExpression="#lines_state = :lines_was AND #words_state = :words_was",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == CONDITION_FAILED:
                return False
            raise call_error(error, "DynamoDB") from error
        except BotoCoreError as error:
            raise call_error(error, "DynamoDB") from error
        return True


def run_to_item(run: CompactionRun) -> Item:
    """The DynamoDB item of a run, its two collections flattened to ``lines_...`` and ``words_...``."""
    fields = run.model_dump(mode="json", exclude={"lines", "words", "changes"}, exclude_none=True)
    if run.changes:
        fields["changes"] = json.dumps(run.changes, ensure_ascii=False)
    for collection in COLLECTIONS:
        progress = run.progress(collection).model_dump(mode="json", exclude_none=True)
        fields |= {f"{collection}_{name}": value for name, value in progress.items()}
    unfinished = unfinished_state(run.lines.state, run.words.state)
    if unfinished is not None:
        fields["unfinished_state"] = unfinished.value
    fields |= {"PK": run.partition_key, "SK": run.sort_key, "TYPE": RUN_TYPE}
    return {name: _attribute(value) for name, value in fields.items()}


def run_from_item(item: Item) -> CompactionRun:
    """Read an item back, from the table or from a stream record's image.

    Raises:
        PermanentError: VERSION_UNSUPPORTED, MESSAGE_INVALID when the item is not a run.
    """
    try:
        plain: dict[str, Any] = {
            name: int(value["N"]) if "N" in value else value["S"]
            for name, value in item.items()
            if "N" in value or "S" in value
        }
        require_supported_version(plain.get("version"), "CompactionRun")
        plain["changes"] = json.loads(plain.get("changes", "{}"))
        for collection in COLLECTIONS:
            prefix = f"{collection}_"
            plain[collection] = {
                name.removeprefix(prefix): value for name, value in plain.items() if name.startswith(prefix)
            }
        return CompactionRun.model_validate(plain)
    # Everything that an item of another form, or JSON that is nested too deep, can raise.
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        name = f"{item.get('PK')} {item.get('SK')}" if isinstance(item, dict) else "without attributes"
        raise PermanentError(
            ErrorCode.MESSAGE_INVALID,
            value=f"item {name}: {error}",
            rule="an item of type COMPACTION_RUN has the fields of docs/contracts.md",
            way_out="find out who wrote it; upload the receipt again",
        ) from error


def log_unreadable(error: PermanentError) -> None:
    """Say that an item was left out of a listing."""
    logger.error("a run is left out: %s", error, extra={"error_code": error.code})


def _readable(items: Iterable[Item], on_unreadable: OnUnreadable | None) -> Iterator[CompactionRun]:
    for item in items:
        try:
            yield run_from_item(item)
        except PermanentError as error:
            (on_unreadable or log_unreadable)(error)


def _key(reference: RunReference) -> Item:
    return {
        "PK": {"S": run_partition_key(reference.image_id)},
        "SK": {"S": run_sort_key(reference.receipt_id, reference.run_id)},
    }


def condition_failed(error: ClientError, position: int) -> bool:
    """Whether a cancelled transaction's item at ``position`` failed by its condition, and not by a conflict."""
    reasons = error.response.get("CancellationReasons", [])
    return len(reasons) > position and reasons[position].get("Code") == "ConditionalCheckFailed"


def is_throttled(error: ClientError) -> bool:
    """Whether a transaction was cancelled because the table is throttled; the client does not try that again itself."""
    return any(reason.get("Code") in THROTTLED_REASONS for reason in error.response.get("CancellationReasons", []))


def _attribute(value: str | int) -> dict[str, str]:
    return {"N": str(value)} if isinstance(value, int) else {"S": value}


def _counter_key(image_id: UUID, receipt_id: int) -> Item:
    return {"PK": {"S": run_partition_key(image_id)}, "SK": {"S": receipt_counter_key(receipt_id)}}
