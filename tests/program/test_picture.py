"""The picture of the architecture is the program's: a picture that is drawn by hand is wrong after a month."""

import pytest
from defusedxml import ElementTree

from tests.program.engine import run_program
from tests.program.picture import BOXES, PICTURE, Arrow, arrows, boxes, picture


def test_the_picture_in_the_documents_is_what_the_program_is_now():
    assert PICTURE.read_text() == picture(), "make docs"


def test_the_picture_is_small_and_stands_for_itself():
    root = ElementTree.fromstring(PICTURE.read_text())
    links = [value for element in root.iter() for name, value in element.attrib.items() if name.endswith("href")]
    assert links == []
    assert PICTURE.stat().st_size < 10_000


@pytest.mark.parametrize("consumer", ["lambda", "ecs", "hybrid", "none"])
def test_a_receipts_way_is_drawn_for_whoever_consumes(consumer):
    recording = run_program({"embedConsumer": consumer})
    drawn = arrows(recording)
    assert set(boxes(recording).values()) == BOXES.keys()
    ends = [arrow.start for arrow in drawn] + [arrow.end for arrow in drawn]
    assert set(ends) == boxes(recording).keys(), "a box without an arrow"
    on = {(arrow.start, arrow.end) for arrow in drawn if arrow.is_on}
    consumed = {
        "lambda": {("embed.fifo", "embed-lambda")},
        "ecs": {("embed.fifo", "worker")},
        "hybrid": {
            ("embed.fifo", "embed-lambda"),
            ("embed-lambda.fifo", "embed-lambda"),
            ("embed-ecs.fifo", "worker"),
        },
        "none": set(),
    }[consumer]
    assert {pair for pair in on if pair[0].startswith("embed") and pair[0].endswith(".fifo")} == consumed
    assert Arrow("compaction-merge", "collections") in drawn
    assert Arrow("runs", "compaction-stream-processor") in drawn
