"""Amazon Textract: answers of DetectDocumentText, AnalyzeDocument and AnalyzeExpense, in one part or several.

Block types and fields: docs.aws.amazon.com/textract/latest/dg/API_Block.html. Only LINE blocks and their words are
looked at: the words of a table's cells are words of lines as well. Lines have a text of their own.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from upload_images.formats.plain import Foreign, read_json, require
from upload_images.formats.recognized import (
    Box,
    Reading,
    RecognizedLine,
    RecognizedReceipt,
    RecognizedWord,
    refusal,
)

NAME = "an answer of Amazon Textract"
FRACTIONS = (1.0, 1.0)
VENDOR = "VENDOR_NAME"


class _BoundingBox(Foreign):
    left: float
    top: float
    width: float
    height: float


class _Geometry(Foreign):
    bounding_box: _BoundingBox


class _Relationship(Foreign):
    type: str
    ids: tuple[str, ...] = ()


class _Block(Foreign):
    block_type: str
    id: str = ""
    text: str | None = None
    confidence: float | None = None
    geometry: _Geometry | None = None
    relationships: tuple[_Relationship, ...] | None = None
    page: int | None = None


class _Named(Foreign):
    text: str | None = None


class _SummaryField(Foreign):
    type: _Named | None = None
    value_detection: _Named | None = None


class _Expense(Foreign):
    blocks: tuple[_Block, ...] | None = None
    summary_fields: tuple[_SummaryField, ...] | None = None


class _Part(Foreign):
    blocks: tuple[_Block, ...] | None = None
    expense_documents: tuple[_Expense, ...] | None = None
    next_token: str | None = None
    job_status: str | None = None
    status_message: str | None = None


def read_textract(content: bytes) -> Reading:
    """Read an answer, or a JSON list of all parts of one.

    Raises:
        PermanentError: OCR_DOCUMENT_INVALID.
    """
    document = read_json(content)
    values: list[Any] = document if isinstance(document, list) else [document]
    parts = [require(_Part, value, NAME) for value in values]
    remarks = _require_complete(parts)
    blocks = [block for part in parts for block in part.blocks or ()]
    expenses = [expense for part in parts for expense in part.expense_documents or ()]
    if expenses:
        if not any(expense.blocks for expense in expenses):
            raise refusal(
                f"its {len(expenses)} expense documents have no Blocks",
                "an answer of AnalyzeExpense is read by its Blocks, which hold the lines with their words",
                "give the answer with Blocks, or call DetectDocumentText",
            )
        receipts = [receipt for expense in expenses for receipt in _receipts(expense.blocks or (), _vendor(expense))]
        return Reading(receipts=tuple(receipts), remarks=remarks)
    return Reading(receipts=tuple(_receipts(blocks, None)), remarks=remarks)


def _require_complete(parts: Sequence[_Part]) -> tuple[str, ...]:
    """Refuse a failed job's answer and one that has more parts; add a remark for one that misses pages."""
    for part in parts:
        if part.job_status in {"FAILED", "IN_PROGRESS"}:
            raise refusal(
                f"the job is {part.job_status}{': ' if part.status_message else ''}{part.status_message or ''}",
                "the job has SUCCEEDED",
                "wait for the job or start it again",
            )
    if parts and parts[-1].next_token:
        raise refusal(
            f"after {len(parts)} parts its NextToken says that there are more",
            "all parts of an answer are read together",
            "ask with NextToken until there is none, and give all parts as one JSON list",
        )
    if any(part.job_status == "PARTIAL_SUCCESS" for part in parts):
        return ("Textract could not read some pages: the job ended with PARTIAL_SUCCESS",)
    return ()


def _receipts(blocks: Sequence[_Block], merchant_name: str | None) -> Iterator[RecognizedReceipt]:
    """A receipt for each page of the blocks; ``Page`` is absent in answers of one page."""
    by_id = {block.id: block for block in blocks}
    # A page without a line is a page, too: a remark says that it is empty.
    pages: dict[int, list[RecognizedLine]] = {
        block.page or 1: [] for block in blocks if block.block_type in {"PAGE", "LINE"}
    }
    for block in blocks:
        if block.block_type == "LINE":
            pages[block.page or 1].append(_line(block, by_id))
    for page in sorted(pages):
        yield RecognizedReceipt(page=page, lines=tuple(pages[page]), size=FRACTIONS, merchant_name=merchant_name)


def _line(line: _Block, by_id: dict[str, _Block]) -> RecognizedLine:
    children = [
        by_id[identifier]
        for relationship in line.relationships or ()
        if relationship.type == "CHILD"
        for identifier in relationship.ids
        if identifier in by_id
    ]
    return RecognizedLine(
        words=tuple(
            RecognizedWord(text=child.text or "", box=_box(child), confidence=_confidence(child))
            for child in children
            if child.block_type == "WORD"
        ),
        text=line.text,
        box=_box(line),
        confidence=_confidence(line),
    )


def _box(block: _Block) -> Box | None:
    if block.geometry is None:
        return None
    box = block.geometry.bounding_box
    return Box.of_size(box.left, box.top, box.width, box.height)


def _confidence(block: _Block) -> float | None:
    return None if block.confidence is None else block.confidence / 100


def _vendor(expense: _Expense) -> str | None:
    for field in expense.summary_fields or ():
        if field.type is not None and field.type.text == VENDOR and field.value_detection is not None:
            # The name is on several printed lines now and then.
            return " ".join((field.value_detection.text or "").split()) or None
    return None
