"""A delta: the rows and vectors of one run for one collection, as one safetensors object. Pure; no chromadb, no S3.

Version 2 keeps each distinct text and its vector once; a row names its text by index. Version 1 had a vector for every
row; it is still read, because a run that was recorded with such a delta may be unfinished. How the objects are stored
and found is in ``pipeline/deltas.py``.

Longer than most modules: both versions of the format and every rule of a delta.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pipeline.contracts.identifiers import COLLECTIONS, CollectionName, Precision
from pipeline.contracts.limits import LARGEST_INTEGER
from pipeline.contracts.metadata import Metadata
from pipeline.contracts.versions import require_supported_version
from pipeline.errors import ErrorCode, PermanentError

FORMAT_VERSION = "2.0"
SUPPORTED_MAJORS = (1, 2)
TENSOR_NAME = "vectors"
BODY_NAME = "delta"
"""The one metadata key. safetensors 0.8.0 writes several metadata keys in a random order, so two of them would make
different bytes of the same delta in another process."""
MATRIX = 2
"""Axes of the tensor: texts and dimensions."""
SMALLEST_INTEGER = -(2**63)
SHOWN_CHARACTERS = 200
"""Of a bad value, in an error."""


@dataclass(frozen=True, kw_only=True)
class DeltaRow:
    """One row: its vector id, which text it has, and its metadata.

    Attributes:
        text: index into ``Delta.texts``.
    """

    id: str
    text: int
    metadata: Metadata


@dataclass(frozen=True, kw_only=True)
class Delta:
    """The rows of one run for one collection, and the vectors of their texts.

    Attributes:
        model: the embedding model that made the vectors; models are never mixed within a collection.
        texts: distinct; each belongs to at least one row.
        vectors: texts x dimensions, float32; vector ``i`` belongs to ``texts[i]``.
    """

    collection: CollectionName
    run_id: str
    image_id: UUID
    receipt_id: int
    model: str
    texts: tuple[str, ...]
    rows: tuple[DeltaRow, ...]
    vectors: np.ndarray

    @property
    def dimensions(self) -> int:
        """Numbers a vector."""
        return int(self.vectors.shape[1])

    def text_of(self, row: DeltaRow) -> str:
        """The text that was embedded for a row."""
        return self.texts[row.text]


def make_delta(
    *,
    collection: CollectionName,
    run_id: str,
    image_id: UUID,
    receipt_id: int,
    model: str,
    rows: Iterable[tuple[str, str, Metadata]],
    vectors: np.ndarray,
) -> Delta:
    """Build a delta from rows that each have a vector. Of rows with the same text, the first row's vector is kept.

    Args:
        collection: the collection that the rows are for.
        run_id: the run that they belong to.
        image_id: the receipt's image.
        receipt_id: the receipt's number in the image.
        model: the embedding model.
        rows: vector id, text and metadata of each row.
        vectors: rows x dimensions.

    Raises:
        PermanentError: DELTA_INVALID when rows and vectors differ in number.
    """
    given = list(rows)
    if vectors.ndim != MATRIX or len(vectors) != len(given):
        raise _invalid(f"vectors of shape {vectors.shape} for {len(given)} rows", "every row has one vector")
    position: dict[str, int] = {}
    first: list[int] = []
    for index, (_, text, _) in enumerate(given):
        if text not in position:
            position[text] = len(first)
            first.append(index)
    return Delta(
        collection=collection,
        run_id=run_id,
        image_id=image_id,
        receipt_id=receipt_id,
        model=model,
        texts=tuple(position),
        rows=tuple(
            DeltaRow(id=identifier, text=position[text], metadata=metadata) for identifier, text, metadata in given
        ),
        vectors=vectors[first],
    )


def encode_delta(delta: Delta, precision: Precision = "float32") -> bytes:
    """Serialize a delta. The same delta gives the same bytes in every process.

    Args:
        delta: what to serialize.
        precision: of the stored vectors; ``float16`` halves their size.

    Raises:
        PermanentError: DELTA_INVALID for a delta that ``decode_delta`` would refuse.
    """
    _require_consistent(delta)
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(delta.vectors, dtype=precision)
    _require_directions(stored)
    body = {
        "version": FORMAT_VERSION,
        "collection": delta.collection,
        "run_id": delta.run_id,
        "image_id": str(delta.image_id),
        "receipt_id": delta.receipt_id,
        "model": delta.model,
        "dimensions": delta.dimensions,
        "texts": delta.texts,
        "rows": [{"id": row.id, "text": row.text, "metadata": row.metadata} for row in delta.rows],
    }
    content = json.dumps(body, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return save({TENSOR_NAME: stored}, metadata={BODY_NAME: content})


def decode_delta(content: bytes, source: str) -> Delta:
    """Read a delta of version 1 or 2; vectors as float32.

    Args:
        content: the object's bytes.
        source: where they are from, for the error.

    Raises:
        PermanentError: DELTA_INVALID when the bytes are not a delta, VERSION_UNSUPPORTED for an unknown major version.
    """
    try:
        header = _read_header(content)
        delta = _read_version_2(header, content) if BODY_NAME in header else _read_version_1(header, content)
        _require_consistent(delta)
    # Everything that JSON, safetensors and numpy raise for bytes that somebody damaged or invented.
    except (
        SafetensorError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise _invalid(f"{source}: {type(error).__name__}: {error}", "a delta is one safetensors object") from error
    return delta


def _read_version_2(header: Mapping[str, Any], content: bytes) -> Delta:
    body = _object(json.loads(_string(header[BODY_NAME])))
    _require_version(body["version"])
    delta = Delta(
        **_identity(body),
        texts=tuple(map(_string, _list(body["texts"]))),
        rows=tuple(
            DeltaRow(id=_string(row["id"]), text=row["text"], metadata=row["metadata"])
            for row in map(_object, _list(body["rows"]))
        ),
        vectors=_read_vectors(content),
    )
    _require_dimensions(delta, body["dimensions"])
    return delta


def _read_version_1(header: Mapping[str, Any], content: bytes) -> Delta:
    """Every value was a string, and every row had a vector."""
    _require_version(header["version"])
    rows = [_list(row) for row in _list(json.loads(_string(header["rows"])))]
    delta = make_delta(
        **_identity({**header, "receipt_id": int(_string(header["receipt_id"]))}),
        rows=[(_string(row[0]), _string(row[1]), row[2]) for row in rows],
        vectors=_read_vectors(content),
    )
    _require_dimensions(delta, int(_string(header["dimensions"])))
    return delta


def _identity(body: Mapping[str, Any]) -> dict[str, Any]:
    collection = _string(body["collection"])
    if collection not in COLLECTIONS:
        raise ValueError(f"collection {_shown(collection)}")
    return {
        "collection": cast("CollectionName", collection),
        "run_id": _string(body["run_id"]),
        "image_id": UUID(_string(body["image_id"])),
        "receipt_id": body["receipt_id"],
        "model": _string(body["model"]),
    }


def _read_header(content: bytes) -> dict[str, Any]:
    # safetensors gives metadata only of files on disk. The header is its length (8 bytes, little endian), then JSON.
    length = int.from_bytes(content[:8], "little")
    return _object(_object(json.loads(content[8 : 8 + length]))["__metadata__"])


def _read_vectors(content: bytes) -> np.ndarray:
    vectors = load(content)[TENSOR_NAME]
    if vectors.dtype not in (np.float32, np.float16):
        raise TypeError(f"vectors are {vectors.dtype}")
    return vectors.astype(np.float32, copy=False)


def _require_version(version: object) -> None:
    if not isinstance(version, str):
        raise TypeError(f"version {_shown(version)}")
    require_supported_version(version, "delta", majors=SUPPORTED_MAJORS)


def _require_dimensions(delta: Delta, dimensions: object) -> None:
    if type(dimensions) is not int or delta.vectors.ndim != MATRIX or dimensions != delta.dimensions:
        raise ValueError(f"vectors of shape {delta.vectors.shape}, dimensions {_shown(dimensions)}")


def _require_consistent(delta: Delta) -> None:
    _require_matrix(delta)
    _require_rows(delta)
    strings = [delta.run_id, delta.model, *delta.texts]
    for row in delta.rows:
        _require_metadata(row)
        strings += (row.id, *row.metadata)
        strings += [value for value in row.metadata.values() if type(value) is str]
    try:
        "".join(strings).encode()
    except UnicodeEncodeError as error:
        raise _invalid(f"half of a surrogate pair: {error.reason}", "every text can be written as UTF-8") from error


def _require_matrix(delta: Delta) -> None:
    if delta.vectors.ndim != MATRIX or len(delta.vectors) != len(delta.texts) or not delta.dimensions:
        raise _invalid(
            f"vectors of shape {delta.vectors.shape} for {len(delta.texts)} texts", "every text has one vector"
        )
    _require_directions(delta.vectors)
    if type(delta.receipt_id) is not int or not 1 <= delta.receipt_id <= LARGEST_INTEGER:
        raise _invalid(f"receipt_id {_shown(delta.receipt_id)}", "receipt_id is an integer from 1, of 64 bits")


def have_directions(vectors: np.ndarray) -> bool:
    """Whether cosine distance is defined for every row, as float32: all are finite and none has length 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(vectors.astype(np.float32, copy=False), axis=1)
    return bool((np.isfinite(lengths) & (lengths > 0)).all())


def _require_directions(vectors: np.ndarray) -> None:
    """Refuse what the check before a publication would refuse, which would hold up the whole collection."""
    if not np.isfinite(vectors).all():
        raise _invalid(f"a number is not finite as {vectors.dtype}", "vectors hold finite numbers")
    if not have_directions(vectors):
        raise _invalid("a vector has length 0, or one that float32 cannot hold", "cosine distance needs a direction")


def _require_rows(delta: Delta) -> None:
    if len(set(delta.texts)) != len(delta.texts):
        raise _invalid("a text occurs twice", "texts within a delta are distinct")
    if len({row.id for row in delta.rows}) != len(delta.rows):
        raise _invalid("an id occurs twice", "ids within a delta are distinct")
    count, named = len(delta.texts), bytearray(len(delta.texts))
    for row in delta.rows:
        if type(row.text) is not int or not 0 <= row.text < count:
            raise _invalid(f"row {_shown(row.id)} has text {_shown(row.text)}", f"a row names one of {count} texts")
        named[row.text] = 1
    if not all(named):
        raise _invalid(f"no row has text {named.index(0)}", "every text belongs to a row")


def _require_metadata(row: DeltaRow) -> None:
    """Refuse what Chroma or SQLite would refuse in the middle of a merge, too late to fail this delta alone."""
    metadata = row.metadata
    if type(metadata) is not dict or not metadata or not all(type(name) is str for name in metadata):
        raise _invalid(f"metadata of {_shown(row.id)} is {_shown(metadata)}", "metadata is an object that is not empty")
    for name, value in metadata.items():
        if not _is_plain(value):
            raise _invalid(
                f"metadata {_shown(name)} of {_shown(row.id)} is {_shown(value)}",
                "a value is a string, a boolean, an integer of 64 bits or a finite number",
            )


def _is_plain(value: object) -> bool:
    if isinstance(value, bool):
        return True
    if isinstance(value, int):
        return SMALLEST_INTEGER <= value <= LARGEST_INTEGER
    return isinstance(value, str) or (isinstance(value, float) and math.isfinite(value))


def _string(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"{_shown(value)} is not a string")
    return value


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise TypeError(f"{_shown(value)} is not a list")
    return value


def _object(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise TypeError(f"{_shown(value)} is not an object")
    return value


def _shown(value: object) -> str:
    # An integer of over 4,300 digits cannot be shown: Python refuses to convert it.
    if isinstance(value, int) and not SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
        return f"an integer of {value.bit_length()} bits"
    shown = repr(value)
    return shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[:SHOWN_CHARACTERS]}..."


def _invalid(value: str, rule: str) -> PermanentError:
    return PermanentError(
        ErrorCode.DELTA_INVALID,
        value=value,
        rule=rule,
        way_out="the run stays FAILED with this reason; upload the receipt's OCR result to embed it again",
    )
