"""What a text says about where a queue is: its ARN, or its URL at an SQS or local endpoint. It knows no stack."""

import re
from dataclasses import dataclass
from typing import Final

QUEUE_ARN: Final = re.compile(r"arn:[\w-]+:sqs:[\w-]+:\d+:[\w-]+(?:\.fifo)?(?![\w.*?-])")
"""The ARN of one queue; a pattern of several is none."""
QUEUE_URL: Final = re.compile(
    r"(?:https?://)?(?P<host>[\w.-]+|\[[\da-fA-F:]+\])(?::\d+)?/(?:queue/[\w-]+/)?(?P<account>\d{12})/(?P<name>[\w-]+(?:\.fifo)?)"
)
SQS_HOST: Final = re.compile(
    r"(?:[\w-]+\.)?sqs(?:-fips)?\.(?P<region>[\w-]+)\.(?:(?:vpce\.)?amazonaws\.com(?:\.cn)?|api\.aws)"
    r"|(?:(?P<old_region>[\w-]+)\.)?queue\.amazonaws\.com(?:\.cn)?"
)
"""Regional, dual-stack, FIPS and interface endpoints
(https://docs.aws.amazon.com/general/latest/gr/sqs-service.html), and the older names, which go on working."""
OLD_REGION: Final = "us-east-1"
"""Where ``queue.amazonaws.com`` is."""
LOCAL_HOST: Final = re.compile(
    r"[\w-]+|[\d.]+|\[.+\]|(?:.+\.)?(?:localhost|local|internal|localhost\.localstack\.cloud)"
)
"""An emulator's host: a bare name, a number, or a name that no public host has."""


@dataclass(frozen=True)
class Address:
    """Where a queue is, and its name; what is not known is None."""

    region: str | None
    account: str | None
    name: str | None

    @classmethod
    def read(cls, text: str | None) -> "Address | None":
        """The address in a queue's ARN or URL; None when the text is neither, whatever name it ends with."""
        if text is None:
            return None
        if QUEUE_ARN.fullmatch(text):
            return cls(*text.split(":")[3:])
        url = QUEUE_URL.fullmatch(text)
        if url is None:
            return None
        if host := SQS_HOST.fullmatch(url["host"]):
            return cls(host["region"] or host["old_region"] or OLD_REGION, url["account"], url["name"])
        return cls(None, url["account"], url["name"]) if LOCAL_HOST.fullmatch(url["host"]) else None

    def agrees(self, other: "Address") -> bool:
        """Are both the same queue, as far as they are known? Without a name nothing is."""
        pairs = ((self.region, other.region), (self.account, other.account))
        same_place = all(None in pair or pair[0] == pair[1] for pair in pairs)
        return self.name is not None and self.name == other.name and same_place
