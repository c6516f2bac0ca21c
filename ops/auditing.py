"""``receipts audit``: which queues a stack has, and who should consume each. The rest is ``one_consumer.audit``."""

from collections.abc import Mapping
from typing import Any

from one_consumer.audit.judgement import AuditedQueue, ExpectedQueue
from one_consumer.audit.judgement import audit as one_consumer_audit
from ops.target import Target
from stack.choice import consumers as embed_consumers

DEAD_LETTERS = {
    "OCR results, dead letters": "ocrResultsDeadLetterQueueUrl",
    "embed, dead letters": "embedDeadLetterQueueUrl",
    "lines, dead letters": "linesDeadLetterQueueUrl",
    "words, dead letters": "wordsDeadLetterQueueUrl",
    "stream failures": "streamFailureQueueUrl",
}


def expected_queues(outputs: Mapping[str, Any]) -> list[ExpectedQueue]:
    """Every queue of a stack with its consumer, from the stack's outputs; pure."""
    hosts = {"lambda": outputs["embedFunctionName"], "ecs": outputs["serviceName"], None: None}
    chosen = embed_consumers(outputs["embedConsumer"])
    return [
        ExpectedQueue(label="OCR results", url=outputs["ocrResultsQueueUrl"], consumer=outputs["uploadFunctionName"]),
        *(
            ExpectedQueue(label=name, url=url, consumer=hosts[chosen[name]])
            for name, url in sorted(outputs["embedQueueUrls"].items())
        ),
        ExpectedQueue(label="lines", url=outputs["linesQueueUrl"], consumer=outputs["mergeFunctionName"]),
        ExpectedQueue(label="words", url=outputs["wordsQueueUrl"], consumer=outputs["mergeFunctionName"]),
        *(
            ExpectedQueue(label=label, url=outputs[output], consumer=None, optional=True)
            for label, output in DEAD_LETTERS.items()
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
