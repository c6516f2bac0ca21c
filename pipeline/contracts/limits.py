"""Bounds of what enters the pipeline, each from the narrowest thing behind it. Pure; no AWS client.

A value within them can be stored, sent and embedded by everything that follows, so nothing later has to refuse it.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

LARGEST_INTEGER = 2**63 - 1
"""SQLite's and Chroma's integers have 64 bits (sqlite.org/datatype3.html); DynamoDB's numbers hold more digits."""
MAXIMUM_DOCUMENT_BYTES = 8 * 1024 * 1024
"""Of one OCR result. ``process_ocr_results`` has 512 MB; parsing takes up to 20 bytes of memory a byte of JSON
(docs/facts.md, "Memory of an OCR result")."""
MAXIMUM_RECEIPTS = 100
"""Of one image: three objects and a message each, one after the other, within the 120 s that ``process_ocr_results``
has for ten images."""
MAXIMUM_ROWS = 10_000
"""Lines and words of one receipt: one delta holds a vector of each in memory, and one call of the embedder has 60 s."""
MAXIMUM_TEXT_BYTES = 8_192
"""UTF-8 of one line or word. The embedding API takes 8,192 tokens an input and a token covers at least one byte
(platform.openai.com/docs/api-reference/embeddings/create)."""
MAXIMUM_MERCHANT_NAME = 1_000
"""Characters. The name is part of the SQS message (1 MiB), of the DynamoDB item (400 kB, where it may stand twice) and
of the metadata of each row of the receipt."""

_NOT_IN_SQS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What a message must not contain (Amazon SQS API reference, SendMessage)."""


def _known_or_absent(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _require_sqs_characters(text: str) -> str:
    if (found := _NOT_IN_SQS.search(text)) is not None:
        raise ValueError(f"character {found.start() + 1} is U+{ord(found.group()):04X}, which SQS does not carry")
    return text


Number = Annotated[int, Field(ge=1, le=LARGEST_INTEGER)]
"""The number of a receipt, a line or a word."""
MerchantName = Annotated[
    Annotated[str, Field(max_length=MAXIMUM_MERCHANT_NAME), AfterValidator(_require_sqs_characters)] | None,
    BeforeValidator(_known_or_absent),
]
"""A merchant's name; an empty or blank one is no name."""
