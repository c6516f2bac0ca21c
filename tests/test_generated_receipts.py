"""If these fail, the benchmarks measure on receipts that repeat otherwise than real ones, and their figures mislead.

The numbers wanted are of the ICDAR 2019 SROIE receipts: all of them for the sizes of the targets, and the file that
``RECEIPTS_SROIE_PATH`` names for a comparison side by side. Tolerances are wide because the generator has a rule, not
a fit.
"""

import re
from functools import cache
from itertools import chain

import pytest

from benchmarks.receipts.generator import generate
from benchmarks.receipts.shape import from_repeated_merchants, new_texts, shape_of, texts
from benchmarks.receipts.sources import made_up, real
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.ocr import OcrDocument

RECEIPTS = 680
"""Enough for 72,390 words."""
PER_RECEIPT = {"words": 112, "lines": 53}
WORD_ROWS, LINE_ROWS = 72_390, 33_626
TOLERANCE = 0.1
ROUGHLY = 0.2


@cache
def documents() -> list[OcrDocument]:
    return made_up(RECEIPTS)


def test_a_receipt_depends_on_nothing_but_its_number():
    assert generate(41) == generate(41)
    assert made_up(2, first=41)[1] == generate(42)
    assert generate(41).image_id != generate(42).image_id


@pytest.mark.parametrize(
    ("collection", "rows", "distinct"), [("words", WORD_ROWS, 12_003), ("lines", LINE_ROWS, 10_681)]
)
def test_as_many_texts_are_distinct_as_in_real_receipts(collection: CollectionName, rows: int, distinct: int):
    found = texts(documents(), collection)
    assert len(found) / RECEIPTS == pytest.approx(PER_RECEIPT[collection], rel=TOLERANCE)
    assert shape_of(found[:rows]).distinct == pytest.approx(distinct, rel=TOLERANCE)


def test_six_of_ten_distinct_words_occur_once_and_the_colon_is_the_most_frequent():
    shape = shape_of(texts(documents(), "words")[:WORD_ROWS])
    assert 0.6 <= shape.once <= 0.66
    assert shape.commonest_text == ":"
    assert shape.commonest == pytest.approx(0.033, rel=ROUGHLY)


def test_further_receipts_bring_few_new_words():
    assert new_texts(texts(documents(), "words"), 60_000, 12_000) == pytest.approx(1_212, rel=ROUGHLY)


def test_most_receipts_come_from_merchants_that_occur_again_but_new_ones_never_end():
    assert 0.5 <= from_repeated_merchants(documents()[:313]) <= 0.7
    merchants = [document.receipts[0].merchant_name for document in documents()]
    assert len(set(merchants[340:]) - set(merchants[:340])) > 50


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("labelled prices", r"TOTAL AMOUNT:? \$?\d+\.\d\d"),
        ("bar codes", r"9\d{12}"),
        ("registration numbers", r"\(?\d{6}-[A-Z]\)?"),
        ("dates", r"\d\d/\d\d/20\d\d"),
        ("misread letters", r"T0TAL.*|TQTAL.*|IOTAL.*|TOTA1.*"),
    ],
)
def test_receipts_hold(what: str, pattern: str):
    assert any(re.fullmatch(pattern, text) for text in texts(documents(), "lines")), what


def test_bar_codes_have_their_check_digit():
    codes = {text for text in texts(documents(), "words") if re.fullmatch(r"9\d{12}", text)}
    assert codes
    assert all(
        sum(int(digit) * weight for digit, weight in zip(code, [1, 3] * 7, strict=False)) % 10 == 0 for code in codes
    )


def test_words_are_the_pieces_of_their_line_and_ids_do_not_repeat():
    for line in chain.from_iterable(document.receipts[0].lines for document in documents()[:50]):
        assert [word.text for word in line.words] == line.text.split()
        assert line.bounding_box.x + line.bounding_box.width <= 1
        assert all(line.bounding_box.x <= word.bounding_box.x for word in line.words)


@pytest.mark.skipif(real() is None, reason="RECEIPTS_SROIE_PATH does not name the SROIE data; it is not shipped")
@pytest.mark.parametrize("collection", ["words", "lines"])
def test_the_real_receipts_have_the_same_shape(collection: CollectionName):
    found = real()
    assert found is not None
    rows = min(len(texts(found, collection)), len(texts(made_up(len(found)), collection)))
    theirs, ours = shape_of(texts(found, collection)[:rows]), shape_of(texts(made_up(len(found)), collection)[:rows])
    assert ours.distinct == pytest.approx(theirs.distinct, rel=ROUGHLY)
    assert ours.once == pytest.approx(theirs.once, rel=TOLERANCE)
