"""The worker's last look before it polls: no mapping of its queue may be anything but Disabled. It looks, and refuses.

Whether this program, another one or a person made the mapping: two consumers would share the queue at random.
"""

import time
from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError

from one_consumer.live.observer import list_mappings
from pipeline.aws import AwsClient
from pipeline.errors import ErrorCode, PermanentError, RetryableError

LOOK_SECONDS = 10.0
"""Between two looks while polls are short. Lambda answers 15 such calls a second for a whole account
(AWS Lambda quotas, API requests)."""


class Fence:
    """Refuses while a function may receive from the queue.

    Args:
        lambda_client: a boto3 Lambda client that may list mappings.
        queue_arn: the queue that the worker polls.
        clock: seconds that only grow.
    """

    def __init__(
        self, lambda_client: AwsClient, queue_arn: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lambda = lambda_client
        self._queue_arn = queue_arn
        self._clock = clock
        self._clear_until = float("-inf")

    def require_clear(self, *, anew: bool = False) -> None:
        """Refuse while a mapping of the queue is enabled; AWS is asked again when its last answer is a moment old.

        Args:
            anew: whether to ask the queue again although its last answer is recent.

        Raises:
            PermanentError: FENCED, naming the mappings.
            RetryableError: SERVICE_UNAVAILABLE when Lambda does not say; not knowing is not being clear.
        """
        if not anew and self._clock() < self._clear_until:
            return
        try:
            found = list(list_mappings(self._lambda, self._queue_arn))
        except (ClientError, BotoCoreError) as error:
            raise RetryableError(
                ErrorCode.SERVICE_UNAVAILABLE,
                value=f"Lambda did not list the mappings of {self._queue_arn}: {error}",
                rule="the worker polls only when it knows that no function does",
                way_out="it asks again; check the role's right to lambda:ListEventSourceMappings",
            ) from error
        if live := [mapping for mapping in found if mapping["State"] != "Disabled"]:
            raise PermanentError(
                ErrorCode.FENCED,
                value="; ".join(
                    f"mapping {item['UUID']} of {item['FunctionArn'].split(':function:')[-1]} is {item['State']}"
                    for item in live
                )
                + f" on {self._queue_arn}",
                rule="one queue, one consumer: the worker does not poll beside a mapping that is not Disabled",
                way_out="receipts audit shows who is on; disable the mapping, or set receipts:embedConsumer to lambda",
            )
        self._clear_until = self._clock() + LOOK_SECONDS
