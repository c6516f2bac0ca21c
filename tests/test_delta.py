"""Deltas. A failure here brings vectors into a collection that belong to other rows, or stops a merge half way."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from pipeline.contracts.delta import Delta, DeltaRow, decode_delta, encode_delta, make_delta
from pipeline.errors import ErrorCode, PermanentError, PipelineError

IMAGE = UUID("0c1a7f0e-53a2-4b45-9a4e-6d0b7c8f3a11")
IDENTITY: dict[str, Any] = {
    "collection": "lines",
    "run_id": "0" * 32,
    "image_id": IMAGE,
    "receipt_id": 1,
    "model": "m",
}
VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4)


def delta(count: int = 3, **changes: Any) -> Delta:
    values: dict[str, Any] = {
        "texts": tuple(f"caf\u00e9 {n}" for n in range(count)),
        "rows": tuple(DeltaRow(id=f"id{n}", text=n, metadata={"receipt_id": 1, "x": 0.5}) for n in range(count)),
        "vectors": VECTORS[:count],
    }
    return Delta(**(IDENTITY | values | changes))


def rows(*texts: int, **metadata: Any) -> tuple[DeltaRow, ...]:
    return tuple(DeltaRow(id=f"id{n}", text=text, metadata=metadata or {"a": 1}) for n, text in enumerate(texts))


BODY: dict[str, Any] = {
    "version": "2.0",
    "collection": "lines",
    "run_id": "0" * 32,
    "image_id": str(IMAGE),
    "receipt_id": 1,
    "model": "m",
    "dimensions": 4,
    "texts": ["a"],
    "rows": [{"id": "id0", "text": 0, "metadata": {"a": 1}}],
}


def written(body: Any, vectors: np.ndarray = VECTORS[:1]) -> bytes:
    """An object with any body, as no code of ours writes it."""
    return save({"vectors": vectors}, metadata={"delta": body if isinstance(body, str) else json.dumps(body)})


def version_1(given_rows: Any, vectors: np.ndarray, **changes: str) -> bytes:
    """An object as releases before version 2 wrote it."""
    header = {
        "version": "1.0",
        "collection": "words",
        "run_id": "0" * 32,
        "image_id": str(IMAGE),
        "receipt_id": "1",
        "model": "m",
        "dimensions": str(vectors.shape[1]),
        "rows": json.dumps(given_rows, ensure_ascii=False),
    }
    return save({"vectors": vectors}, metadata=header | changes)


def refusal(content: bytes) -> ErrorCode:
    with pytest.raises(PermanentError) as refused:
        decode_delta(content, "here")
    return refused.value.code


@pytest.mark.parametrize(("precision", "size"), [("float32", 4), ("float16", 2)])
def test_a_delta_comes_back_as_it_was_written(precision, size):
    content = encode_delta(delta(), precision)
    back = decode_delta(content, "here")
    assert (back.texts, back.rows) == (delta().texts, delta().rows)
    assert back.vectors.dtype == np.float32
    assert back.vectors.tolist() == delta().vectors.tolist()
    assert (back.image_id, back.receipt_id, back.model, back.dimensions) == (IMAGE, 1, "m", 4)
    (header,) = struct.unpack("<Q", content[:8])
    assert len(content) - 8 - header == 3 * 4 * size


def test_rows_of_one_text_share_its_first_vector():
    made = make_delta(
        **IDENTITY, rows=[("i", "T", {"a": 1}), ("j", "U", {"a": 1}), ("k", "T", {"a": 1})], vectors=VECTORS
    )
    assert made.texts == ("T", "U")
    assert [made.text_of(row) for row in made.rows] == ["T", "U", "T"]
    assert made.vectors.tolist() == VECTORS[:2].tolist()
    assert decode_delta(encode_delta(made), "here").rows == made.rows


def test_texts_that_differ_only_in_case_form_or_blanks_are_different_texts():
    texts = ("Tea", "tea", "tea ", "caf\u00e9", "cafe\u0301", "", "\0", "a" * 100_000)
    made = make_delta(
        **IDENTITY,
        rows=[(str(n), text, {"a": 1}) for n, text in enumerate(texts)],
        vectors=np.ones((len(texts), 2), np.float32),
    )
    assert decode_delta(encode_delta(made), "here").texts == texts


def test_a_receipt_of_noise_alone_is_an_empty_delta():
    assert decode_delta(encode_delta(delta(0)), "here").vectors.shape == (0, 4)


PROGRAM = """
import hashlib
from tests.test_delta import delta, rows
from pipeline.contracts.delta import encode_delta
names = {"x", "y", "width", "height", "image_id", "merchant_name", "confidence"}
print(hashlib.sha256(encode_delta(delta(rows=rows(0, 1, 2, **{name: 1 for name in names})))).hexdigest())
"""


def test_a_delta_is_the_same_bytes_in_every_process():
    root = Path(__file__).resolve().parents[1]
    digests = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=root,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "77")
    }
    assert len(digests) == 1


def test_a_delta_of_version_1_is_read_and_the_first_row_of_a_text_gives_its_vector():
    given_rows = [["i", "T", {"a": 1}], ["j", "U", {"a": 2}], ["k", "T", {"a": 3}]]
    read = decode_delta(version_1(given_rows, VECTORS), "here")
    assert (read.collection, read.texts) == ("words", ("T", "U"))
    assert [(row.id, row.text, row.metadata["a"]) for row in read.rows] == [("i", 0, 1), ("j", 1, 2), ("k", 0, 3)]
    assert read.vectors.tolist() == VECTORS[:2].tolist()


@pytest.mark.parametrize(
    "changes",
    [
        {"vectors": np.zeros((2, 4), np.float32)},
        {"vectors": np.zeros((3, 0), np.float32)},
        {"vectors": np.zeros(3, np.float32)},
        {"vectors": np.full((3, 4), np.nan, np.float32)},
        {"rows": (*rows(0, 1, 2), DeltaRow(id="id0", text=0, metadata={"a": 1}))},
        {"rows": rows(0, 1, 3)},
        {"rows": rows(0, 1, -1)},
        {"rows": rows(0, True, 2)},
        {"rows": rows(0, 1, 1)},
        {"texts": ("a", "b", "a")},
        {"texts": ("a", "b", "\ud800")},
        {"rows": tuple(DeltaRow(id=str(n), text=n, metadata={}) for n in range(3))},
        {"rows": rows(0, 1, 2, a=[1])},
        {"rows": rows(0, 1, 2, a=None)},
        {"rows": rows(0, 1, 2, a=2**63)},
        {"rows": rows(0, 1, 2, a=-(2**63) - 1)},
        {"rows": rows(0, 1, 2, a=float("nan"))},
        {"rows": rows(0, 1, 2, a=float("inf"))},
        {"receipt_id": 0},
        {"receipt_id": True},
        {"receipt_id": 2**63},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_delta_that_a_merge_could_not_take_is_refused_before(changes):
    with pytest.raises(PermanentError) as refused:
        encode_delta(delta(**changes))
    assert refused.value.code is ErrorCode.DELTA_INVALID


def test_a_number_too_large_for_half_precision_is_refused():
    large = delta(vectors=np.full((3, 4), 70_000, np.float32))
    assert decode_delta(encode_delta(large), "here").vectors[0, 0] == 70_000
    with pytest.raises(PermanentError, match="not finite as float16"):
        encode_delta(large, "float16")


def test_the_largest_integers_are_taken():
    made = delta(rows=rows(0, 1, 2, a=2**63 - 1, b=-(2**63)))
    assert decode_delta(encode_delta(made), "here").rows == made.rows


DEEP = "[" * 200_000 + "]" * 200_000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no delta at all",
        encode_delta(delta())[:-1],
        encode_delta(delta())[:40],
        struct.pack("<Q", len(DEEP)) + DEEP.encode(),
        struct.pack("<Q", 2**63) + b"{}",
        save({"vectors": np.zeros((1, 4), np.float32)}),
        save({"other": VECTORS[:1]}, metadata={"delta": json.dumps(BODY)}),
        written(BODY, VECTORS[:1].astype(np.float64)),
        written(BODY, VECTORS[:1].astype(np.int32)),
        written(BODY, VECTORS[:1] * np.nan),
        written(DEEP),
        written([]),
        written("null"),
        written(BODY | {"rows": None}),
        written(BODY | {"rows": [[]]}),
        written(BODY | {"rows": [{"id": "a", "text": 0, "metadata": [1]}]}),
        written(BODY | {"rows": [{"id": "a", "text": 0, "metadata": {"a": {"b": 1}}}]}),
        written(BODY | {"rows": [{"id": "a", "text": False, "metadata": {"a": 1}}]}),
        written(BODY | {"rows": [{"id": "a", "text": 1, "metadata": {"a": 1}}]}),
        written(BODY | {"rows": [{"id": "a", "text": -1, "metadata": {"a": 1}}]}),
        written(BODY | {"rows": [{"id": 7, "text": 0, "metadata": {"a": 1}}]}),
        written("1" * 9000),
        written(json.dumps(BODY).replace('"a": 1', '"a": ' + "9" * 4000)),
        written(json.dumps(BODY).replace('"a": 1', '"a": 1e999')),
        written(json.dumps(BODY).replace('"a": 1', '"a": NaN')),
        written(json.dumps(BODY).replace('["a"]', '["\\ud800"]')),
        written(json.dumps(BODY).replace('"a": 1', f'"a": {DEEP}')),
        written(BODY | {"texts": ["a", "a"]}, VECTORS[:2]),
        written(BODY | {"texts": "a"}),
        written(BODY | {"texts": [1]}),
        written(BODY | {"dimensions": 3}),
        written(BODY | {"dimensions": True}, VECTORS[:1, :1]),
        written(BODY | {"collection": "letters"}),
        written(BODY | {"image_id": 5}),
        written(BODY | {"image_id": "5"}),
        written(BODY | {"receipt_id": "1"}),
        written(BODY | {"version": 2}),
        written({name: value for name, value in BODY.items() if name != "version"}),
        version_1([["i", "T"]], VECTORS[:1]),
        version_1([["i", "T", {"a": 1}]], VECTORS),
        version_1([["i", "T", {"a": 1}]] * 2, VECTORS[:2]),
        version_1({"i": 1}, VECTORS),
        version_1([["i", "T", {"a": 1}]], VECTORS[:1], dimensions="5"),
        version_1([["i", "T", {"a": 1}]], VECTORS[:1], receipt_id="one"),
        version_1([["i", "T", {"a": 2**63}]], VECTORS[:1]),
    ],
)
def test_bytes_that_are_no_delta_are_refused(content):
    assert refusal(content) is ErrorCode.DELTA_INVALID


@pytest.mark.parametrize(
    "content",
    [
        written(BODY | {"version": "3.0"}),
        written(BODY | {"version": "9" * 5000}),
        version_1([["i", "T", {"a": 1}]], VECTORS[:1], version="7.1"),
    ],
    ids=["later", "long", "in the older form"],
)
def test_a_delta_of_an_unknown_major_version_is_refused_as_such(content):
    assert refusal(content) is ErrorCode.VERSION_UNSUPPORTED


def test_fields_of_a_later_minor_version_are_tolerated():
    body = BODY | {"version": "2.9", "colour": "blue", "rows": [BODY["rows"][0] | {"page": 2}]}
    assert decode_delta(written(body), "here").rows == rows(0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def require_a_delta_or_a_refusal(content: bytes) -> None:
    """What is read can be written; anything else that is raised fails the test."""
    try:
        read = decode_delta(content, "here")
    except PipelineError:
        return
    encode_delta(read)


@settings(max_examples=150, deadline=None)
@given(field=st.sampled_from(sorted(BODY)), value=JSON)
def test_whatever_a_field_holds_nothing_but_a_refusal_is_raised(field, value):
    require_a_delta_or_a_refusal(written(BODY | {field: value}))


@settings(max_examples=200, deadline=None)
@given(field=st.sampled_from(["id", "text", "metadata"]), value=JSON)
def test_whatever_a_row_holds_nothing_but_a_refusal_is_raised(field, value):
    require_a_delta_or_a_refusal(written(BODY | {"rows": [BODY["rows"][0] | {field: value}]}))


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0), byte=st.integers(0, 255), cut=st.integers(0))
def test_whatever_byte_is_damaged_nothing_but_a_refusal_is_raised(place, byte, cut):
    content = bytearray(encode_delta(delta()))
    content[place % len(content)] = byte
    require_a_delta_or_a_refusal(bytes(content))
    require_a_delta_or_a_refusal(bytes(content[: cut % len(content)]))


@pytest.mark.parametrize("number", [0.0, 1e30, 1e-30], ids=["zeros", "too long for float32", "too short for float32"])
def test_a_vector_without_a_direction_is_refused_where_it_is_written_and_where_it_is_read(number):
    """The check before a publication refuses them too, and there it would hold up the whole collection."""
    vectors = np.full((1, 4), number, dtype=np.float32)
    with pytest.raises(PermanentError) as refused:
        encode_delta(delta(1, vectors=vectors))
    assert refused.value.code is ErrorCode.DELTA_INVALID
    assert refusal(written(BODY, vectors)) is ErrorCode.DELTA_INVALID
    assert refusal(version_1([["i", "T", {"a": 1}]], vectors)) is ErrorCode.DELTA_INVALID


def test_a_vector_whose_direction_half_precision_cannot_hold_is_refused():
    with pytest.raises(PermanentError) as refused:
        encode_delta(delta(1, vectors=np.full((1, 4), 1e-9, dtype=np.float32)), "float16")
    assert refused.value.code is ErrorCode.DELTA_INVALID
