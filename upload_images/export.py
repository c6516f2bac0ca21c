"""From an OCR result to NDJSON rows, artifacts and embed messages. Pure: what to write and send, not the writing."""

from dataclasses import dataclass
from datetime import datetime

from pipeline.contracts.artifacts import LineRow, Manifest, WordRow, encode_rows
from pipeline.contracts.identifiers import (
    LINES_FILE,
    MANIFEST_FILE,
    WORDS_FILE,
    content_digest,
    receipt_folder,
    run_id,
    sha256_hex,
)
from pipeline.contracts.messages import EmbedMessage
from pipeline.contracts.ocr import OcrDocument, OcrReceipt
from pipeline.contracts.versions import DELTA_VERSION


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One object to write: its key, content and media type."""

    key: str
    content: bytes
    content_type: str


@dataclass(frozen=True, kw_only=True)
class ReceiptExport:
    """All that one receipt becomes. The artifacts are written, in order, before the message is sent."""

    artifacts: tuple[Artifact, ...]
    message: EmbedMessage


def is_noise(text: str) -> bool:
    """True for a row that says nothing: no letter and no digit in any script. It is kept, marked, and not embedded."""
    return not any(character.isalnum() for character in text)


def export_receipt(
    document: OcrDocument,
    receipt: OcrReceipt,
    *,
    bucket: str,
    embedding_model: str,
    dimensions: int,
    uploaded_at: datetime | None = None,
    sequencer: str | None = None,
) -> ReceiptExport:
    """Decide the artifacts and the message of one receipt.

    Args:
        document: the OCR result that holds the receipt.
        receipt: the receipt.
        bucket: the artifacts bucket, named in the message.
        embedding_model: the model that will embed it; part of the run id.
        dimensions: the model's vector length; part of the run id.
        uploaded_at: when the document arrived, by S3's clock.
        sequencer: S3's, of the same event.
    """
    lines = encode_rows(_line_rows(receipt))
    words = encode_rows(_word_rows(receipt))
    content = content_digest(lines, words, receipt.merchant_name)
    folder = receipt_folder(document.image_id, receipt.receipt_id, content)
    message = EmbedMessage(
        image_id=document.image_id,
        receipt_id=receipt.receipt_id,
        artifacts_bucket=bucket,
        lines_key=f"{folder}/{LINES_FILE}",
        words_key=f"{folder}/{WORDS_FILE}",
        run_id=run_id(
            document.image_id,
            receipt.receipt_id,
            content,
            embedding_model=embedding_model,
            dimensions=dimensions,
            delta_version=DELTA_VERSION,
        ),
        lines_count=len(receipt.lines),
        words_count=sum(len(line.words) for line in receipt.lines),
        lines_sha256=sha256_hex(lines),
        words_sha256=sha256_hex(words),
        merchant_name=receipt.merchant_name,
        uploaded_at=uploaded_at,
        sequencer=sequencer,
    )
    manifest = Manifest(
        image_id=document.image_id,
        receipt_id=receipt.receipt_id,
        lines_count=message.lines_count,
        words_count=message.words_count,
        lines_sha256=message.lines_sha256,
        words_sha256=message.words_sha256,
        merchant_name=receipt.merchant_name,
    )
    return ReceiptExport(
        artifacts=(
            Artifact(key=message.lines_key, content=lines, content_type="application/x-ndjson"),
            Artifact(key=message.words_key, content=words, content_type="application/x-ndjson"),
            Artifact(
                key=f"{folder}/{MANIFEST_FILE}",
                content=manifest.model_dump_json().encode(),
                content_type="application/json",
            ),
        ),
        message=message,
    )


def _line_rows(receipt: OcrReceipt) -> list[LineRow]:
    return [
        LineRow(
            line_id=line.line_id,
            text=line.text,
            confidence=line.confidence,
            bounding_box=line.bounding_box,
            is_noise=is_noise(line.text),
        )
        for line in receipt.lines
    ]


def _word_rows(receipt: OcrReceipt) -> list[WordRow]:
    return [
        WordRow(
            line_id=line.line_id,
            word_id=word.word_id,
            text=word.text,
            confidence=word.confidence,
            bounding_box=word.bounding_box,
            is_noise=is_noise(word.text),
        )
        for line in receipt.lines
        for word in line.words
    ]
