"""Names first: a receipt whose first lines hold the name of a known merchant is that merchant's. Pure.

It knows neither vectors nor neighbours: where names do not decide, ``vote.py`` is asked. What is compared is in
``spelling.py``, and which lines are in ``lines.py``.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from rapidfuzz import fuzz, process

from pipeline.collections.rows import KnownMerchant
from pipeline.merchants.lines import Line, first_lines, letters_in
from pipeline.merchants.spelling import SHORTEST_NAME, Spelling, merchant_key, spell
from pipeline.merchants.telling import likeness, shape, share_a_trade, shared_words

JOINED_LINES = 3
"""Adjacent lines that are read as one name, at most: a long name over two lines, and its legal form on a third."""

LIKENESS_FLOOR = 90.0
"""rapidfuzz's ratio, 0 to 100, from which a folded name is nearly a known one.

Chosen on ten pairs of random halves of 313 SROIE receipts (``docs/benchmarks.md``, Merchants). At 88 and 90 the step
finds nine receipts that no exact name finds, and its only wrong answers are two spellings of one company in the data
set. At 92 five of the nine are lost. At 85 companies with common words in their names are mistaken for each other, such
as KHE ELECTRICAL TRADING for ASO ELECTRICAL TRADING.
"""

TELLING_FLOOR = 75.0
"""The same for the words that tell the merchant (``telling.py``): one letter of four may be misread. Without it a long
trade outweighs the name in front of it: ABC and XYZ ELECTRICAL TRADING ENTERPRISE are 90 alike."""

LIKENESS_MARGIN = 5.0
"""By how much the likeliest name must be ahead of that of another merchant."""

LIKENESS_CHARACTERS = 8
"""Folded characters of a name that may be nearly exact. In a shorter one a single letter makes another name, unless the
two look alike (``telling.shape``)."""

NAMED_LIKENESS = 60.0
"""Likeness, 0 to 100, of a name to the likeliest first line in the words that tell it (``telling.py``), from which the
first lines name it. On 156 SROIE receipts 0.8 of a hundred names of others come so far by chance, and 4.8 to 50."""

_CANDIDATES = 10
"""Known names a line that are compared further; enough for the rules below to refuse some."""

_SAME_SHAPE = 100.0

_RATIO: Any = fuzz.ratio
"""Without its type, because rapidfuzz's stubs refuse its own scorers (3.14.6 with pyrefly)."""


@dataclass(frozen=True, kw_only=True)
class NameDecision:
    """What the names say.

    Attributes:
        merchant_name: as a known merchant spells it; None when no name decides.
        reason: why, for a log line.
    """

    merchant_name: str | None
    reason: str


class Support(StrEnum):
    """What a receipt's first lines say about a merchant: its name or one like it, nothing, or another company's."""

    NAMED = "named"
    UNNAMED = "unnamed"
    OTHER_NAMED = "other named"


@dataclass(frozen=True, kw_only=True)
class _Known:
    merchant: KnownMerchant
    key: str
    spelling: Spelling

    @property
    def preference(self) -> tuple[bool, int, str]:
        """Sort key for spellings of one merchant: given names first, then the most frequent, then the alphabet."""
        return not self.merchant.given, -self.merchant.receipts, self.merchant.name


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """One line, or adjacent lines read as one.

    Attributes:
        positions: of the lines, so that a joined name outweighs the part of it that is a name too.
    """

    positions: frozenset[int]
    text: str
    spelling: Spelling


@dataclass(frozen=True, kw_only=True)
class _Match:
    known: _Known
    candidate: _Candidate
    likeness: float


@dataclass(kw_only=True)
class KnownNames:
    """The known merchants, indexed by folded name. Build it once a published version with ``index_names``."""

    _by_key: dict[str, _Known] = field(default_factory=dict)
    _by_core: dict[str, list[_Known]] = field(default_factory=lambda: defaultdict(list))
    _cores: list[str] = field(default_factory=list)
    _shapes: list[str] = field(default_factory=list)
    _shared: frozenset[str] = frozenset()

    def decide(self, lines: Sequence[Line]) -> NameDecision:
        """Find the merchant by its name.

        An exact name decides over a nearly exact one, wherever it is among the first lines. Two merchants that are both
        named decide nothing, for example a shop and the mall that it is in.

        Args:
            lines: all lines of the receipt, in the document's order.
        """
        candidates = _candidates(lines)
        exact = [match for candidate in candidates for match in self._exact(candidate)]
        if exact:
            return _decided(_outermost(exact), "is named")
        return _decided(self._near(candidates), "is nearly named")

    def _exact(self, candidate: _Candidate) -> list[_Match]:
        same = self._by_key.get(merchant_key(candidate.text))
        found = [same] if same is not None else _closest(candidate.spelling, self._by_core.get(candidate.spelling.core))
        return [_Match(known=known, candidate=candidate, likeness=100.0) for known in found]

    def support(self, name: str, lines: Sequence[Line]) -> Support:
        """What the first lines say about a merchant that something else than its name speaks for.

        Args:
            name: of the merchant.
            lines: all lines of the receipt, in the document's order.
        """
        known = spell(name)
        candidates = _candidates(lines)
        read = [candidate.spelling for candidate in candidates]
        alike = [one for one in read if fuzz.ratio(shape(known.core), shape(one.core)) >= LIKENESS_FLOOR]
        if alike:
            # A number that only the receipt has may be a misread letter, as in S/8, or a register's.
            agrees = any(known.agrees_with(one) and set(known.numbers) <= set(one.numbers) for one in alike)
            return Support.NAMED if agrees else Support.OTHER_NAMED
        if any(likeness(known, one, self._shared) >= NAMED_LIKENESS for one in read):
            return Support.NAMED
        # Only companies have a legal form; and a line with the merchant's trade and another name is another shop's.
        is_other = any(one.legal_form and one.is_distinctive for one in read) or any(
            len(candidate.positions) == 1 and share_a_trade(known, candidate.spelling) for candidate in candidates
        )
        return Support.OTHER_NAMED if is_other else Support.UNNAMED

    def _near(self, candidates: Iterable[_Candidate]) -> list[_Match]:
        matches = [
            _Match(known=known, candidate=candidate, likeness=score)
            for candidate in candidates
            if candidate.spelling.is_distinctive
            for _, score, place in process.extract(
                shape(candidate.spelling.core),
                self._shapes,
                scorer=_RATIO,
                score_cutoff=LIKENESS_FLOOR - LIKENESS_MARGIN,
                limit=_CANDIDATES,
            )
            if _may_be_near(candidate.spelling.core, self._cores[place], score)
            # A guess never spreads by likeness: only names that somebody gave are compared so.
            for known in _closest(
                candidate.spelling, [one for one in self._by_core[self._cores[place]] if one.merchant.given]
            )
            # A 1 that stands alone for an I is no number, and no two numbers have one shape.
            if (score == _SAME_SHAPE or known.spelling.numbers == candidate.spelling.numbers)
            and likeness(known.spelling, candidate.spelling, self._shared) >= TELLING_FLOOR
        ]
        best = max((match.likeness for match in matches), default=0.0)
        if best < LIKENESS_FLOOR:
            return []
        return [match for match in matches if match.likeness > best - LIKENESS_MARGIN]


def index_names(merchants: Iterable[KnownMerchant]) -> KnownNames:
    """Index known merchants, but for names that would match anybody's receipts: too short, or of generic words."""
    names = KnownNames()
    for merchant in sorted(merchants, key=lambda one: one.name):
        known = _Known(merchant=merchant, key=merchant_key(merchant.name), spelling=spell(merchant.name))
        if letters_in(known.key) < SHORTEST_NAME or known.spelling.is_generic:
            continue
        other = names._by_key.get(known.key)
        if other is None or known.preference < other.preference:
            names._by_key[known.key] = known
    for known in names._by_key.values():
        if known.spelling.is_distinctive:
            names._by_core[known.spelling.core].append(known)
    names._cores = [core for core, several in names._by_core.items() if any(known.merchant.given for known in several)]
    names._shapes = [shape(core) for core in names._cores]
    names._shared = shared_words(known.spelling for known in names._by_key.values())
    return names


def _may_be_near(read: str, known: str, score: float) -> bool:
    return min(len(read), len(known)) >= LIKENESS_CHARACTERS or score == _SAME_SHAPE


def _candidates(lines: Sequence[Line]) -> list[_Candidate]:
    """Every first line, and every run of adjacent ones that may be one name."""
    runs: dict[tuple[int, ...], None] = {}
    for order in first_lines(lines):
        for length in range(1, JOINED_LINES + 1):
            for start in range(len(order) - length + 1):
                runs[tuple(order[start : start + length])] = None
    found = []
    for run in runs:
        text = " ".join(lines[position].text for position in run)
        found.append(_Candidate(positions=frozenset(run), text=text, spelling=spell(text)))
    return found


def _closest(spelling: Spelling, known: Iterable[_Known] | None) -> list[_Known]:
    """Those of one core that ``spelling`` may be: the ones alike in all parts, else those that differ in nothing said.

    A legal form or a bracketed part that is missing on one side says nothing; two different ones are two companies.
    """
    compatible = [one for one in known or () if spelling.agrees_with(one.spelling)]
    alike = [one for one in compatible if one.spelling.qualifiers == spelling.qualifiers] or compatible
    alike = [one for one in alike if one.spelling.legal_form == spelling.legal_form] or alike
    return [min(alike, key=lambda one: one.preference)] if _is_one_merchant(alike) else alike


def _is_one_merchant(known: Sequence[_Known]) -> bool:
    """Whether they are spellings of one name: of equal cores, every two agree with each other."""
    return bool(known) and all(one.spelling.agrees_with(other.spelling) for one in known for other in known)


def _outermost(matches: Sequence[_Match]) -> list[_Match]:
    """Without those on a part of another's lines: GREENLEAF is not meant where GREENLEAF / HARDWARE is read."""
    return [
        match
        for match in matches
        if not any(match.candidate.positions < other.candidate.positions for other in matches)
    ]


def _decided(matches: Sequence[_Match], how: str) -> NameDecision:
    if not matches:
        return NameDecision(merchant_name=None, reason="no known merchant is named")
    known = list({match.known.key: match.known for match in matches}.values())
    cores = {one.spelling.core for one in known}
    if len(cores) > 1 or not _is_one_merchant(known):
        named = ", ".join(sorted(one.merchant.name for one in known))
        return NameDecision(merchant_name=None, reason=f"several merchants are named: {named}")
    best = max(matches, key=lambda match: match.likeness)
    winner = min(known, key=lambda one: one.preference)
    return NameDecision(
        merchant_name=winner.merchant.name, reason=f"{winner.merchant.name} {how}: {best.candidate.text!r}"
    )
