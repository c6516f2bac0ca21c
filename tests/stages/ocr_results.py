"""OCR results and the notifications of them, as stage 1 gets them."""

import json
from typing import Any
from uuid import UUID

BUCKET = "artifacts"
EMBED_QUEUE, DEAD_LETTERS = "https://sqs/embed.fifo", "https://sqs/ocr-dlq"
IMAGE = UUID("0c1a7f0e-53a2-4b45-9a4e-6d0b7c8f3a11")


def receipt(receipt_id: int = 1, texts: tuple[str, ...] = ("CAFÉ ALMA", "", "* * *"), **more: Any) -> dict[str, Any]:
    box = {"x": 0.1, "y": 0.1, "width": 0.5, "height": 0.02}
    return {
        "receipt_id": receipt_id,
        "lines": [
            {
                "line_id": number,
                "text": text,
                "confidence": 0.9,
                "bounding_box": box,
                "words": [
                    {"word_id": place, "text": word, "confidence": 0.9, "bounding_box": box}
                    for place, word in enumerate(text.split(), 1)
                ],
            }
            for number, text in enumerate(texts, 1)
        ],
        **more,
    }


def document(*receipts: dict[str, Any]) -> bytes:
    return json.dumps({"image_id": str(IMAGE), "receipts": list(receipts)}).encode()


def notification(key: str, message_id: str = "m1", **fields: str) -> dict[str, Any]:
    record = {"s3": {"bucket": {"name": BUCKET}, "object": {"key": key}}, **fields}
    return {"messageId": message_id, "body": json.dumps({"Records": [record]}), "attributes": {}}
