"""Deltas. A failure here brings vectors into a collection that belong to other rows, or stops a merge half way."""

import struct
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from safetensors.numpy import save

from pipeline.contracts.delta import Delta, DeltaRow, decode_delta, encode_delta
from pipeline.errors import ErrorCode, PermanentError

IMAGE = UUID("0c1a7f0e-53a2-4b45-9a4e-6d0b7c8f3a11")


def delta(count: int = 3, **changes: Any) -> Delta:
    values: dict[str, Any] = {
        "collection": "lines",
        "run_id": "0" * 32,
        "image_id": IMAGE,
        "receipt_id": 1,
        "model": "m",
        "rows": tuple(
            DeltaRow(id=f"id{n}", document=f"caf\u00e9 {n}", metadata={"receipt_id": 1}) for n in range(count)
        ),
        "vectors": np.arange(count * 4, dtype=np.float32).reshape(count, 4),
    }
    return Delta(**(values | changes))


@pytest.mark.parametrize(("precision", "size"), [("float32", 4), ("float16", 2)])
def test_a_delta_comes_back_as_it_was_written(precision, size):
    content = encode_delta(delta(), precision)
    back = decode_delta(content, "here")
    assert back.rows == delta().rows
    assert back.vectors.dtype == np.float32
    assert back.vectors.tolist() == delta().vectors.tolist()
    (header,) = struct.unpack("<Q", content[:8])
    assert len(content) - 8 - header == 3 * 4 * size


def test_a_receipt_of_noise_alone_is_an_empty_delta():
    assert decode_delta(encode_delta(delta(0)), "here").vectors.shape == (0, 4)


@pytest.mark.parametrize(
    "changes",
    [
        {"vectors": np.zeros((2, 4), np.float32)},
        {"vectors": np.full((3, 4), np.nan, np.float32)},
        {"rows": tuple(DeltaRow(id="same", document="", metadata={"a": 1}) for _ in range(3))},
        {"rows": tuple(DeltaRow(id=str(n), document="", metadata={}) for n in range(3))},
        {"rows": tuple(DeltaRow(id=str(n), document="", metadata={"a": [1]}) for n in range(3))},
    ],
    ids=["a row too few", "not a number", "an id twice", "no metadata", "nested metadata"],
)
def test_a_delta_that_chroma_would_refuse_is_refused_before(changes):
    with pytest.raises(PermanentError) as refused:
        encode_delta(delta(**changes))
    assert refused.value.code is ErrorCode.DELTA_INVALID


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no delta at all",
        encode_delta(delta())[:-1],
        encode_delta(delta())[:40],
        save({"vectors": np.zeros((1, 4))}),
    ],
    ids=["empty", "text", "truncated by a byte", "truncated in the header", "without rows"],
)
def test_bytes_that_are_no_delta_are_refused(content):
    with pytest.raises(PermanentError) as refused:
        decode_delta(content, "here")
    assert refused.value.code is ErrorCode.DELTA_INVALID


def test_a_delta_of_a_later_major_version_is_refused_as_such():
    content = encode_delta(delta()).replace(b'"version":"1.0"', b'"version":"2.0"')
    with pytest.raises(PermanentError) as refused:
        decode_delta(content, "here")
    assert refused.value.code is ErrorCode.VERSION_UNSUPPORTED
