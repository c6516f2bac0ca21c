"""Resolving a receipt's merchant against the published lines: by its name, else by the vote of neighbours.

It asks and records; what decides is pure and in ``names.py`` and ``vote.py``. A failure is a result of its own kind: it
is recorded on the run and never looks like "no merchant".
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from pipeline.errors import SHOWN_CHARACTERS, ErrorCode
from pipeline.merchants.lines import Line, telling_lines
from pipeline.merchants.names import KnownMerchant, KnownNames, index_names
from pipeline.merchants.vote import Neighbour, confirmed, vote

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)

NEIGHBOURS = 20
"""Neighbours asked for a line: what the vote was measured with (``benchmarks/merchant_resolution.py``)."""


class PublishedLines(Protocol):
    """One published version of the lines; never the working copy."""

    @property
    def version(self) -> str:
        """Its name; a version never changes."""
        ...

    def merchants(self) -> Sequence[KnownMerchant]:
        """The merchants of its rows, each spelling once."""
        ...

    def query(self, vectors: "np.ndarray", limit: int) -> Sequence[Sequence[Neighbour]]:
        """The nearest rows of each vector."""
        ...


class Snapshots(Protocol):
    """Where published versions come from: ``SnapshotSource`` in production."""

    def refresh(self) -> PublishedLines | None:
        """The current version; None when nothing was ever published."""
        ...


@dataclass(frozen=True, kw_only=True)
class Merchant:
    """The merchant of a receipt and where the name is from; see ``CompactionRun.merchant_source``."""

    name: str | None
    source: Literal["given", "resolved", "none", "failed"]
    error: str | None = None


@dataclass(kw_only=True)
class MerchantResolver:
    """Resolves receipts one by one; keeps the index of names of the version that it asked last."""

    snapshots: Snapshots
    _names: tuple[str, KnownNames] | None = field(default=None, init=False)

    def resolve(self, lines: Sequence[Line], vectors: "np.ndarray | None") -> Merchant:
        """Resolve the merchant of one receipt.

        Args:
            lines: the receipt's lines, in the document's order.
            vectors: lines x dimensions, in the same order; None leaves the vote out, and names alone decide.
        """
        try:
            published = self.snapshots.refresh()
            if published is None:
                return Merchant(name=None, source="none")
            known_names = self._known_names(published)
            named = known_names.decide(lines)
            if named.merchant_name is not None:
                return Merchant(name=named.merchant_name, source="resolved")
            asked = [] if vectors is None else telling_lines(lines)
            if vectors is None or not asked:
                return Merchant(name=None, source="none")
            decision = vote(published.query(vectors[asked], limit=NEIGHBOURS))
            if decision.merchant_name is not None:
                decision = confirmed(decision, known_names.support(decision.merchant_name, lines))
        # Chroma and SQLite raise many types; whichever it is, it is recorded on the run under a code of its own.
        except Exception as error:
            logger.exception("merchant resolution failed", extra={"error_code": ErrorCode.MERCHANT_RESOLUTION_FAILED})
            reason = f"{ErrorCode.MERCHANT_RESOLUTION_FAILED}: {type(error).__name__}: {error}"
            return Merchant(name=None, source="failed", error=reason[:SHOWN_CHARACTERS])
        if decision.merchant_name is None:
            return Merchant(name=None, source="none")
        return Merchant(name=decision.merchant_name, source="resolved")

    def _known_names(self, published: PublishedLines) -> KnownNames:
        if self._names is None or self._names[0] != published.version:
            self._names = published.version, index_names(published.merchants())
        return self._names[1]
