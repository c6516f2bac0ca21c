"""What the merge asks of SQS: written to the table, and performed by the stream processor.

The merge function is in the network, for the collections on EFS, and nothing leads from there to SQS: an interface
endpoint is paid by the hour and zone, 7.30 dollars a month (docs/cost.md). The table is reached through a gateway,
which is free, and the stream processor, which is outside the network, sees every new item within seconds. What happens
to requests that SQS refuses is in ``open_requests.py``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, Field, ValidationError

from pipeline.aws import AwsClient
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.versions import CONTRACT_VERSION, require_supported_version
from pipeline.errors import SHOWN_CHARACTERS, ErrorCode, PermanentError, PipelineError, RetryableError

REQUEST_TYPE = "QUEUE_REQUEST"
"""Of the item's ``TYPE``, which the filter of the table's stream names."""
BODY_BYTES = 300_000
"""Of a message that is handed on as a dead letter: an item has up to 400 kB (Amazon DynamoDB developer guide,
Constraints). The stream processor's own messages have up to 70 kB."""
KEPT = timedelta(days=14)
"""As long as a dead letter is kept; the table's time to live removes the item."""


class QueueRequest(BaseModel, extra="ignore", frozen=True):
    """One request, about one delivery of one message.

    Attributes:
        action: ``dead-letter`` sends ``body`` to the collection's dead-letter queue, ``come-back`` changes when the
            delivered message is visible again.
        seconds: from the moment in which the merge asked.
    """

    action: Literal["dead-letter", "come-back"]
    collection: CollectionName
    message_id: str
    receives: Annotated[int, Field(ge=0)]
    body: str = ""
    error_code: str = ""
    reason: str = ""
    receipt_handle: str = ""
    seconds: Annotated[int, Field(ge=0, le=43_200)] = 0


@dataclass(frozen=True, kw_only=True)
class QueueRequests:
    """Writes requests to the table."""

    table_name: str
    dynamodb: AwsClient
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def dead_letter(
        self, collection: CollectionName, body: str, error: PipelineError, *, message_id: str, receives: int
    ) -> None:
        """Have a message that can never succeed sent to its dead-letter queue, unchanged.

        Raises:
            RetryableError: SEND_FAILED when it is too large or the table does not take it: the caller must leave the
                message on its queue, which gives it to the dead-letter queue when its deliveries are used up.
        """
        if (size := len(body.encode())) > BODY_BYTES:
            raise RetryableError(
                ErrorCode.SEND_FAILED,
                value=f"a message of {size} bytes for the dead-letter queue of {collection}",
                rule=f"the table carries up to {BODY_BYTES} bytes of it",
                way_out="the message stays on its queue; SQS moves it when its deliveries are used up",
            )
        self._write(
            QueueRequest(
                action="dead-letter",
                collection=collection,
                message_id=message_id,
                receives=receives,
                body=body,
                error_code=str(error.code),
                reason=str(error)[:SHOWN_CHARACTERS],
            )
        )

    def come_back(
        self, collection: CollectionName, receipt_handle: str, seconds: int, *, message_id: str, receives: int
    ) -> None:
        """Have a message that failed come back sooner than its queue would bring it.

        Args:
            collection: whose queue it is on.
            receipt_handle: of this delivery.
            seconds: from now; 0 to 43,200.
            message_id: the message's.
            receives: how often it was delivered.

        Raises:
            RetryableError: SEND_FAILED; the message then comes back when its queue brings it.
        """
        self._write(
            QueueRequest(
                action="come-back",
                collection=collection,
                message_id=message_id,
                receives=receives,
                receipt_handle=receipt_handle,
                seconds=seconds,
            )
        )

    def _write(self, request: QueueRequest) -> None:
        try:
            self.dynamodb.put_item(TableName=self.table_name, Item=to_item(request, self.now()))
        except (ClientError, BotoCoreError) as error:
            raise RetryableError(
                ErrorCode.SEND_FAILED,
                value=f"{self.table_name} did not take the request to {request.action} a message: {error}",
                rule="a message leaves its queue only when it is done or handed on",
                way_out="it is delivered again; check the table and the role's right to write to it",
            ) from error


def to_item(request: QueueRequest, moment: datetime) -> dict[str, dict[str, str]]:
    """The item of a request; each delivery of a message has its own, because a delivery is asked about once."""
    return {
        "PK": {"S": f"COLLECTION#{request.collection}"},
        "SK": {"S": f"{REQUEST_TYPE}#{request.message_id}#{request.receives}#{request.action}"},
        "TYPE": {"S": REQUEST_TYPE},
        "expires_at": {"N": str(int((moment + KEPT).timestamp()))},
        "request": {"S": request.model_dump_json(exclude_defaults=True)},
        "version": {"S": CONTRACT_VERSION},
    }


def is_request(item: Mapping[str, Any]) -> bool:
    """Whether an item of the table is a request; others are CompactionRuns."""
    return item.get("TYPE") == {"S": REQUEST_TYPE}


def asked_at(item: Mapping[str, Any]) -> datetime:
    """When the merge wrote a request, to the second.

    Raises:
        PermanentError: MESSAGE_INVALID.
    """
    try:
        return datetime.fromtimestamp(int(item["expires_at"]["N"]), UTC) - KEPT
    except (LookupError, TypeError, ValueError, OverflowError, OSError) as error:
        raise _unreadable(item, error) from error


def request_from_item(item: Mapping[str, Any]) -> QueueRequest:
    """The request of an item.

    Raises:
        PermanentError: MESSAGE_INVALID, VERSION_UNSUPPORTED.
    """
    try:
        require_supported_version(item["version"]["S"], "a request to SQS in the table")
        # Without its keys nobody could close it.
        _ = item["PK"]["S"], item["SK"]["S"]
        return QueueRequest.model_validate_json(item["request"]["S"])
    except (LookupError, TypeError, ValidationError) as error:
        raise _unreadable(item, error) from error


def _unreadable(item: Mapping[str, Any], error: Exception) -> PermanentError:
    return PermanentError(
        ErrorCode.MESSAGE_INVALID,
        value=f"a request to SQS in the table: {repr(item)[:SHOWN_CHARACTERS]}",
        rule=f"it is as the merge of this release writes it: {error}"[:SHOWN_CHARACTERS],
        way_out="deploy stream processor and merge together",
    )
