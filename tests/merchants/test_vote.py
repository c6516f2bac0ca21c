"""If these fail, receipts are filed under the wrong merchant, and the next ones follow them there."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from pipeline.merchants.names import Support
from pipeline.merchants.vote import UNNAMED_SUPPORT, confirmed, vote


@dataclass(frozen=True, kw_only=True)
class Found:
    distance: float
    metadata: Mapping[str, str | int | float | bool]


def found(name: str | None, similarity: float, source: str = "given") -> Found:
    metadata = {} if name is None else {"merchant_name": name, "merchant_source": source}
    return Found(distance=1.0 - similarity, metadata=metadata)


def test_near_neighbours_of_one_merchant_win() -> None:
    decision = vote([[found("A", 0.98), found("A", 0.9)], [found("A", 0.9), found("B", 0.2)]])
    assert decision.merchant_name == "A"
    assert decision.confidence == pytest.approx(1.0)


@pytest.mark.parametrize(
    "neighbours",
    [
        [],
        [[]],
        [[found("A", 0.3)]],
        [[found(None, 1.0)]],
        [[found("A", 0.95), found("B", 0.95)]],
        [[found("A", 1.0)], [found("B", 1.0)]],
        [[found("A", 1.0, "resolved")]],
    ],
    ids=["no lines", "no neighbours", "too far", "nameless", "shared line", "split", "one guess"],
)
def test_without_a_clear_winner_there_is_no_name_and_a_reason(neighbours: list[list[Found]]) -> None:
    decision = vote(neighbours)
    assert decision.merchant_name is None
    assert decision.reason


def test_a_given_name_outweighs_a_resolved_one() -> None:
    line = [found("A", 0.95), found("B", 0.95, "resolved")]
    assert vote([line, line, line]).merchant_name == "A"


def test_a_chain_with_many_receipts_does_not_outvote_by_their_number() -> None:
    once = vote([[found("A", 0.99), found("B", 0.9)], [found("A", 0.99)]])
    often = vote([[found("A", 0.99), *[found("B", 0.9)] * 19], [found("A", 0.99)]])
    assert often == once


def test_spellings_of_one_merchant_vote_together() -> None:
    decision = vote([[found("MR. D.I.Y.", 0.95), found("MR DIY", 0.9)], [found("MR. D.I.Y.", 0.95)]])
    assert decision.merchant_name == "MR. D.I.Y."


@pytest.mark.parametrize(
    ("lines", "support", "is_confirmed"),
    [
        (2, Support.UNNAMED, False),
        (2, Support.NAMED, True),
        (3, Support.UNNAMED, True),
        (5, Support.OTHER_NAMED, False),
    ],
    ids=["nobody speaks for it", "the receipt names it", "three lines", "the receipt names another"],
)
def test_a_winner_needs_more_votes_when_it_is_not_named_and_has_none_beside_another_name(
    lines: int, support: Support, is_confirmed: bool
) -> None:
    decision = vote([[found("A", 0.99)]] * lines)
    assert (decision.support > UNNAMED_SUPPORT) == (lines > 2)
    answer = confirmed(decision, support)
    assert answer.merchant_name == ("A" if is_confirmed else None)
    assert answer.reason


@pytest.mark.parametrize("support", Support)
def test_no_decision_is_confirmed_as_none(support: Support) -> None:
    assert confirmed(vote([]), support) == vote([])
