"""The one lease and the one pointer of a collection, both conditional items; the fence decides who may publish.

The heartbeat is a thread. An upsert holds the GIL, so the thread may be late by one chunk of rows, about a second; the
lease lasts at least ten. Another process would beat on while the merge itself hangs, and would be one more thing to
kill.

Longer than most modules: every condition on the two items is here, so that they can be compared.
"""

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from pipeline.calls import CONDITION_FAILED, TRANSACTION_CANCELLED, condition_failed, is_throttled
from pipeline.collections.layout import Pointer
from pipeline.collections.versions import parse_pointer
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.messages import RunReference
from pipeline.errors import ErrorCode, RetryableError

logger = logging.getLogger(__name__)

ACQUIRE_TRIES = 5
CONFLICT_TRIES, CONFLICT_PAUSE_SECONDS = 6, 0.05
"""Of a call that met a transaction on the same item: pauses of up to 0.05, 0.1 and so on, 1.6 seconds in all."""
TRANSACTION_CONFLICT = "TransactionConflictException"
BEATS_A_LEASE = 4
"""Renewals in the time of a lease, so that three may fail before it is lost."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A held lease: renewals and publications are conditional on it."""

    table: str
    dynamodb: Any
    collection: CollectionName
    owner: str
    fence: int
    seconds: int
    copy_before: str
    """Which working copy, at which revision, wrote last; empty when none did or the writer never finished."""
    suspects_before: tuple[RunReference, ...] = ()
    """The runs that the previous holder was writing when it ended without a release; named until they are blamed."""

    def renew(self) -> None:
        """Prolong the lease; LEASE_LOST when somebody else has it."""
        self._update("SET expires = :expires", {":expires": {"N": str(int(time.time()) + self.seconds)}})

    def release(self, copy: str, *, keep_suspects: bool = False) -> None:
        """Give the lease back and say which working copy wrote last.

        Args:
            copy: its stamp; empty when none may be trusted.
            keep_suspects: the suspects of the previous holder were not blamed yet; else no run is suspected.
        """
        self._update(
            "SET expires = :expires, working_copy = :copy" + ("" if keep_suspects else " REMOVE suspects"),
            {":expires": {"N": "0"}, ":copy": {"S": copy}},
        )

    def suspect(self, runs: Sequence[RunReference]) -> None:
        """Name the runs that are about to be written, or none; who takes over from a killed holder learns of them."""
        named = json.dumps([run.model_dump(mode="json") for run in runs])
        self._update("SET suspects = :suspects", {":suspects": {"S": named}})

    def point(self, pointer: Pointer) -> None:
        """Move the pointer item, in one transaction with a check that the lease is still held."""
        try:
            _patiently(
                self.dynamodb.transact_write_items,
                TransactItems=[
                    {
                        "ConditionCheck": {
                            "TableName": self.table,
                            "Key": _key(self.collection, "LEASE"),
                            "ConditionExpression": "lease_owner = :owner AND fence = :fence",
                            "ExpressionAttributeValues": self._identity(),
                        }
                    },
                    {
                        "Put": {
                            "TableName": self.table,
                            "Item": _key(self.collection, "CURRENT")
                            | {"pointer": {"S": pointer.model_dump_json()}, "fence": {"N": str(self.fence)}},
                            "ConditionExpression": "attribute_not_exists(PK) OR fence <= :fence",
                            "ExpressionAttributeValues": {":fence": {"N": str(self.fence)}},
                        }
                    },
                ],
            )
        except (ClientError, BotoCoreError) as error:
            raise self._failure(error) from error

    def current(self) -> Pointer | None:
        """The pointer item, read consistently; None when nothing was ever published.

        Raises:
            PermanentError: SNAPSHOT_CORRUPT when the item is no pointer.
            RetryableError: SERVICE_UNAVAILABLE.
        """
        return current_pointer(self.table, self.dynamodb, self.collection)

    def _failure(self, error: ClientError | BotoCoreError) -> RetryableError:
        """LEASE_LOST only when the condition says so; that DynamoDB did not answer says nothing of the lease."""
        refused = isinstance(error, ClientError) and (
            error.response["Error"]["Code"] == CONDITION_FAILED
            or (
                error.response["Error"]["Code"] == TRANSACTION_CANCELLED
                and any(condition_failed(error, position) for position in (0, 1))
            )
        )
        return lost_lease(self.collection, self.fence, str(error)) if refused else _unavailable(error)

    def _identity(self) -> dict[str, Any]:
        return {":owner": {"S": self.owner}, ":fence": {"N": str(self.fence)}}

    def _update(self, expression: str, values: dict[str, Any]) -> None:
        try:
            _patiently(
                self.dynamodb.update_item,
                TableName=self.table,
                Key=_key(self.collection, "LEASE"),
                UpdateExpression=expression,
                ConditionExpression="lease_owner = :owner AND fence = :fence",
                ExpressionAttributeValues=self._identity() | values,
            )
        except (ClientError, BotoCoreError) as error:
            raise self._failure(error) from error


@dataclass
class Heartbeat:
    """Renews a lease while its ``with`` block lasts; ``require`` is asked between the steps of the merge."""

    lease: Lease
    clock: Callable[[], float] = time.monotonic
    _ending: threading.Event = field(default_factory=threading.Event)
    _lost: RetryableError | None = None
    _renewed: float = 0.0
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._renewed = self.clock()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{self.lease.collection}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def require(self) -> None:
        """Stop the merge when the lease is not held any more, as far as this process can know.

        Raises:
            RetryableError: LEASE_LOST when a renewal was refused, or none succeeded for as long as the lease lasts.
        """
        if self._lost is not None:
            raise self._lost
        silent = self.clock() - self._renewed
        if silent > self.lease.seconds:
            raise lost_lease(self.lease.collection, self.lease.fence, f"no renewal for {silent:.0f} seconds")

    def _beat(self) -> None:
        while not self._ending.wait(self.lease.seconds / BEATS_A_LEASE):
            asked = self.clock()
            try:
                self.lease.renew()
            except RetryableError as error:
                if error.code is ErrorCode.LEASE_LOST:
                    self._lost = error
                    return
                logger.warning("a renewal failed; the next one may not", extra={"error_code": error.code})
            else:
                self._renewed = asked


def current_pointer(table: str, dynamodb: Any, collection: CollectionName) -> Pointer | None:
    """The pointer item, read consistently; None when nothing was ever published.

    Raises:
        PermanentError: SNAPSHOT_CORRUPT when the item is no pointer.
        RetryableError: SERVICE_UNAVAILABLE.
    """
    try:
        answer = dynamodb.get_item(TableName=table, Key=_key(collection, "CURRENT"), ConsistentRead=True)
    except (ClientError, BotoCoreError) as error:
        raise _unavailable(error) from error
    if "Item" not in answer:
        return None
    return parse_pointer(answer["Item"]["pointer"]["S"], f"item COLLECTION#{collection}, CURRENT of {table}")


def read_expiry(table: str, dynamodb: Any, collection: CollectionName) -> float:
    """When the lease expires, in seconds since the epoch; 0 when it was given back or never taken.

    Raises:
        RetryableError: SERVICE_UNAVAILABLE.
    """
    try:
        answer = dynamodb.get_item(TableName=table, Key=_key(collection, "LEASE"), ConsistentRead=True)
    except (ClientError, BotoCoreError) as error:
        raise _unavailable(error) from error
    return float(answer.get("Item", {}).get("expires", {"N": "0"})["N"])


def acquire(
    table: str,
    dynamodb: Any,
    collection: CollectionName,
    seconds: int,
    *,
    published_fence: Callable[[], int] = lambda: 0,
    sleep: Callable[[float], None] = time.sleep,
) -> Lease:
    """Take the lease when it is free or expired; the fence grows, whatever became of the item.

    A call that is sent again because the first one's answer was lost, by the SDK or here, finds its own owner and
    succeeds. The name of the last writer is removed at once, so that a merge killed from here on leaves no copy to be
    trusted.

    Args:
        table: the table.
        dynamodb: a boto3 client.
        collection: the collection.
        seconds: how long the lease lasts without a renewal.
        published_fence: asked when there is no pointer item: the fence of what is published nevertheless.
        sleep: waits so many seconds.

    Raises:
        RetryableError: LEASE_HELD after a brief wait, SERVICE_UNAVAILABLE.
    """
    owner = uuid.uuid4().hex
    for attempt in range(ACQUIRE_TRIES):
        now = int(time.time())
        try:
            seen, pointed = (_fence(table, dynamodb, collection, name) for name in ("LEASE", "CURRENT"))
            fence = max(seen or 0, published_fence() if pointed is None else pointed) + 1
            before = _patiently(
                dynamodb.update_item,
                TableName=table,
                Key=_key(collection, "LEASE"),
                UpdateExpression="SET lease_owner = :owner, expires = :expires, fence = :fence REMOVE working_copy",
                ConditionExpression="lease_owner = :owner OR "
                + (
                    "attribute_not_exists(PK)"
                    if seen is None
                    else "(expires < :now AND (attribute_not_exists(fence) OR fence = :seen))"
                ),
                ExpressionAttributeValues={
                    ":owner": {"S": owner},
                    ":expires": {"N": str(now + seconds)},
                    ":fence": {"N": str(fence)},
                }
                | ({} if seen is None else {":now": {"N": str(now)}, ":seen": {"N": str(seen)}}),
                ReturnValues="ALL_OLD",
            ).get("Attributes", {})
        except BotoCoreError as error:
            # It may have been done: if it were given up now, nobody could take the lease until it expires.
            if attempt + 1 == ACQUIRE_TRIES:
                raise _unavailable(error) from error
            sleep(0.5 * (attempt + 1))
            continue
        except ClientError as error:
            if error.response["Error"]["Code"] != CONDITION_FAILED:
                raise _unavailable(error) from error
            sleep(0.5 * (attempt + 1))
            continue
        return Lease(
            table=table,
            dynamodb=dynamodb,
            collection=collection,
            owner=owner,
            fence=fence,
            seconds=seconds,
            copy_before=before.get("working_copy", {"S": ""})["S"],
            suspects_before=_suspects(before.get("suspects", {"S": "[]"})["S"]),
        )
    raise RetryableError(
        ErrorCode.LEASE_HELD,
        value=f"collection {collection} is being merged by somebody else",
        rule="one merge a collection at a time",
        way_out="the message is delivered again; a dead holder's lease expires by itself",
    )


def _fence(table: str, dynamodb: Any, collection: CollectionName, name: str) -> int | None:
    """The fence of an item; None when there is no item."""
    found = dynamodb.get_item(TableName=table, Key=_key(collection, name), ConsistentRead=True).get("Item")
    return None if found is None else int(found.get("fence", {"N": "0"})["N"])


def _patiently(call: Callable[..., Any], **arguments: Any) -> Any:
    """Call DynamoDB again when another transaction was at the same item: a renewal meets the pointer's, and passes.

    Also when a transaction was throttled, which the client tries again only of other calls.
    """
    policy = Retrying(
        retry=retry_if_exception(_passes),
        stop=stop_after_attempt(CONFLICT_TRIES),
        wait=wait_random_exponential(multiplier=CONFLICT_PAUSE_SECONDS),
        reraise=True,
    )
    return policy(call, **arguments)


def _passes(error: BaseException) -> bool:
    if not isinstance(error, ClientError):
        return False
    if error.response["Error"]["Code"] == TRANSACTION_CONFLICT:
        return True
    if is_throttled(error):
        return True
    reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
    return "TransactionConflict" in reasons and "ConditionalCheckFailed" not in reasons


def _suspects(named: str) -> tuple[RunReference, ...]:
    try:
        return tuple(map(RunReference.model_validate, json.loads(named)))
    except ValueError:
        # Of another release: they are not blamed, and the collection goes on.
        logger.exception("the suspects of the holder before cannot be read")
        return ()


def _key(collection: CollectionName, name: str) -> dict[str, Any]:
    return {"PK": {"S": f"COLLECTION#{collection}"}, "SK": {"S": name}}


def lost_lease(collection: CollectionName, fence: int, reason: str) -> RetryableError:
    """The error of a merge that somebody else has taken over."""
    return RetryableError(
        ErrorCode.LEASE_LOST,
        value=f"{collection}, fence {fence}: {reason}",
        rule="only the holder of the lease renews, publishes or releases",
        way_out="the message is delivered again; nothing was overwritten",
    )


def _unavailable(error: ClientError | BotoCoreError) -> RetryableError:
    return RetryableError(
        ErrorCode.SERVICE_UNAVAILABLE,
        value=f"DynamoDB: {error}",
        rule="DynamoDB answers",
        way_out="the message is delivered again; when it keeps failing, check the role's rights and the table",
    )
