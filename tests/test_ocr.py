"""What stage 1 accepts. A value that is let in here and fails later blocks a queue, a group or a merge for hours."""

import copy
import json
import time
from typing import Any

import pytest

from pipeline.contracts.limits import MAXIMUM_DOCUMENT_BYTES, MAXIMUM_TEXT_BYTES
from pipeline.contracts.messages import EmbedMessage, parse_message
from pipeline.contracts.ocr import parse_ocr_document, refusal_of
from pipeline.embedding.embedders.request_plan import MAXIMUM_INPUT_TOKENS
from pipeline.errors import ErrorCode, PermanentError
from tests.bad_documents import BOX, REFUSED, TAKEN, document, receipt, with_line, with_word
from upload_images.export import export_receipt

SQS_BYTES, GROUP_CHARACTERS, ITEM_BYTES = 1_048_576, 128, 400_000
"""Amazon SQS quotas of a message and of a group id; DynamoDB's of an item."""


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_no_fault_is_taken(name):
    parsed = parse_ocr_document(TAKEN[name], "a.json")
    assert len(parsed.receipts) == 1
    assert parsed.refused == ()


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_with_one_code_and_what_is_true_of_it(name):
    content, said = REFUSED[name]
    with pytest.raises(PermanentError) as refusal:
        parse_ocr_document(content, "a.json")
    assert refusal.value.code is ErrorCode.OCR_DOCUMENT_INVALID
    assert said in refusal.value.value
    assert refusal.value.value.count("receipts.0") <= 1
    assert len(str(refusal.value)) < 1_024


@pytest.mark.parametrize("name", [name for name, (_, said) in REFUSED.items() if "receipts.0" in said])
def test_a_receipt_that_is_refused_does_not_take_its_neighbours_along(name):
    bad = json.loads(REFUSED[name][0])["receipts"][0]
    parsed = parse_ocr_document(document(receipt(7), bad, receipt(9)), "a.json")
    assert [item.receipt_id for item in parsed.receipts] == [7, 9]
    (refused,) = parsed.refused
    error = refusal_of([refused], "a.json")
    assert error.code is ErrorCode.OCR_DOCUMENT_INVALID
    assert error.value.startswith("a.json: receipts.1")
    assert "its other receipts were accepted" in error.way_out


def test_of_receipts_with_one_number_none_is_taken_and_the_others_are():
    parsed = parse_ocr_document(document(receipt(1), receipt(2), receipt(1, "OTHER")), "a.json")
    assert [item.receipt_id for item in parsed.receipts] == [2]
    assert [item.faults for item in parsed.refused] == [
        (f"receipts.{place}: receipt_id is repeated: [1]",) for place in (0, 2)
    ]


def test_a_name_that_is_empty_is_the_same_content_as_none():
    def run(content: bytes) -> str:
        parsed = parse_ocr_document(content, "a.json")
        made = export_receipt(parsed, parsed.receipts[0], bucket="b", embedding_model="m", dimensions=4)
        assert made.message.merchant_name is None
        assert b'"merchant_name":null' in made.artifacts[2].content
        return made.message.run_id

    assert (
        run(document(receipt(merchant_name="")))
        == run(document(receipt()))
        == run(document(receipt(merchant_name=" ")))
    )


def test_an_empty_name_in_a_message_that_waits_is_no_name():
    parsed = parse_ocr_document(document(receipt()), "a.json")
    message = export_receipt(parsed, parsed.receipts[0], bucket="b", embedding_model="m", dimensions=4).message
    body = json.dumps(json.loads(message.model_dump_json()) | {"merchant_name": ""})
    assert parse_message(body, EmbedMessage).merchant_name is None


def test_what_is_a_hair_outside_is_moved_inside():
    parsed = parse_ocr_document(
        document(with_line(bounding_box={**BOX, "x": -0.0004, "y": -0.0, "width": 1.004}, confidence=1.0000001)), "a"
    )
    line = parsed.receipts[0].lines[0]
    assert (line.bounding_box.x, line.bounding_box.width, line.confidence) == (0.0, 1.0, 1.0)
    assert '"y":0.0,' in line.model_dump_json()


def test_the_largest_receipt_fits_everything_behind_it():
    name = "\U0001f37a" * 1_000
    made = receipt(2**63 - 1, "a" * MAXIMUM_TEXT_BYTES, merchant_name=name)
    parsed = parse_ocr_document(document(made), "a.json")
    message = export_receipt(parsed, parsed.receipts[0], bucket="b" * 63, embedding_model="m", dimensions=4).message
    # Ten of them are sent together.
    assert len(message.model_dump_json().encode()) * 10 < SQS_BYTES
    assert len(message.group_id) <= GROUP_CHARACTERS
    # A run may hold the name twice, as its merchant and among its changes.
    assert len(name.encode()) * 2 < ITEM_BYTES / 10
    assert MAXIMUM_TEXT_BYTES <= MAXIMUM_INPUT_TOKENS


def test_tens_of_thousands_of_words_are_looked_at_in_linear_time():
    word = '{"word_id":%d,"text":"a","confidence":1,"bounding_box":{"x":0,"y":0,"width":1,"height":1}}'
    words = ",".join(word % number for number in range(1, 80_001))
    line = with_line(words=[])
    content = document(receipt(lines=[line["lines"][0]])).replace(b'"words": []', f'"words": [{words}]'.encode())
    assert len(content) < MAXIMUM_DOCUMENT_BYTES
    begun = time.process_time()
    with pytest.raises(PermanentError, match="the receipt has 80001 lines and words"):
        parse_ocr_document(content, "a.json")
    # Counting each number in the list of all takes minutes.
    assert time.process_time() - begun < 20


def test_a_source_without_end_leaves_room_for_the_reason():
    with pytest.raises(PermanentError) as refusal:
        parse_ocr_document(document(with_word(confidence=97)), f"s3://bucket/ocr/{'k' * 1_000}.json")
    assert "97.0 is not between 0 and 1" in str(refusal.value)[:600]


ANYTHING = [
    None, True, False, 0, -1, 1, 2**63, 10**400, 0.5, 1e308, "", " ", "x", "\udc80", "\x00", "A" * 9_000, [], [[]], [1],
    {}, {"": {}}, {"x": [None]},
]  # fmt: skip


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a document, its own included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, part in inner for found in places(part, (*path, key)))]


def replaced(value: Any, path: tuple[str | int, ...], other: object) -> Any:
    """The document with something else in one place."""
    if not path:
        return other
    copied = copy.copy(value)
    copied[path[0]] = replaced(value[path[0]], path[1:], other)
    return copied


@pytest.mark.parametrize("other", ANYTHING, ids=[f"{value!r:.20}" for value in ANYTHING])
def test_anything_in_any_place_is_taken_or_refused_and_the_neighbour_is_taken(other):
    whole = json.loads(document(receipt(7, merchant_name="SHOP"), receipt(9)))
    for path in places(whole):
        content = json.dumps(replaced(whole, path, other)).encode()
        if path in {(), ("image_id",), ("receipts",)}:
            with pytest.raises(PermanentError, match="OCR_DOCUMENT_INVALID"):
                parse_ocr_document(content, "a.json")
            continue
        parsed = parse_ocr_document(content, "a.json")
        assert len(parsed.receipts) + len(parsed.refused) == len(whole["receipts"])
        for item in parsed.receipts:
            made = export_receipt(parsed, item, bucket="b", embedding_model="m", dimensions=4)
            assert parse_message(made.message.model_dump_json(exclude_none=True), EmbedMessage) == made.message
