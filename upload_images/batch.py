"""A batch of notifications: what is bad is dead-lettered, what failed is left for another delivery.

Stages 0 and 1 both use it; each has its own function for one notification.
"""

import logging
from collections.abc import Callable, Sequence

from pipeline.aws import AwsClient
from pipeline.batches import BatchResponse, SqsRecord, batch_response
from pipeline.errors import PermanentError, in_the_tree
from pipeline.queues import park

logger = logging.getLogger(__name__)


def process_each(
    records: Sequence[SqsRecord],
    process: Callable[[SqsRecord], Sequence[PermanentError]],
    *,
    sqs_client: AwsClient,
    dead_letter_queue_url: str,
) -> BatchResponse:
    """Process every record; a bad one harms no neighbour.

    Args:
        records: of an SQS event.
        process: processes one and returns what it refuses of it, when the rest is done. Whatever it raises leaves the
            record for another delivery, which finds the same refusals, so nothing is dead-lettered yet.
        sqs_client: a boto3 SQS client.
        dead_letter_queue_url: where a record with refusals is sent, once, with the reason of each.

    Returns:
        The answer to the mapping: the records that must be delivered again.
    """
    failed: set[str] = set()
    for record in records:
        try:
            refused = process(record)
        except Exception as error:
            logger.exception(
                "left for another delivery",
                extra={"message_id": record["messageId"], "error_code": in_the_tree(error).code},
            )
            failed.add(record["messageId"])
            continue
        for error in refused:
            logger.error("refused", extra={"error_code": error.code, "reason": str(error)})
        if not refused:
            continue
        try:
            park(sqs_client, dead_letter_queue_url, record["body"], _together(refused))
        except Exception as error:
            logger.exception(
                "could not park; the message stays on its queue", extra={"error_code": in_the_tree(error).code}
            )
            failed.add(record["messageId"])
    return batch_response(records, failed)


def _together(refused: Sequence[PermanentError]) -> PermanentError:
    """One error for everything that is refused of a record, which becomes one dead letter."""
    first, *others = refused
    if not others:
        return first
    return PermanentError(
        first.code,
        # What is refused for another reason says its rule and its way out itself.
        value="; ".join(error.value if error.code == first.code else str(error) for error in refused),
        rule=first.rule,
        way_out=first.way_out,
    )
