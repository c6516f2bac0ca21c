"""The CompactionRuns of a table: found, recorded once, moved by conditional writes.

A run gets its receipt's next version in the transaction that records it, so nothing is recorded unseen in between. What
happened last is another matter: ``CompactionRun.order``. What a transition writes is decided in ``transitions.py``;
here it is sent, and when the run moved in between, the run is read and the transition tried again.

Longer than most modules: every call of DynamoDB about a run.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.aws import moment_of
from pipeline.calls import CONDITION_FAILED, TRANSACTION_CANCELLED, call_error, condition_failed, is_throttled
from pipeline.contracts.identifiers import CollectionName, receipt_counter_key, run_partition_key, run_sort_key
from pipeline.contracts.references import RunReference
from pipeline.contracts.run import RUN_TYPE, CompactionRun, RunState
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from pipeline.runs.items import Item, run_from_item, run_to_item
from pipeline.runs.transitions import Transition, conditional_update

logger = logging.getLogger(__name__)

UNFINISHED_INDEX = "unfinished-runs"
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
            on_unreadable: called with items that this release cannot read; without it they are logged.
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

        Its answers give whole seconds, and within one it is unknown whether an upload was before or after. What was
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

    def move(
        self,
        reference: RunReference,
        collection: CollectionName,
        transition: Transition,
        *,
        known: CompactionRun | None = None,
    ) -> bool:
        """Record what happened to one collection of a run.

        Args:
            reference: the run.
            collection: whose state moves.
            transition: what happened.
            known: the run as it was just read; saves a read when it has not moved since.

        Returns:
            False when the collection's state does not allow this: nothing was written.

        Raises:
            PermanentError: RUN_MISSING.
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
            update = conditional_update(run, collection, transition, datetime.now(UTC))
            if update is None:
                if run is known:
                    continue
                return False
            if self._update(reference, update):
                return True
        raise RetryableError(
            ErrorCode.RUN_CONFLICT,
            value=f"run {reference.run_id} moved under {TRANSITION_TRIES} tries",
            rule="a transition is conditional on both states as they were read",
            way_out="the message is delivered again",
        )

    def unfinished(self, state: RunState) -> Iterator[CompactionRun]:
        """Runs under ``state`` in the index, oldest first. The index lags a little behind the table.

        What this release cannot read is logged and left out: the stream processor has dead-lettered it with its reason.
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

    def _update(self, reference: RunReference, update: dict[str, Any]) -> bool:
        try:
            self._dynamodb.update_item(TableName=self._table, Key=_key(reference), **update)
        except ClientError as error:
            if error.response["Error"]["Code"] == CONDITION_FAILED:
                return False
            raise call_error(error, "DynamoDB") from error
        except BotoCoreError as error:
            raise call_error(error, "DynamoDB") from error
        return True


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


def _counter_key(image_id: UUID, receipt_id: int) -> Item:
    return {"PK": {"S": run_partition_key(image_id)}, "SK": {"S": receipt_counter_key(receipt_id)}}
