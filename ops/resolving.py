"""Resolving merchants of published receipts that came before them, as the tick does, but all of them now."""

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from ops.operations import repository
from ops.target import Target
from pipeline.collections.reader import SnapshotSource
from pipeline.merchants.later import resolve_later
from pipeline.merchants.resolution import MerchantResolver
from pipeline.unresolved import PublishedUnresolved

EVERY_RECEIPT = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """What was done.

    Attributes:
        asked: published receipts without a merchant.
        recorded: those that got one; each is an operation on its way to the next versions.
    """

    asked: int
    recorded: int


def resolve(target: Target) -> Resolved:
    """Ask about every published receipt without a merchant.

    Raises:
        PipelineError: the snapshot or the table does not answer.
    """
    source = SnapshotSource.from_bucket(
        "lines",
        s3_client=target.s3,
        bucket=target.outputs["vectorsBucket"],
        private_directory=target.cache_directory,
    )
    with closing(source):
        published = source.refresh()
        if published is None:
            return Resolved(asked=0, recorded=0)
        unresolved = PublishedUnresolved(published)
        recorded = resolve_later(
            unresolved,
            repository(target),
            MerchantResolver(snapshots=source),
            limit=EVERY_RECEIPT,
            consumer="operator",
            now=datetime.now(UTC),
        )
        return Resolved(asked=unresolved.asked, recorded=recorded)
