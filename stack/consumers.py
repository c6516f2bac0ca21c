"""A function with the mapping that feeds it, as this stack makes it. What a consumer is: ``one_consumer.claim``.

A description alone: what it may be is in ``stack/rules.py``; ``stack/queues.py`` makes the mapping.
"""

from dataclasses import dataclass

from one_consumer.claim.consumers import FunctionConsumer
from stack import aws


@dataclass(frozen=True, kw_only=True)
class MappedFunction(FunctionConsumer):
    """A function behind a mapping that is made with its claim.

    Attributes:
        function_timeout_seconds: the longest run.
        maximum_concurrency: functions at once; None leaves it to AWS.
        batching_window_seconds: the wait for a full batch; 0 is none.
        provisioned_pollers: the most pollers of provisioned mode; None is Lambda's own polling.
    """

    function: aws.lambda_.Function
    function_timeout_seconds: int
    batch_size: int
    maximum_concurrency: int | None
    batching_window_seconds: int = 0
    provisioned_pollers: int | None = None
