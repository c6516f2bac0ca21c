"""``receipts audit``: which queues a stack has, and who should consume each. The rest is ``one_consumer.audit``."""

from collections.abc import Mapping
from typing import Any

from one_consumer.audit.judgement import AuditedQueue, ExpectedQueue
from one_consumer.audit.judgement import audit as one_consumer_audit
from ops.target import Target
from stack.choice import consumers as embed_consumers

PICTURES_DEAD_LETTERS = "picturesDeadLetterQueueUrl"
DEAD_LETTERS = {
    "pictures, dead letters": PICTURES_DEAD_LETTERS,
    "OCR results, dead letters": "ocrResultsDeadLetterQueueUrl",
    "embed, dead letters": "embedDeadLetterQueueUrl",
    "lines, dead letters": "linesDeadLetterQueueUrl",
    "words, dead letters": "wordsDeadLetterQueueUrl",
    "stream failures": "streamFailureQueueUrl",
}
"""Label to output. Those of pictures exist only with ``receipts:ocr``: ``dead_letter_queues`` gives what is there."""


def dead_letter_queues(outputs: Mapping[str, Any]) -> dict[str, str]:
    """Label to address of every dead letter queue of a stack; pure."""
    return {
        label: outputs[output]
        for label, output in DEAD_LETTERS.items()
        if output != PICTURES_DEAD_LETTERS or outputs.get(output)
    }


def expected_queues(outputs: Mapping[str, Any]) -> list[ExpectedQueue]:
    """Every queue of a stack with its consumer, from the stack's outputs; pure."""
    hosts = {"lambda": outputs["embedFunctionName"], "ecs": outputs["serviceName"], None: None}
    chosen = embed_consumers(outputs["embedConsumer"])
    pictures = outputs.get("picturesQueueUrl")
    return [
        *([ExpectedQueue(label="pictures", url=pictures, consumer=outputs["pictureFunctionName"])] if pictures else []),
        ExpectedQueue(label="OCR results", url=outputs["ocrResultsQueueUrl"], consumer=outputs["uploadFunctionName"]),
        *(
            ExpectedQueue(label=name, url=url, consumer=hosts[chosen[name]])
            for name, url in sorted(outputs["embedQueueUrls"].items())
        ),
        ExpectedQueue(label="lines", url=outputs["linesQueueUrl"], consumer=outputs["mergeFunctionName"]),
        ExpectedQueue(label="words", url=outputs["wordsQueueUrl"], consumer=outputs["mergeFunctionName"]),
        *(
            ExpectedQueue(label=label, url=url, consumer=None, optional=True)
            for label, url in dead_letter_queues(outputs).items()
        ),
    ]


def audit(target: Target, *, scheduled: bool = True) -> list[AuditedQueue]:
    """Look at every queue of the stack.

    Args:
        target: the stack.
        scheduled: whether the account's rules and schedules are read too, which takes a call for each.
    """
    observer = target.consumer_observer(scheduled=scheduled)
    return list(one_consumer_audit(observer, expected_queues(target.outputs)))
