"""Which embed queue a receipt goes to. Pure; there is a choice only where each consumer has a queue of its own."""

from pipeline.contracts.messages import EmbedMessage
from upload_images.environment import ProcessOcrResultsEnvironment


def route(message: EmbedMessage, environment: ProcessOcrResultsEnvironment) -> str:
    """The address of the queue.

    The size is what is paid for and waited for: one vector a line and one a word. Two versions of a receipt on either
    side of the limit go to different queues, which keep no order between them.
    """
    limit, large = environment.large_receipt_rows, environment.large_receipt_queue_url
    if large is None or limit is None or message.lines_count + message.words_count <= limit:
        return environment.embed_queue_url
    return large
