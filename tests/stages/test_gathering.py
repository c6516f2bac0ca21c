"""What shares an embedding request. A failure here pays for more requests than needed, or makes one that is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compaction_worker.gathering import Bundle, Gathering
from pipeline.embedding.embedders.request_plan import EMPTY_INPUT, plan_requests
from tests.stages.prepared_core import held_message, work

INPUTS, TOKENS = 8, 40


def bundle(number: int, *texts: str) -> Bundle:
    held = held_message(number)
    return Bundle(messages=[held], works=[work(held.incoming, texts)])


def gathering(*bundles: Bundle) -> Gathering:
    made = Gathering(maximum_inputs=INPUTS, maximum_tokens=TOKENS)
    for item in bundles:
        made.add(item)
    return made


def ids(bundles: list[Bundle]) -> list[str]:
    return [item.messages[0].incoming.message_id for item in bundles]


def test_receipts_share_a_request_until_it_is_full_and_a_text_counts_once():
    waiting = gathering(bundle(1, "a", "b", "c"), bundle(2, "a", "b", "d", "e"), bundle(3, "f", "g", "h"))
    assert not waiting.is_full, "eight distinct texts fit"
    waiting.add(bundle(4, "i"))
    assert waiting.is_full
    assert ids(waiting.take()) == ["m1", "m2", "m3"]
    assert ids(waiting.take()) == ["m4"]
    assert (len(waiting), waiting.is_full) == (0, False)


def test_a_receipt_that_does_not_fit_is_passed_by_a_smaller_one_and_comes_first_in_the_next_request():
    waiting = gathering(bundle(1, *"abcdef"), bundle(2, *"ghijk"), bundle(3, *"lm"))
    assert ids(waiting.take()) == ["m1", "m3"]
    waiting.add(bundle(4, *"nopqrs"))
    assert ids(waiting.take()) == ["m2"]


def test_a_receipt_of_more_texts_than_a_request_takes_goes_alone():
    waiting = gathering(bundle(1, *"abcdefghijkl"), bundle(2, "a"))
    assert waiting.is_full
    assert ids(waiting.take()) == ["m1"]


def test_long_texts_fill_a_request_by_their_bytes():
    waiting = gathering(bundle(1, "é" * 10), bundle(2, "x" * 21))
    assert waiting.is_full
    assert ids(waiting.take()) == ["m1"]


def test_an_empty_text_counts_as_what_is_sent_for_it():
    waiting = gathering(bundle(1, "x" * 40), bundle(2, ""))
    assert len(EMPTY_INPUT) == 1
    assert ids(waiting.take()) == ["m1"]


@given(st.lists(st.lists(st.text("abcdefghijklm", max_size=3), max_size=INPUTS, unique=True), max_size=20))
def test_what_is_taken_together_is_one_request_and_nothing_is_lost(receipts):
    waiting = gathering(*(bundle(number, *texts) for number, texts in enumerate(receipts)))
    taken = []
    while len(waiting):
        bundles = waiting.take()
        texts = list(dict.fromkeys(text for item in bundles for text in item.texts))
        assert len(list(plan_requests(texts, maximum_inputs=INPUTS, maximum_tokens=TOKENS * 1_000))) <= 1
        taken += ids(bundles)
    assert sorted(taken) == sorted(f"m{number}" for number in range(len(receipts)))


@pytest.mark.parametrize("bundles", [0, 1])
def test_nothing_waits_for_a_request_that_is_not_full(bundles):
    assert not gathering(*(bundle(number, "a") for number in range(bundles))).is_full
