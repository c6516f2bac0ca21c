"""Which queue a receipt goes to; a receipt on the wrong one waits behind work of another kind."""

from typing import Any

import pytest

from ops.importers import read_documents
from pipeline.contracts.ocr import parse_ocr_document
from tests.switching.conftest import SAMPLES
from upload_images.environment import ProcessOcrResultsEnvironment
from upload_images.export import export_receipt
from upload_images.routing import route

USUAL = {
    "artifacts_bucket": "b",
    "embed_queue_url": "small",
    "ocr_results_dead_letter_queue_url": "d",
    "embedding_model": "m",
    "embedding_dimensions": 4,
}


def message(sample: str) -> Any:
    ((name, content),) = read_documents(SAMPLES / f"{sample}.json")
    document = parse_ocr_document(content, name)
    return export_receipt(document, document.receipts[0], bucket="b", embedding_model="m", dimensions=4).message


def environment(**more: Any) -> ProcessOcrResultsEnvironment:
    return ProcessOcrResultsEnvironment(**USUAL, **more)


def test_with_one_queue_everything_goes_there():
    assert route(message("greenleaf-long"), environment()) == "small"


@pytest.mark.parametrize(("limit", "queue"), [(28, "large"), (29, "small"), (30, "small")])
def test_a_receipt_of_more_rows_than_the_limit_goes_to_the_queue_of_large_ones(limit, queue):
    export = message("cafe-lumiere-2")
    assert export.lines_count + export.words_count == 29
    assert route(export, environment(large_receipt_queue_url="large", large_receipt_rows=limit)) == queue
