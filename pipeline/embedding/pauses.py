"""How soon a message comes back whose embedding waits for an operator. Pure; the hosts set it at the queue.

Any other error keeps the queue's visibility timeout, which is the pause before a retry.
"""

from pipeline.errors import ErrorCode, PipelineError

KEY_PAUSES_SECONDS = (60, 300)
"""After the first and the second receive. A key is mostly put there minutes after the first receipt, and the visibility
timeout is half an hour. Later receives wait for that: five receives in five minutes would make a dead letter of a
message whose key comes an hour late."""


def pause_seconds(error: PipelineError, receives: int) -> int | None:
    """When a message that failed is to come back.

    Args:
        error: why it failed.
        receives: how often it was received, this time included.

    Returns:
        Seconds from now; None leaves it to the queue.
    """
    if error.code is not ErrorCode.EMBEDDING_CREDENTIALS or not 1 <= receives <= len(KEY_PAUSES_SECONDS):
        return None
    return KEY_PAUSES_SECONDS[receives - 1]
