"""If these fail, the order of uploads decides which receipts have a merchant, or a guess overwrites what a person said.

The published version is the recorded runs, read back; DynamoDB is moto, in this process.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

import pytest

from pipeline.collections.receipts import (
    ReceiptKey,
    ReceiptState,
    deciding_run,
    fold,
    merchant_changed,
    operation_of,
    without_rows,
)
from pipeline.contracts.artifacts import LineRow
from pipeline.contracts.metadata import MERCHANT_NAME, MERCHANT_SOURCE
from pipeline.contracts.run import CollectionProgress, CompactionRun, RunState
from pipeline.errors import ErrorCode, RetryableError
from pipeline.merchants.later import PublishedReceipt, resolve_later
from pipeline.merchants.names import KnownMerchant
from pipeline.merchants.resolution import Merchant, MerchantResolver
from tests.merchants.receipts import rows
from tests.world import World

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OF_THE_STACK: dict[str, Any] = {
    "embedding_model": "counting",
    "dimensions": 4,
    "delta_bucket": "vectors",
    "consumer": "operator",
    "moment": NOW,
}


@dataclass
class MerchantWorld(World):
    """What is recorded, and a version that holds all of it: ``PublishedLines`` and ``UnresolvedReceipts``."""

    texts: dict[ReceiptKey, list[LineRow]] = field(default_factory=dict)

    @property
    def version(self) -> str:
        return f"{sum(1 for _ in self.runs.all_runs()):09d}"

    def refresh(self) -> Self:
        return self

    def upload(
        self, number: int, *lines: str, merchant: str | None = None, published: str | None = "000000000"
    ) -> None:
        """Record an upsert as stage 2 and the merge leave it; without ``published`` it is not merged yet."""
        progress = CollectionProgress(
            state=RunState.PENDING if published is None else RunState.COMPLETED,
            expected_count=len(lines),
            delta_sha256="0" * 64,
            snapshot_version=published,
        )
        found = merchant and Merchant(name=merchant, source="given")
        resolved = found or MerchantResolver(snapshots=self).resolve(rows(*lines), None)
        self.texts[key(number)] = rows(*lines)
        self.runs.record(
            CompactionRun(
                image_id=UUID(int=number),
                receipt_id=1,
                run_id=f"{number:08x}{len(self.texts):024x}",
                embedding_model="counting",
                dimensions=4,
                delta_bucket="vectors",
                lines=progress,
                words=progress,
                merchant_name=resolved.name,
                merchant_source=resolved.source,
                consumer="lambda",
                created_at=NOW,
                updated_at=NOW,
            )
        )

    def merchant(self, number: int) -> tuple[Any, Any]:
        """Name and source that the receipt's rows carry."""
        known = self.runs.of_receipt(UUID(int=number), 1)
        deciding = deciding_run(known)
        assert deciding is not None
        changes = fold(ReceiptState(), map(operation_of, known)).changes
        name = changes.get(MERCHANT_NAME, deciding.merchant_name)
        return name, changes.get(MERCHANT_SOURCE, deciding.merchant_source) if name else None

    def merchants(self) -> Sequence[KnownMerchant]:
        found = [self.merchant(UUID(receipt.image_id).int) for receipt in self.texts]
        names = {name for name, _ in found if name is not None}
        return [
            KnownMerchant(name=name, receipts=sum(name == one for one, _ in found), given=(name, "given") in found)
            for name in sorted(names)
        ]

    def query(self, vectors: object, limit: int) -> list:
        raise AssertionError("names decide here")

    def receipts_without_merchant(self, limit: int) -> Iterator[PublishedReceipt]:
        nameless = [one for one in self.texts if self.merchant(UUID(one.image_id).int)[0] is None]
        for receipt in nameless[:limit]:
            yield PublishedReceipt(key=receipt, lines=self.texts[receipt])

    def resolve(self, limit: int = 99, **more: Any) -> int:
        resolver = more.pop("resolver", MerchantResolver(snapshots=self))
        return resolve_later(
            more.pop("published", self), self.runs, resolver, limit=limit, consumer="tick", now=NOW, **more
        )


@dataclass
class Outdated:
    """The receipts of a version as it was, whatever was recorded since."""

    receipts: list[PublishedReceipt]
    version: str

    def receipts_without_merchant(self, limit: int) -> list[PublishedReceipt]:
        return self.receipts[:limit]


class FailingResolver:
    asked = 0

    def resolve(self, lines: object, vectors: object) -> Merchant:
        self.asked += 1
        return Merchant(name=None, source="failed", error="MERCHANT_RESOLUTION_FAILED: no credential")


class NamedResolver:
    def resolve(self, lines: object, vectors: object) -> Merchant:
        return Merchant(name="GREENLEAF MARKET", source="resolved")


@pytest.fixture
def world(aws: None) -> MerchantWorld:
    return MerchantWorld().create()


def key(number: int) -> ReceiptKey:
    return ReceiptKey(str(UUID(int=number)), 1)


def outdated(world: MerchantWorld) -> Outdated:
    return Outdated(list(world.receipts_without_merchant(99)), world.version)


def newest(world: MerchantWorld, number: int) -> CompactionRun:
    return world.runs.of_receipt(UUID(int=number), 1)[-1]


def test_a_receipt_that_came_before_its_merchant_was_known_is_named_later_and_once(world: MerchantWorld) -> None:
    world.upload(1, "GREENLEAF MARKET", "Harbor View Road")
    assert world.resolve() == 0
    world.upload(2, "GREENLEAF MARKET", "Harbor View Road", merchant="Greenleaf Market")
    before = outdated(world)
    assert world.resolve() == 1
    assert world.merchant(1) == ("Greenleaf Market", "resolved")
    run = newest(world, 1)
    assert (run.kind, run.consumer, run.merchant_source, run.merchant_name) == (
        "metadata",
        "tick",
        "resolved",
        "Greenleaf Market",
    )
    # The next tick sees the name, and one that still reads the version before it is told by the receipt's operations.
    assert world.resolve() == 0
    assert world.resolve(published=before) == 0


def test_two_ticks_at_once_record_one_operation(world: MerchantWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world.upload(1, "GREENLEAF MARKET")
    world.upload(2, "GREENLEAF MARKET", merchant="GREENLEAF MARKET")
    before = outdated(world)
    known = world.runs.of_receipt(UUID(int=1), 1)
    assert world.resolve(published=before) == 1
    # The other has read the operations, but not the counter, before the first recorded.
    monkeypatch.setattr(world.runs, "of_receipt", lambda *_: known)
    assert world.resolve(published=before) == 0
    monkeypatch.undo()
    assert len(world.runs.of_receipt(UUID(int=1), 1)) == 2


UPLOADS = (
    (1, ("GREENLEAF MARKET", "Harbor View Road"), "GREENLEAF MARKET"),
    (2, ("GREENLEAF MARKFT", "Harbor Vlew Road"), None),
    (3, ("GREENLEAF MARKET LTD", "Harbor View Road"), None),
    (4, ("HOLLOW OAK", "HARDWARE"), None),
    (5, ("HOLLOW OAK HARDWARE",), "HOLLOW OAK HARDWARE"),
    (6, ("SOME OTHER SHOP",), None),
)


@pytest.mark.parametrize("seed", range(6))
def test_the_order_of_uploads_does_not_matter(world: MerchantWorld, seed: int) -> None:
    shuffle = random.Random(seed)  # noqa: S311 - an order, not a secret
    for number, lines, merchant in shuffle.sample(UPLOADS, len(UPLOADS)):
        world.upload(number, *lines, merchant=merchant)
        if shuffle.random() < 0.5:
            world.resolve()
    world.resolve()
    assert [world.merchant(number)[0] for number, *_ in UPLOADS] == [
        *["GREENLEAF MARKET"] * 3,
        *["HOLLOW OAK HARDWARE"] * 2,
        None,
    ]


def removed(world: MerchantWorld) -> None:
    world.runs.record(without_rows(key(1), "delete", run_id="d" * 32, **OF_THE_STACK))


def corrected(world: MerchantWorld) -> None:
    world.runs.record(merchant_changed(key(1), "HOLLOW OAK HARDWARE", "given", run_id="c" * 32, **OF_THE_STACK))


def uploaded_with_other_content(world: MerchantWorld) -> None:
    world.upload(1, "HOLLOW OAK HARDWARE", published=None)


def published_with_other_content(world: MerchantWorld) -> None:
    world.upload(1, "HOLLOW OAK HARDWARE", published="999999999")


@pytest.mark.parametrize(
    "change",
    [removed, corrected, uploaded_with_other_content, published_with_other_content],
    ids=lambda one: one.__name__,
)
@pytest.mark.parametrize("is_conflict", [False, True], ids=["before it is looked at", "while it is recorded"])
def test_a_receipt_that_changed_after_the_version_is_left_as_it_is(
    world: MerchantWorld, monkeypatch: pytest.MonkeyPatch, change: Any, is_conflict: bool
) -> None:
    world.upload(1, "GREENLEAF MARKET")
    world.upload(2, "GREENLEAF MARKET", merchant="GREENLEAF MARKET")
    before, record = outdated(world), world.runs.record

    def overtaken(run: CompactionRun, **only_after: Any) -> bool:
        monkeypatch.setattr(world.runs, "record", record)
        change(world)
        return record(run, **only_after)

    if is_conflict:
        monkeypatch.setattr(world.runs, "record", overtaken)
    else:
        change(world)
    after = None if is_conflict else world.merchant(1)
    assert world.resolve(published=before) == 0
    assert after in (None, world.merchant(1))
    assert newest(world, 1).merchant_source != "resolved"


def test_a_tick_asks_about_no_more_than_its_limit(world: MerchantWorld) -> None:
    for number in range(1, 6):
        world.upload(number, "GREENLEAF MARKET")
    world.upload(9, "GREENLEAF MARKET", merchant="GREENLEAF MARKET")
    assert [world.resolve(limit=2) for _ in range(4)] == [2, 2, 1, 0]


def test_a_failing_snapshot_names_nobody_and_is_asked_once(world: MerchantWorld) -> None:
    world.upload(1, "GREENLEAF MARKET")
    world.upload(2, "GREENLEAF MARKET")
    resolver = FailingResolver()
    assert world.resolve(resolver=resolver) == 0
    assert resolver.asked == 1


def test_an_operation_that_cannot_be_read_stops_no_other_receipt(world: MerchantWorld) -> None:
    world.upload(1, "GREENLEAF MARKET")
    world.upload(2, "GREENLEAF MARKET")
    world.upload(3, "GREENLEAF MARKET", merchant="GREENLEAF MARKET")
    before = outdated(world)
    run = newest(world, 1)
    world.dynamodb.update_item(
        TableName=world.table,
        Key={"PK": {"S": run.partition_key}, "SK": {"S": run.sort_key}},
        UpdateExpression="SET version = :future",
        ExpressionAttributeValues={":future": {"S": "99.0"}},
    )
    assert resolve_later(before, world.runs, NamedResolver(), limit=9, consumer="operator", now=NOW) == 1
    assert world.merchant(2)[0] == "GREENLEAF MARKET"


def test_a_table_that_does_not_answer_is_an_error_of_the_caller(
    world: MerchantWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upload(1, "GREENLEAF MARKET")

    def unavailable(*_: object) -> int:
        raise RetryableError(ErrorCode.SERVICE_UNAVAILABLE, value="503", rule="it answers", way_out="wait")

    monkeypatch.setattr(world.runs, "latest_version", unavailable)
    with pytest.raises(RetryableError, match="SERVICE_UNAVAILABLE"):
        world.resolve(resolver=NamedResolver())
