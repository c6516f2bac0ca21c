"""CompactionRun items in DynamoDB: recorded once, then moved by conditional writes; states: ``contracts/run.py``.

The index attribute ``unfinished_state`` depends on both collections, so a transition of one is conditional on both
states as they were read; when the other moved in between, it is read and tried again.
"""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.contracts.identifiers import COLLECTIONS, CollectionName, run_partition_key, run_sort_key
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import ALLOWED_TRANSITIONS, RUN_TYPE, CompactionRun, RunState, unfinished_state
from pipeline.contracts.versions import require_supported_version
from pipeline.errors import ErrorCode, PermanentError, RetryableError

UNFINISHED_INDEX = "unfinished-runs"
CONDITION_FAILED = "ConditionalCheckFailedException"
TRANSITION_TRIES = 8
"""Two collections move one run at a time each, so a second try nearly always succeeds."""
ERROR_LIMIT = 1_024
"""Characters of a recorded error; the whole text is in the log."""

Item = dict[str, dict[str, Any]]


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
            raise _unavailable(error) from error
        return None if item is None else run_from_item(item)

    def record(self, run: CompactionRun) -> bool:
        """Create a run.

        Returns:
            False when it exists already; the item is then left as it is.
        """
        try:
            self._dynamodb.put_item(
                TableName=self._table, Item=run_to_item(run), ConditionExpression="attribute_not_exists(PK)"
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == CONDITION_FAILED:
                return False
            raise _unavailable(error) from error
        except BotoCoreError as error:
            raise _unavailable(error) from error
        return True

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
        count_attempt: bool = False,
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
            count_attempt: count one more failed attempt.

        Returns:
            False when the collection stands in another state than the expected ones: nothing was written.

        Raises:
            PermanentError: RUN_MISSING, or RUN_CONFLICT for an edge that does not exist.
            RetryableError: RUN_CONFLICT when the run kept moving, SERVICE_UNAVAILABLE.
        """
        for _ in range(TRANSITION_TRIES):
            run = self.find(reference)
            if run is None:
                raise PermanentError(
                    ErrorCode.RUN_MISSING,
                    value=f"run {reference.run_id} is not in table {self._table}",
                    rule="a run is recorded before anybody moves it",
                    way_out="upload the receipt again",
                )
            state = run.progress(collection).state
            if state not in expected_states:
                return False
            if state is not new_state and new_state not in ALLOWED_TRANSITIONS[state]:
                raise PermanentError(
                    ErrorCode.RUN_CONFLICT,
                    value=f"{collection} of run {reference.run_id}: {state} to {new_state}",
                    rule="states move along the edges of pipeline/contracts/run.py only",
                    way_out="correct the caller",
                )
            changes: dict[str, dict[str, Any]] = {
                f"{collection}_state": {"S": new_state.value},
                "updated_at": {"S": datetime.now(UTC).isoformat()},
            }
            removals = []
            if merged_count is not None:
                changes[f"{collection}_merged_count"] = {"N": str(merged_count)}
            if snapshot_version is not None:
                changes[f"{collection}_snapshot_version"] = {"S": snapshot_version}
            if count_attempt:
                changes[f"{collection}_attempts"] = {"N": str(run.progress(collection).attempts + 1)}
            if error is None:
                removals.append(f"{collection}_error")
            else:
                changes[f"{collection}_error"] = {"S": error[:ERROR_LIMIT]}
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
        """Runs that stand under ``state`` in the index, oldest first. The index lags a little behind the table."""
        arguments: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": UNFINISHED_INDEX,
            "KeyConditionExpression": "unfinished_state = :state",
            "ExpressionAttributeValues": {":state": {"S": state.value}},
        }
        while True:
            try:
                page = self._dynamodb.query(**arguments)
            except (ClientError, BotoCoreError) as error:
                raise _unavailable(error) from error
            yield from (run_from_item(item) for item in page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]

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
            raise _unavailable(error) from error
        except BotoCoreError as error:
            raise _unavailable(error) from error
        return True


def run_to_item(run: CompactionRun) -> Item:
    """The DynamoDB item of a run, its two collections flattened to ``lines_...`` and ``words_...``."""
    fields = run.model_dump(mode="json", exclude={"lines", "words"}, exclude_none=True)
    for collection in COLLECTIONS:
        progress = run.progress(collection).model_dump(mode="json", exclude_none=True)
        fields |= {f"{collection}_{name}": value for name, value in progress.items()}
    unfinished = unfinished_state(run.lines.state, run.words.state)
    if unfinished is not None:
        fields["unfinished_state"] = unfinished.value
    fields |= {"PK": run.partition_key, "SK": run.sort_key, "TYPE": RUN_TYPE}
    return {name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in fields.items()}


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
        for collection in COLLECTIONS:
            prefix = f"{collection}_"
            plain[collection] = {
                name.removeprefix(prefix): value for name, value in plain.items() if name.startswith(prefix)
            }
        return CompactionRun.model_validate(plain)
    except (ValueError, TypeError) as error:
        raise PermanentError(
            ErrorCode.MESSAGE_INVALID,
            value=f"item {item.get('PK')} {item.get('SK')}: {error}",
            rule="an item of type COMPACTION_RUN has the fields of docs/contracts.md",
            way_out="find out who wrote it; upload the receipt again",
        ) from error


def _key(reference: RunReference) -> Item:
    return {
        "PK": {"S": run_partition_key(reference.image_id)},
        "SK": {"S": run_sort_key(reference.receipt_id, reference.run_id)},
    }


def _unavailable(error: ClientError | BotoCoreError) -> RetryableError:
    return RetryableError(
        ErrorCode.SERVICE_UNAVAILABLE,
        value=f"DynamoDB: {error}",
        rule="DynamoDB answers",
        way_out="the message is delivered again; when it keeps failing, check the role's rights and the table",
    )
