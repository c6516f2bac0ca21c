"""Resolving a receipt's merchant against the published lines. What to ask and how to vote is pure: ``vote.py``.

A failure is a result of its own kind: it is recorded on the run and never looks like "no merchant".
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from pipeline.contracts.artifacts import LineRow
from pipeline.errors import ErrorCode
from pipeline.merchants.vote import telling_lines, vote

if TYPE_CHECKING:
    from pipeline.collections.reader import SnapshotSource

logger = logging.getLogger(__name__)

NEIGHBOURS = 20
"""Neighbours asked for a line. Unfiltered, because a ``where`` filter is about 50 times slower (FACTS, Chroma)."""


@dataclass(frozen=True, kw_only=True)
class Merchant:
    """The merchant of a receipt and where the name is from; see ``CompactionRun.merchant_source``."""

    name: str | None
    source: Literal["given", "resolved", "none", "failed"]
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class MerchantResolver:
    """Asks a published snapshot of the lines; never the working copy."""

    snapshots: "SnapshotSource"

    def resolve(self, lines: Sequence[LineRow], vectors: np.ndarray) -> Merchant:
        """Resolve the merchant of one receipt.

        Args:
            lines: the embedded lines of the receipt.
            vectors: lines x dimensions, in the same order.
        """
        try:
            chosen = telling_lines(lines)
            published = self.snapshots.refresh()
            if published is None or not chosen:
                return Merchant(name=None, source="none")
            decision = vote(published.query(vectors[chosen], limit=NEIGHBOURS))
        # Chroma and SQLite raise many types; whichever it is, it is recorded on the run under a code of its own.
        except Exception as error:
            logger.exception("merchant resolution failed", extra={"error_code": ErrorCode.MERCHANT_RESOLUTION_FAILED})
            reason = f"{ErrorCode.MERCHANT_RESOLUTION_FAILED}: {type(error).__name__}: {error}"
            return Merchant(name=None, source="failed", error=reason)
        if decision.merchant_name is None:
            return Merchant(name=None, source="none")
        return Merchant(name=decision.merchant_name, source="resolved")
