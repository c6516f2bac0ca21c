"""Small OCR results that once were refused wrongly, taken wrongly, or took their neighbours along. All invented."""

import json
from typing import Any

IMAGE = "ca5e0000-0000-4000-8000-0000000000aa"
BOX = {"x": 0.05, "y": 0.05, "width": 0.6, "height": 0.02}


def receipt(receipt_id: Any = 1, text: Any = "SHOP SOAP", **more: Any) -> dict[str, Any]:
    """One line with its words; ``more`` replaces fields of the receipt."""
    parts = text.split() if isinstance(text, str) else []
    words = [
        {"word_id": number, "text": part, "confidence": 0.97, "bounding_box": BOX}
        for number, part in enumerate(parts, 1)
    ]
    line = {"line_id": 1, "text": text, "confidence": 0.97, "bounding_box": BOX, "words": words}
    return {"receipt_id": receipt_id, "lines": [line], **more}


def with_word(**fields: Any) -> dict[str, Any]:
    """A receipt of which one word is otherwise."""
    made = receipt()
    made["lines"][0]["words"][0] |= fields
    return made


def with_line(**fields: Any) -> dict[str, Any]:
    """A receipt of which the line is otherwise."""
    made = receipt()
    made["lines"][0] |= fields
    return made


def document(*receipts: Any, image_id: str = IMAGE) -> bytes:
    """The image's OCR result."""
    return json.dumps({"image_id": image_id, "receipts": list(receipts)}).encode()


TAKEN: dict[str, bytes] = {
    "a merchant's name that is empty": document(receipt(merchant_name="")),
    "a merchant's name of blanks": document(receipt(merchant_name=" \t")),
    "a confidence of zero": document(with_word(confidence=0)),
    "a box a hair outside": document(with_line(bounding_box={**BOX, "x": -0.0004, "width": 1.0000001})),
    "a byte order mark": b"\xef\xbb\xbf" + document(receipt()),
    "text that looks like markup": document(receipt(text="GREEN [/kg] [link] :smile:", merchant_name="SHOP [/north]")),
    "control characters in a text": document(receipt(text="\x1b[31mRED\x1b[0m \x9b1m")),
    "numbers of 63 bits": document(
        {**with_word(word_id=2**63 - 1), "receipt_id": 2**63 - 1},
    ),
    "fields that nobody knows": document(receipt(colour={"deep": [1, 2]})),
}
"""Documents of one receipt that is accepted."""

REFUSED: dict[str, tuple[bytes, str]] = {
    "a character that SQS does not carry": (
        document(receipt(merchant_name="SHOP\uffff SIX")),
        "receipts.0.merchant_name: character 5 is U+FFFF, which SQS does not carry",
    ),
    "a merchant's name without end": (
        document(receipt(merchant_name="S" * 450_000)),
        "receipts.0.merchant_name: String should have at most 1000 characters",
    ),
    "a receipt_id of 64 bits": (
        document(receipt(2**63)),
        "receipts.0.receipt_id: Input should be less than or equal to 9223372036854775807",
    ),
    "a line_id of 64 bits": (document(with_line(line_id=2**63)), "receipts.0.lines.0.line_id: Input should be less"),
    "a word_id of 400 bits": (
        document(with_word(word_id=2**400)),
        "receipts.0.lines.0.words.0.word_id: Input should be less",
    ),
    "a receipt without lines": (document(receipt(lines=[])), "receipts.0: the receipt has no lines"),
    "a text larger than an input of the API": (
        document(receipt(text="é " * 2_731)),
        "receipts.0.lines.0.text: the text has 8193 bytes of UTF-8",
    ),
    "half a surrogate pair": (
        document(receipt(merchant_name="SHOP \ud83d")),
        "receipts.0.merchant_name: Input should be a valid string",
    ),
    "a confidence that is no number": (
        document(with_word(confidence=0)).replace(b'"confidence": 0,', b'"confidence": NaN,'),
        "receipts.0.lines.0.words.0.confidence",
    ),
    "a confidence in percent": (document(with_word(confidence=97)), "confidence: 97.0 is not between 0 and 1"),
    "a box far outside": (document(with_line(bounding_box={**BOX, "y": 1.2})), "y: 1.2 is not between 0 and 1"),
    "a repeated line": (
        document(receipt(lines=receipt()["lines"] * 2)),
        "receipts.0: line_id in receipt 1 is repeated: [1]",
    ),
    "more rows than are embedded together": (
        document(
            receipt(lines=[{**receipt()["lines"][0], "line_id": number, "words": []} for number in range(1, 10_002)])
        ),
        "receipts.0: the receipt has 10001 lines and words",
    ),
    "more receipts than an image has": (
        document(*(receipt(number) for number in range(1, 102))),
        "receipts: List should have at most 100 items",
    ),
    "no receipts": (document(), "receipts: List should have at least 1 item"),
    "no image": (b'{"receipts": [1]}', "image_id: Field required"),
    "text that is not JSON": (b"{not json", "it is not JSON: Expecting property name"),
    "text that is cut": (document(receipt())[:-9], "it is not JSON: "),
    "bytes that are not UTF-8": (document(receipt(text="caf?")).replace(b"caf?", b"caf\xe9"), "it is not UTF-8: "),
    "brackets without end": (b"[" * 100_000, "it is nested too deep"),
    "an empty file": (b"", "it is empty"),
    "a list": (b"[]", "document: "),
    "a receipt that is a number": (b'{"image_id": "%s", "receipts": [7]}' % IMAGE.encode(), "receipts.0: "),
    "more bytes than are read": (b" " * (8 * 1024 * 1024 + 1), "has 8388609 bytes"),
}
"""Documents of which nothing is accepted, and what is said of each."""
