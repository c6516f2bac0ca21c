"""If these fail, the samples people try first no longer show what the system is for."""

from collections import Counter
from pathlib import Path

from pipeline.contracts.ocr import OcrDocument, parse_ocr_document

SAMPLES = Path(__file__).parents[1] / "samples"


def documents() -> list[OcrDocument]:
    return [parse_ocr_document(path.read_bytes(), path.name) for path in sorted(SAMPLES.glob("*.json"))]


def test_there_are_a_dozen_and_every_image_has_its_own_id() -> None:
    found = documents()
    assert len(found) >= 12
    assert len({document.image_id for document in found}) == len(found)


def test_words_make_up_their_line_and_stay_on_the_image() -> None:
    for document in documents():
        for receipt in document.receipts:
            for line in receipt.lines:
                assert line.text.split() == [word.text for word in line.words]
                for box in (line.bounding_box, *(word.bounding_box for word in line.words)):
                    assert box.x + box.width <= 1.0
                    assert box.y + box.height <= 1.0


def test_known_merchants_have_siblings_that_do_not_say_who_they_are() -> None:
    receipts = [receipt for document in documents() for receipt in document.receipts]
    given = Counter(receipt.merchant_name for receipt in receipts)
    assert len(given) - 1 >= 4
    assert given[None] >= 4


def test_the_awkward_cases_are_there() -> None:
    found = documents()
    receipts = [receipt for document in found for receipt in document.receipts]
    texts = [line.text for receipt in receipts for line in receipt.lines]
    assert any(len(document.receipts) == 2 for document in found)
    assert any(len(receipt.lines) == 150 for receipt in receipts)
    assert "" in texts
    assert any(text and not any(character.isalnum() for character in text) for text in texts)
    for character in "é€£¥合ß":
        assert any(character in text for text in texts), character
