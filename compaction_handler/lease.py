"""The one lease and the one pointer of a collection, both conditional items; the fence decides who may publish."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from pipeline.collections.layout import Pointer
from pipeline.contracts.identifiers import CollectionName
from pipeline.errors import ErrorCode, RetryableError
from pipeline.runs import CONDITION_FAILED

ACQUIRE_TRIES = 5


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

    def renew(self) -> None:
        """Prolong the lease; LEASE_LOST when somebody else has it."""
        self._update("SET expires = :expires", {":expires": {"N": str(int(time.time()) + self.seconds)}})

    def release(self, copy: str) -> None:
        """Give the lease back and say which working copy wrote last."""
        self._update("SET expires = :expires, working_copy = :copy", {":expires": {"N": "0"}, ":copy": {"S": copy}})

    def point(self, pointer: Pointer) -> None:
        """Move the pointer item, in one transaction with a check that the lease is still held."""
        try:
            self.dynamodb.transact_write_items(
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
                ]
            )
        except ClientError as error:
            raise _lost(self.collection, self.fence, str(error)) from error

    def current(self) -> Pointer | None:
        """The pointer item, read consistently; None when nothing was ever published."""
        item = self.dynamodb.get_item(
            TableName=self.table, Key=_key(self.collection, "CURRENT"), ConsistentRead=True
        ).get("Item")
        return None if item is None else Pointer.model_validate_json(item["pointer"]["S"])

    def _identity(self) -> dict[str, Any]:
        return {":owner": {"S": self.owner}, ":fence": {"N": str(self.fence)}}

    def _update(self, expression: str, values: dict[str, Any]) -> None:
        try:
            self.dynamodb.update_item(
                TableName=self.table,
                Key=_key(self.collection, "LEASE"),
                UpdateExpression=expression,
                ConditionExpression="lease_owner = :owner AND fence = :fence",
                ExpressionAttributeValues=self._identity() | values,
            )
        except ClientError as error:
            raise _lost(self.collection, self.fence, str(error)) from error


def acquire(
    table: str,
    dynamodb: Any,
    collection: CollectionName,
    seconds: int,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Lease:
    """Take the lease when it is free or expired; the fence grows by one.

    The name of the last writer is removed at once, so that a merge killed from here on leaves no copy to be trusted.

    Raises:
        RetryableError: LEASE_HELD after a brief wait.
    """
    owner = uuid.uuid4().hex
    for attempt in range(ACQUIRE_TRIES):
        now = int(time.time())
        try:
            before = dynamodb.update_item(
                TableName=table,
                Key=_key(collection, "LEASE"),
                UpdateExpression="SET lease_owner = :owner, expires = :expires REMOVE working_copy ADD fence :one",
                ConditionExpression="attribute_not_exists(PK) OR expires < :now",
                ExpressionAttributeValues={
                    ":owner": {"S": owner},
                    ":expires": {"N": str(now + seconds)},
                    ":now": {"N": str(now)},
                    ":one": {"N": "1"},
                },
                ReturnValues="ALL_OLD",
            ).get("Attributes", {})
        except ClientError as error:
            if error.response["Error"]["Code"] != CONDITION_FAILED:
                raise
            sleep(0.5 * (attempt + 1))
            continue
        return Lease(
            table=table,
            dynamodb=dynamodb,
            collection=collection,
            owner=owner,
            fence=int(before.get("fence", {"N": "0"})["N"]) + 1,
            seconds=seconds,
            copy_before=before.get("working_copy", {"S": ""})["S"],
        )
    raise RetryableError(
        ErrorCode.LEASE_HELD,
        value=f"collection {collection} is being merged by somebody else",
        rule="one merge a collection at a time",
        way_out="the message is delivered again; a dead holder's lease expires by itself",
    )


def _key(collection: CollectionName, name: str) -> dict[str, Any]:
    return {"PK": {"S": f"COLLECTION#{collection}"}, "SK": {"S": name}}


def _lost(collection: CollectionName, fence: int, reason: str) -> RetryableError:
    return RetryableError(
        ErrorCode.LEASE_LOST,
        value=f"{collection}, fence {fence}: {reason}",
        rule="only the holder of the lease renews, publishes or releases",
        way_out="the message is delivered again; nothing was overwritten",
    )
