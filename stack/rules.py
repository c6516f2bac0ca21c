"""The rules of AWS that an update would break half way through, as pure functions over plain values.

Each raises its refusal and gives nothing back. The settings' own ranges are in ``stack/settings.py``; who may consume
is in ``stack/queues.py``.
"""

from stack.consumers import MappedFunction
from stack.errors import RefusalCode, StackRefusal
from stack.limits import (
    CONCURRENCY_MAXIMUM,
    CONCURRENCY_MINIMUM,
    FIFO_BATCH_MAXIMUM,
    POLLERS_MAXIMUM,
    STANDARD_BATCH_MAXIMUM,
)


def check_mapping(consumer: MappedFunction, *, queue: str, fifo: bool, visibility_timeout_seconds: int) -> None:
    """Refuse a mapping that AWS would refuse, or that would show a message twice.

    Args:
        consumer: the function and its mapping.
        queue: the queue's name, for the message.
        fifo: whether the queue is FIFO.
        visibility_timeout_seconds: the queue's.

    Raises:
        StackRefusal: FIFO_BATCHING_WINDOW, BATCH_SIZE, MAXIMUM_CONCURRENCY, CONCURRENCY_AND_POLLERS, OUT_OF_RANGE or
            VISIBILITY_BELOW_TIMEOUT.
    """
    window, size, concurrency = consumer.batching_window_seconds, consumer.batch_size, consumer.maximum_concurrency
    who = f"{consumer.claimant!r} on queue {queue!r}"
    if fifo and window:
        raise StackRefusal(
            RefusalCode.FIFO_BATCHING_WINDOW,
            value=f"{who} waits {window} s to fill a batch",
            rule="AWS refuses a batching window on a FIFO queue",
            way_out="remove the window; a FIFO mapping polls long by itself",
        )
    maximum = FIFO_BATCH_MAXIMUM if fifo or not window else STANDARD_BATCH_MAXIMUM
    kind = "FIFO" if fifo else f"standard{'' if window else ', unwaiting'}"
    if not 1 <= size <= maximum:
        raise StackRefusal(
            RefusalCode.BATCH_SIZE,
            value=f"{who} takes batches of {size}",
            rule=f"1 to {maximum} on a {kind} queue",
            way_out=f"choose a batch size of 1 to {maximum}",
        )
    if concurrency is not None and not CONCURRENCY_MINIMUM <= concurrency <= CONCURRENCY_MAXIMUM:
        raise StackRefusal(
            RefusalCode.MAXIMUM_CONCURRENCY,
            value=f"{who} has a maximum concurrency of {concurrency}",
            rule=f"{CONCURRENCY_MINIMUM} to {CONCURRENCY_MAXIMUM}; it can never be 1",
            way_out="choose a value in that range; to run one at a time, send with one message group",
        )
    if concurrency is not None and consumer.provisioned_pollers is not None:
        raise StackRefusal(
            RefusalCode.CONCURRENCY_AND_POLLERS,
            value=f"{who}: maximum concurrency {concurrency}, provisioned pollers {consumer.provisioned_pollers}",
            rule="the two exclude each other",
            way_out="keep one of them",
        )
    if consumer.provisioned_pollers is not None and not 1 <= consumer.provisioned_pollers <= POLLERS_MAXIMUM:
        raise StackRefusal(
            RefusalCode.OUT_OF_RANGE,
            value=f"{who} has up to {consumer.provisioned_pollers} provisioned pollers",
            rule=f"1 to {POLLERS_MAXIMUM}",
            way_out="choose a number in that range, or none for Lambda's own polling",
        )
    if visibility_timeout_seconds < consumer.function_timeout_seconds:
        raise StackRefusal(
            RefusalCode.VISIBILITY_BELOW_TIMEOUT,
            value=f"queue {queue!r} hides for {visibility_timeout_seconds} s, "
            f"{consumer.claimant!r} runs up to {consumer.function_timeout_seconds} s",
            rule="a message stays hidden at least as long as the function may run",
            way_out="raise the visibility timeout to six times the function's",
        )


def check_dead_letter(queue: str, *, fifo: bool, dead_letter_fifo: bool) -> None:
    """Refuse a dead letter queue of another kind than its queue's.

    Raises:
        StackRefusal: DEAD_LETTER_KIND.
    """
    if fifo != dead_letter_fifo:
        kinds = {True: "FIFO", False: "standard"}
        raise StackRefusal(
            RefusalCode.DEAD_LETTER_KIND,
            value=f"queue {queue!r} is {kinds[fifo]}, its dead letter queue {kinds[dead_letter_fifo]}",
            rule="a dead letter queue is of its queue's kind",
            way_out=f"give it a {kinds[fifo]} dead letter queue, or none, and it makes its own",
        )


def check_stream_destination(queue: str, *, fifo: bool) -> None:
    """Refuse a FIFO destination of a stream's failures.

    Raises:
        StackRefusal: STREAM_DESTINATION_KIND.
    """
    if fifo:
        raise StackRefusal(
            RefusalCode.STREAM_DESTINATION_KIND,
            value=f"queue {queue!r} is FIFO",
            rule="the failures of a stream's mapping go to a standard queue or topic",
            way_out="make the queue a standard one",
        )
