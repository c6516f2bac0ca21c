"""The vote of published neighbours, for a receipt whose merchant no name shows (``names.py``). Pure.

Which lines are asked is in ``lines.py``, the asking in ``resolution.py``.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from pipeline.contracts.metadata import MERCHANT_NAME, MERCHANT_SOURCE
from pipeline.merchants.names import Support
from pipeline.merchants.spelling import merchant_key

SIMILARITY_FLOOR = 0.50
"""Cosine similarity below which a neighbour says nothing; see ``vote`` for what was measured."""

MINIMUM_SUPPORT = 1.10
"""Votes the winner needs. A line has at most one, so one line, however near its neighbour, never decides alone."""

MINIMUM_MARGIN = 0.10
"""Of all votes, by how much the winner must be ahead of the second."""

RESOLVED_WEIGHT = 0.5
"""A resolved name votes with half the weight of a given one, so that a wrong guess cannot confirm itself."""


UNNAMED_SUPPORT = 2.0
"""A winner that the first lines do not name needs more votes than this, so more than two lines. See ``confirmed``."""


class Neighbour(Protocol):
    """A published row near one that was asked for."""

    @property
    def distance(self) -> float:
        """Cosine distance, 0 to 2."""
        ...

    @property
    def metadata(self) -> Mapping[str, str | int | float | bool]:
        """The row's metadata; ``merchant_name`` and ``merchant_source`` may be missing."""
        ...


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The outcome of a vote.

    Attributes:
        merchant_name: None when no merchant won.
        confidence: the winner's share of all votes, 0 to 1; 0 without votes.
        support: the winner's votes.
        reason: why, for a log line.
    """

    merchant_name: str | None
    confidence: float
    support: float
    reason: str


def vote(neighbours: Sequence[Sequence[Neighbour]]) -> Decision:
    """Let the neighbours of each telling line vote for their merchant.

    For each line a merchant has one vote, of its nearest neighbour's similarity: a chain with a thousand receipts must
    not outvote a shop with two. Neighbours without a merchant's name abstain.

    Alone, with 256 hashed n-gram dimensions, learned on the first half of 313 SROIE receipts and asked on the second:
    of the 51 receipts whose company was learned, 37 right, 1 wrong; of the 106 others, 4 answers, all wrong. Floor,
    support and margin were chosen on those receipts. To measure again: ``benchmarks/merchant_resolution.py``.

    Args:
        neighbours: for each telling line its neighbours, in any order.
    """
    votes: dict[str, float] = defaultdict(float)
    spellings: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for line in neighbours:
        best: dict[str, float] = {}
        for neighbour in line:
            similarity = 1.0 - neighbour.distance
            name = neighbour.metadata.get(MERCHANT_NAME)
            if not isinstance(name, str) or not name or similarity < SIMILARITY_FLOOR:
                continue
            given = neighbour.metadata.get(MERCHANT_SOURCE) == "given"
            weight = (1.0 if given else RESOLVED_WEIGHT) * similarity
            merchant = merchant_key(name)
            best[merchant] = max(best.get(merchant, 0.0), weight)
            spellings[merchant][name] += weight
        # A line that many merchants share, such as a town's, says little: its one vote is shared by them.
        for merchant, weight in best.items():
            votes[merchant] += weight * weight / sum(best.values())
    if not votes:
        return Decision(
            merchant_name=None, confidence=0.0, support=0.0, reason="no neighbour with a merchant is near enough"
        )
    # The name breaks a tie, so that the same votes always give the same answer; a tie has no margin anyway.
    ranked = sorted(votes.items(), key=lambda item: (-item[1], item[0]))
    merchant, support = ranked[0]
    winner = max(sorted(spellings[merchant]), key=lambda name: spellings[merchant][name])
    total = sum(votes.values())
    second = ranked[1][1] if len(ranked) > 1 else 0.0
    decision = Decision(
        merchant_name=winner, confidence=support / total, support=support, reason=f"{support:.2f} of {total:.2f} votes"
    )
    if support < MINIMUM_SUPPORT:
        return replace(decision, merchant_name=None, reason=f"{winner} has only {support:.2f} votes")
    if (support - second) / total < MINIMUM_MARGIN:
        return replace(decision, merchant_name=None, reason=f"{winner} is too close to {ranked[1][0]}")
    return decision


def confirmed(decision: Decision, support: Support) -> Decision:
    """The vote's decision, or no merchant when the receipt's first lines speak against the winner.

    The vote decides only where the first lines hold no known name. Most of those receipts belong to merchants that are
    not known yet, and their neighbours vote all the same: one petrol station for another, one tenant of a mall for
    another. So a winner that the first lines do not name needs more votes, and one beside which they name another
    company, or another branch of its own, is refused whatever its votes.

    Args:
        decision: of ``vote``.
        support: what the first lines say about the winner (``names.KnownNames.support``).
    """
    if decision.merchant_name is None or support is Support.NAMED:
        return decision
    if support is Support.UNNAMED and decision.support > UNNAMED_SUPPORT:
        return decision
    why = "no first line is like its name" if support is Support.UNNAMED else "the first lines name another company"
    return replace(
        decision,
        merchant_name=None,
        reason=f"{decision.merchant_name} has {decision.support:.2f} votes, and {why}",
    )
