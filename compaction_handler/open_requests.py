"""The requests to SQS that nobody has performed yet; what a request is, is in ``queue_requests.py``. It sends nothing.

A request is open as long as the table has its item: the stream processor deletes the item when it has performed the
request. The stream announces a new item once and gives up when SQS has refused it for all tries. So every tick counts
``tries`` of those that are a minute old and still there, and the stream announces a changed item again.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from compaction_handler.queue_requests import REQUEST_TYPE, asked_at
from pipeline.aws import AwsClient
from pipeline.calls import CONDITION_FAILED, call_error
from pipeline.contracts.identifiers import COLLECTIONS
from pipeline.errors import PermanentError

logger = logging.getLogger(__name__)

LEAST_AGE = timedelta(minutes=1)
"""Younger requests are on their way: the stream's window is 5 seconds, and its first tries take seconds."""
ASKED_A_TICK = 100
"""Of one collection; with bodies of up to 300 kB that is 30 MB of writes."""

Key = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class OpenRequest:
    """A request that was not performed yet.

    Attributes:
        asked_at: when the merge wrote it.
        tries: ticks that asked for it again.
    """

    key: Key
    asked_at: datetime
    tries: int


@dataclass(frozen=True, kw_only=True)
class OpenRequests:
    """The open requests of one table; for the tick, which asks again, and for the stream processor, which performs."""

    table_name: str
    dynamodb: AwsClient
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def is_open(self, key: Key) -> bool:
        """Whether nobody has performed a request yet, read consistently.

        Raises:
            PipelineError: DynamoDB did not answer or refused.
        """
        try:
            answer = self.dynamodb.get_item(
                TableName=self.table_name, Key=key, ConsistentRead=True, ProjectionExpression="PK"
            )
        except (ClientError, BotoCoreError) as error:
            raise call_error(error, "DynamoDB") from error
        return "Item" in answer

    def close(self, key: Key) -> None:
        """Delete a request that was performed.

        Raises:
            PipelineError: DynamoDB did not answer or refused; the request will be performed again.
        """
        try:
            self.dynamodb.delete_item(TableName=self.table_name, Key=key)
        except (ClientError, BotoCoreError) as error:
            raise call_error(error, "DynamoDB") from error

    def ask_again(self) -> float:
        """Have the stream announce the requests that are open for more than a minute.

        Returns:
            Seconds since the oldest open request was written; 0 when none is open.

        Raises:
            PipelineError: DynamoDB did not answer or refused.
        """
        now = self.now()
        found = {name: list(self._of_collection(name)) for name in COLLECTIONS}
        for collection, requests in found.items():
            again = due(requests, now)
            counted = sum(self._count_try(request) for request in again)
            if counted:
                logger.warning(
                    "requests to SQS are open for more than a minute and are asked again; the stream processor logs "
                    "why each fails",
                    extra={
                        "collection": collection,
                        "asked_again": counted,
                        "open": len(requests),
                        "tries": max(request.tries for request in again) + 1,
                    },
                )
        ages = [(now - request.asked_at).total_seconds() for requests in found.values() for request in requests]
        return max([0.0, *ages])

    def _of_collection(self, collection: str) -> Iterator[OpenRequest]:
        arguments: dict[str, Any] = {
            "TableName": self.table_name,
            "KeyConditionExpression": "PK = :collection AND begins_with(SK, :requests)",
            "ExpressionAttributeValues": {
                ":collection": {"S": f"COLLECTION#{collection}"},
                ":requests": {"S": f"{REQUEST_TYPE}#"},
            },
            # Without the bodies, of up to 300 kB each.
            "ProjectionExpression": "PK, SK, expires_at, tries",
            "ConsistentRead": True,
        }
        while True:
            try:
                page = self.dynamodb.query(**arguments)
            except (ClientError, BotoCoreError) as error:
                raise call_error(error, "DynamoDB") from error
            for item in page["Items"]:
                try:
                    yield _open_request(item)
                except PermanentError as error:
                    logger.error("a request is left out: %s", error, extra={"error_code": error.code})
            if "LastEvaluatedKey" not in page:
                return
            arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _count_try(self, request: OpenRequest) -> bool:
        """Change the item, so that the stream announces it; False when it was performed in between."""
        try:
            self.dynamodb.update_item(
                TableName=self.table_name,
                Key=request.key,
                UpdateExpression="SET tries = :tries",
                # An update would otherwise bring back an item that was deleted, without its request.
                ConditionExpression="attribute_exists(PK)",
                ExpressionAttributeValues={":tries": {"N": str(request.tries + 1)}},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == CONDITION_FAILED:
                return False
            raise call_error(error, "DynamoDB") from error
        except BotoCoreError as error:
            raise call_error(error, "DynamoDB") from error
        return True


def due(requests: Iterable[OpenRequest], now: datetime) -> list[OpenRequest]:
    """The requests that a tick asks for again: those older than a minute, the least tried first, then the oldest. Pure.

    So requests that fail at every try keep no other from its turn.
    """
    old = [request for request in requests if now - request.asked_at >= LEAST_AGE]
    return sorted(old, key=lambda request: (request.tries, request.asked_at))[:ASKED_A_TICK]


def tries_of(item: Mapping[str, Any]) -> int:
    """How many ticks asked for a request again; 0 when what the item says is no number. Pure."""
    try:
        return int(item["tries"]["N"])
    except (LookupError, TypeError, ValueError):
        return 0


def _open_request(item: Mapping[str, Any]) -> OpenRequest:
    return OpenRequest(key={name: item[name] for name in ("PK", "SK")}, asked_at=asked_at(item), tries=tries_of(item))
