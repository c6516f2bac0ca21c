"""A DynamoDB client of the pipeline's own making whose table is throttled call by call, below the client's retries."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from pipeline.aws import connect

THROTTLED = (
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
    "LimitExceededException",
)


class _Body:
    """The body of an answer, as urllib3 gives it."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._content


@dataclass
class Throttle:
    """Answers in DynamoDB's place.

    Attributes:
        code: of the refusal.
        refuses: asked with the number of a call, from 0, and the number of its attempt, from 1.
        calls: the operation of every call; one call is several requests when the client tries again.
        requests: how many requests there were.
    """

    code: str = THROTTLED[0]
    refuses: Callable[[int, int], bool] = lambda _, __: False
    calls: dict[bytes, str] = field(default_factory=dict)
    requests: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self) -> Any:
        """A client whose requests pass by here, on their way to whatever answers for AWS in this process."""
        client = connect("dynamodb", region_name="us-east-1")
        client.meta.events.register_first("before-send.dynamodb", self._answer)
        return client

    def forget(self) -> None:
        """Count from 0 again."""
        self.calls.clear()
        self.requests = 0

    def _answer(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        headers: Any = request.headers
        call = headers["amz-sdk-invocation-id"]
        attempt = int(headers["amz-sdk-request"].decode().partition("attempt=")[2].partition(";")[0])
        with self.lock:
            self.calls.setdefault(call, headers["X-Amz-Target"].decode().rpartition(".")[2])
            self.requests += 1
            number = list(self.calls).index(call)
        if not self.refuses(number, attempt):
            return None
        # Every handler is asked although the first answer counts: moto must not do what is refused.
        headers["X-Amz-Target"] = b"DynamoDB_20120810.ListTables"
        content = f'{{"__type": "com.amazonaws.dynamodb.v20120810#{self.code}", "message": "slow down"}}'.encode()
        return AWSResponse(request.url, 400, {"content-type": "application/x-amz-json-1.0"}, _Body(content))  # pyrefly: ignore
