"""A delta: the vectors of one run for one collection, as one safetensors object. Pure; no chromadb needed to write one.

The tensor ``vectors`` and the rows travel in one object so that they can never be of different writes.
"""

import json
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pipeline.contracts.metadata import Metadata
from pipeline.contracts.versions import CONTRACT_VERSION, require_supported_version
from pipeline.errors import ErrorCode, PermanentError

Precision = Literal["float32", "float16"]

TENSOR_NAME = "vectors"
PLAIN_TYPES = frozenset({str, int, float, bool})
MATRIX = 2
"""Axes of the tensor: rows and dimensions."""


@dataclass(frozen=True, kw_only=True)
class DeltaRow:
    """One vector's identity: its id, the embedded text and the metadata that Chroma stores beside it."""

    id: str
    document: str
    metadata: Metadata


@dataclass(frozen=True, kw_only=True)
class Delta:
    """The vectors of one run for one collection.

    Attributes:
        vectors: rows x dimensions, float32, row ``i`` belonging to ``rows[i]``.
        model: the embedding model that made them; never mixed within a collection.
    """

    collection: Literal["lines", "words"]
    run_id: str
    image_id: UUID
    receipt_id: int
    model: str
    rows: tuple[DeltaRow, ...]
    vectors: np.ndarray

    @property
    def dimensions(self) -> int:
        """Numbers a vector."""
        return int(self.vectors.shape[1])


def encode_delta(delta: Delta, precision: Precision = "float32") -> bytes:
    """Serialize a delta; ``float16`` halves the bytes (FACTS: identical top ten).

    Raises:
        PermanentError: DELTA_INVALID when rows and vectors do not match, an id repeats or a number is not finite.
    """
    _require_consistent(delta)
    header = {
        "version": CONTRACT_VERSION,
        "collection": delta.collection,
        "run_id": delta.run_id,
        "image_id": str(delta.image_id),
        "receipt_id": str(delta.receipt_id),
        "model": delta.model,
        "dimensions": str(delta.dimensions),
        "rows": json.dumps([[row.id, row.document, row.metadata] for row in delta.rows], ensure_ascii=False),
    }
    return save({TENSOR_NAME: np.ascontiguousarray(delta.vectors, dtype=precision)}, metadata=header)


def decode_delta(content: bytes, source: str) -> Delta:
    """Read a delta back, vectors as float32.

    Raises:
        PermanentError: DELTA_INVALID when the bytes are not a delta, VERSION_UNSUPPORTED for an unknown major version.
    """
    try:
        header = _read_metadata(content)
        require_supported_version(header["version"], "delta")
        vectors = _read_vectors(content)
        rows = tuple(DeltaRow(id=row[0], document=row[1], metadata=row[2]) for row in json.loads(header["rows"]))
        delta = Delta(
            collection="lines" if header["collection"] == "lines" else "words",
            run_id=header["run_id"],
            image_id=UUID(header["image_id"]),
            receipt_id=int(header["receipt_id"]),
            model=header["model"],
            rows=rows,
            vectors=vectors,
        )
    except (SafetensorError, KeyError, IndexError, TypeError, ValueError) as error:
        raise _invalid(
            f"{source}: {type(error).__name__}: {error}", "a delta is one safetensors object with rows"
        ) from error
    _require_consistent(delta)
    return delta


def _read_metadata(content: bytes) -> dict[str, str]:
    # safetensors gives metadata only for files on disk; its header is a length (8 bytes, little endian) and JSON.
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])["__metadata__"]


def _read_vectors(content: bytes) -> np.ndarray:
    return load(content)[TENSOR_NAME].astype(np.float32, copy=False)


def _require_consistent(delta: Delta) -> None:
    if delta.vectors.ndim != MATRIX or len(delta.vectors) != len(delta.rows):
        raise _invalid(f"vectors {delta.vectors.shape} for {len(delta.rows)} rows", "one vector a row, two axes")
    if len({row.id for row in delta.rows}) != len(delta.rows):
        raise _invalid("an id occurs twice", "ids within a delta are unique")
    for row in delta.rows:
        # Chroma refuses such a row in the middle of an upsert, when it is too late to fail this delta alone.
        if not row.metadata or not PLAIN_TYPES.issuperset(map(type, row.metadata.values())):
            raise _invalid(f"metadata of {row.id} is {row.metadata}", "metadata is not empty and holds plain values")
    if not np.isfinite(delta.vectors).all():
        raise _invalid("a number is not finite", "vectors hold finite numbers")


def _invalid(value: str, rule: str) -> PermanentError:
    return PermanentError(
        ErrorCode.DELTA_INVALID,
        value=value,
        rule=rule,
        way_out="the run stays FAILED with this reason; upload the receipt's OCR result again to embed it anew",
    )
