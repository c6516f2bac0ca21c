"""Names that must come out the same wherever they are computed: run ids, vector ids, keys, FIFO groups. Pure."""

import hashlib
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

CollectionName = Literal["lines", "words"]
COLLECTIONS: tuple[CollectionName, ...] = ("lines", "words")
Precision = Literal["float32", "float16"]
"""Of the vectors in a delta; here, and not beside the delta, because the settings need no numpy."""

LINES_FILE = "lines.ndjson"
WORDS_FILE = "words.ndjson"
MANIFEST_FILE = "manifest.json"
"""The objects in a receipt's folder. What they hold is in ``artifacts.py``, which takes longer to import."""

CONTENT_DIGEST_LENGTH = 16
"""Hex digits of the content digest that name a receipt's folder: 64 bits, per receipt, so collisions do not matter."""
RUN_ID_LENGTH = 32
"""Hex digits of a run id: 128 bits; well under SQS's 128 characters for a deduplication id."""


def sha256_hex(content: bytes) -> str:
    """The SHA-256 of ``content`` as 64 lower-case hex digits."""
    return hashlib.sha256(content).hexdigest()


def content_digest(lines_ndjson: bytes, words_ndjson: bytes, merchant_name: str | None) -> str:
    """The digest that names one version of one receipt: its rows and the merchant it came with, 16 hex digits."""
    parts = (sha256_hex(lines_ndjson), sha256_hex(words_ndjson), merchant_name or "")
    return sha256_hex("\n".join(parts).encode())[:CONTENT_DIGEST_LENGTH]


def run_id(
    image_id: UUID, receipt_id: int, content: str, *, embedding_model: str, dimensions: int, delta_version: str
) -> str:
    """The deterministic id of one embedding of one version of one receipt, 32 hex digits.

    A redelivered message computes the same id, finds its run and pays for no second embedding.
    """
    parts = (str(image_id), str(receipt_id), content, embedding_model, str(dimensions), delta_version)
    return sha256_hex("\n".join(parts).encode())[:RUN_ID_LENGTH]


def upload_id(run: str, uploaded_at: datetime) -> str:
    """The deterministic id of one upload of content whose run is ``run``: the same in every delivery of that upload."""
    return sha256_hex(f"{run}\n{uploaded_at.astimezone(UTC).isoformat()}".encode())[:RUN_ID_LENGTH]


def resolution_id(image_id: UUID, receipt_id: int, deciding_run: str, merchant_name: str) -> str:
    """The deterministic id of naming a receipt's merchant after it was recorded, 32 hex digits.

    The same in every attempt, so that two hosts that resolve the receipt at once record it once.

    Args:
        image_id: the receipt's image.
        receipt_id: which receipt of it.
        deciding_run: the upsert whose rows get the name: other content of the receipt is resolved again.
        merchant_name: the name.
    """
    parts = ("resolution", str(image_id), str(receipt_id), deciding_run, merchant_name)
    return sha256_hex("\n".join(parts).encode())[:RUN_ID_LENGTH]


def message_group(image_id: UUID, receipt_id: int) -> str:
    """The FIFO group of one receipt: versions of a receipt stay in order, receipts are independent."""
    return f"{image_id}-{receipt_id:05d}"


def receipt_vector_prefix(image_id: UUID, receipt_id: int) -> str:
    """The prefix that the ids of all vectors of one receipt share."""
    return f"IMAGE#{image_id}#RECEIPT#{receipt_id:05d}#"


def line_vector_id(image_id: UUID, receipt_id: int, line_id: int) -> str:
    """The id of a line in collection ``lines``."""
    return f"{receipt_vector_prefix(image_id, receipt_id)}LINE#{line_id:05d}"


def word_vector_id(image_id: UUID, receipt_id: int, line_id: int, word_id: int) -> str:
    """The id of a word in collection ``words``."""
    return f"{line_vector_id(image_id, receipt_id, line_id)}#WORD#{word_id:05d}"


def receipt_folder(image_id: UUID, receipt_id: int, content: str) -> str:
    """The content-addressed folder of one version of one receipt in the artifacts bucket, without a trailing slash."""
    return f"receipts/{image_id}/receipt-{receipt_id:05d}/{content}"


def delta_prefix(collection: CollectionName) -> str:
    """What the keys of all deltas of a collection start with, in the vectors bucket."""
    return f"{collection}/delta/"


def delta_key(collection: CollectionName, run: str, sha256: str) -> str:
    """The key of one delta of a run in the vectors bucket.

    Args:
        collection: the delta's collection.
        run: the run that it was written for.
        sha256: of the object, 64 hex digits: an object under this key can only ever have these bytes.
    """
    return f"{delta_prefix(collection)}{run}/{sha256}.safetensors"


def legacy_delta_key(collection: CollectionName, run: str) -> str:
    """Where deltas of version 1 are; it is read when there is no object under ``delta_key``, never written."""
    return f"{delta_prefix(collection)}{run}/delta.safetensors"


def run_partition_key(image_id: UUID) -> str:
    """The PK of an image's CompactionRun items."""
    return f"IMAGE#{image_id}"


def run_sort_key(receipt_id: int, run: str) -> str:
    """The SK of one CompactionRun item."""
    return f"RECEIPT#{receipt_id:05d}#COMPACTION_RUN#{run}"


def receipt_counter_key(receipt_id: int) -> str:
    """The SK of the item that counts the recorded operations of one receipt."""
    return f"RECEIPT#{receipt_id:05d}#VERSION"
