"""Naming the merchants of receipts that came before their merchant was known: the order of uploads must not matter.

What is decided is pure; recording goes through the repository that the caller passes. Published rows are not changed
here: an operation is recorded, and it is merged like any other.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol
from uuid import UUID

from pipeline.collections.receipts import (
    ReceiptKey,
    ReceiptState,
    deciding_run,
    fold,
    merchant_changed,
    operation_of,
)
from pipeline.contracts.identifiers import resolution_id
from pipeline.contracts.metadata import MERCHANT_NAME
from pipeline.contracts.run import CompactionRun, RunState
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from pipeline.merchants.lines import Line

if TYPE_CHECKING:
    import numpy as np

    from pipeline.merchants.resolution import Merchant

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PublishedReceipt:
    """A receipt as it is published.

    Attributes:
        key: which.
        lines: its lines, in the document's order.
        vectors: lines x dimensions, in the same order; None leaves its merchant to names alone.
    """

    key: ReceiptKey
    lines: Sequence[Line]
    vectors: "np.ndarray | None" = None


class UnresolvedReceipts(Protocol):
    """One published version of the lines."""

    @property
    def version(self) -> str:
        """Its name; names sort as versions are published."""
        ...

    def receipts_without_merchant(self, limit: int) -> Iterable[PublishedReceipt]:
        """At most ``limit`` receipts whose rows carry no merchant's name.

        When there are more, others have to come with every call, for example drawn at random: those that cannot be
        resolved stay without a name, and must not keep the rest from being asked about.
        """
        ...


class Runs(Protocol):
    """What is needed of ``RunRepository``."""

    def latest_version(self, image_id: UUID, receipt_id: int) -> int:
        """How many operations on a receipt were recorded."""
        ...

    def of_receipt(self, image_id: UUID, receipt_id: int) -> list[CompactionRun]:
        """Every operation on a receipt."""
        ...

    def record(self, run: CompactionRun, *, only_after: int | None = None) -> bool:
        """Record a run; False when it exists, RUN_CONFLICT when something was recorded after ``only_after``."""
        ...


class Resolver(Protocol):
    """What is needed of ``MerchantResolver``."""

    def resolve(self, lines: Sequence[Line], vectors: "np.ndarray | None") -> "Merchant":
        """Resolve the merchant of one receipt."""
        ...


def resolve_later(
    published: UnresolvedReceipts,
    runs: Runs,
    resolver: Resolver,
    *,
    limit: int,
    consumer: Literal["operator", "tick"],
    now: datetime,
) -> int:
    """Record the merchants of published receipts that carry none and can be resolved by now.

    Args:
        published: the version whose receipts are asked about.
        runs: where operations are recorded.
        resolver: asks the current version, which may be a newer one.
        limit: receipts to ask about, at most.
        consumer: who asks.
        now: when.

    Returns:
        How many operations were recorded.

    Raises:
        RetryableError: SERVICE_UNAVAILABLE; what was recorded until then stays.
    """
    recorded = 0
    for receipt in published.receipts_without_merchant(limit):
        merchant = resolver.resolve(receipt.lines, receipt.vectors)
        if merchant.source == "failed":
            # The snapshot cannot be asked, so the next receipt would fail alike. The resolver has logged why.
            break
        if merchant.name is None:
            continue
        image_id, receipt_id = UUID(receipt.key.image_id), receipt.key.receipt_id
        try:
            # Read before the runs: what is recorded between the two is then a conflict, and not overlooked.
            latest = runs.latest_version(image_id, receipt_id)
            nameless = nameless_run(runs.of_receipt(image_id, receipt_id), published.version)
            if nameless is not None:
                run = named_later(nameless, merchant.name, consumer=consumer, now=now)
                recorded += runs.record(run, only_after=latest)
        except RetryableError as error:
            if error.code is not ErrorCode.RUN_CONFLICT:
                raise
            logger.info("a receipt changed while its merchant was resolved; left to the next time: %s", error)
        except PermanentError as error:
            # An item that this release cannot read: its receipt stays as it is, and the others are not stopped.
            logger.error("a receipt is left out: %s", error, extra={"error_code": error.code})
    return recorded


def nameless_run(known: Sequence[CompactionRun], version: str) -> CompactionRun | None:
    """The upsert whose rows may be named after ``version``; None when they may not.

    They may not when the receipt was removed, when its rows have a name already or an operation on the way brings
    one, or when ``version`` does not hold its newest rows: what was resolved are then lines that are outdated.

    Args:
        known: all operations on the receipt.
        version: the published version whose lines were resolved.
    """
    deciding = deciding_run(known)
    if deciding is None or deciding.kind != "upsert" or deciding.lines.state is not RunState.COMPLETED:
        return None
    holder = deciding.lines.snapshot_version
    if holder is None or holder > version:
        return None
    changes = fold(ReceiptState(), map(operation_of, known)).changes
    # An upsert that brings an earlier delta carries that one's merchant.
    return None if deciding.merchant_name is not None or MERCHANT_NAME in changes else deciding


def named_later(nameless: CompactionRun, name: str, *, consumer: str, now: datetime) -> CompactionRun:
    """The operation that names the merchant of a receipt whose rows ``nameless`` brought."""
    return merchant_changed(
        ReceiptKey(str(nameless.image_id), nameless.receipt_id),
        name,
        "resolved",
        run_id=resolution_id(nameless.image_id, nameless.receipt_id, nameless.run_id, name),
        embedding_model=nameless.embedding_model,
        dimensions=nameless.dimensions,
        delta_bucket=nameless.delta_bucket,
        consumer=consumer,
        moment=now,
        uploaded_at=nameless.happened_at,
        sequencer=nameless.sequencer,
    )
