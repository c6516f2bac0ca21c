"""If these fail, the search benchmark asks for what is not there, or takes a wrong first hit for a right one."""

from collections.abc import Sequence

import pytest

from benchmarks.receipts.shape import texts
from benchmarks.receipts.sources import made_up
from benchmarks.search import figures, misspelt_questions, number_questions, time_ratio

LINES = ["TOTAL AMOUNT 338.81", "CASH 400.00", "CHANGE 400.00", "9556939040116", "(789417-W)", "THANK YOU VERY MUCH"]


def substring(text: str, *, limit: int, mode: str) -> Sequence[str]:
    return [line for line in LINES if text in line][:limit]


def nowhere(text: str, *, limit: int, mode: str) -> Sequence[str]:
    return []


def test_a_number_is_asked_for_when_one_line_alone_holds_it():
    (price,) = number_questions(LINES, "prices", 10)
    assert price.text == "338.81"
    assert price.is_right("TOTAL AMOUNT 338.81")
    assert not price.is_right("TOTAL AMOUNT 338.87")


@pytest.mark.parametrize(("kind", "text"), [("bar codes", "9556939040116"), ("registration numbers", "789417-W")])
def test_codes_are_asked_for_without_what_surrounds_them(kind: str, text: str):
    assert [question.text for question in number_questions(LINES, kind, 10)] == [text]


def test_a_misspelt_line_lacks_one_letter():
    questions = misspelt_questions(LINES, 10)
    assert len(questions) == 2
    assert all(question.text not in LINES for question in questions)
    assert {len(question.text) for question in questions} == {len(LINES[0]) - 1, len(LINES[-1]) - 1}


def test_the_share_of_right_first_hits_is_given_for_each_kind():
    found = {figure.kind: figure.right for figure in figures(substring, LINES, mode="text")}
    wanted = {"prices": 1.0, "bar codes": 1.0, "registration numbers": 1.0}
    assert {kind: found[kind] for kind in wanted} == wanted
    nothing = figures(nowhere, LINES, mode="text")
    assert [figure.right for figure in nothing] == [0.0] * 4


def test_made_up_receipts_hold_enough_of_every_kind():
    lines = texts(made_up(150), "lines")
    found = figures(nowhere, lines, mode="text", count=30)
    assert [figure.asked for figure in found] == [30, 30, 30, 30]


def test_times_are_compared_in_turn():
    assert time_ratio(substring, lambda text: substring(text, limit=1, mode=""), LINES, mode="text") > 0
