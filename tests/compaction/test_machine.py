"""Any order of changes, arrivals, repeats and restarts against a plain dictionary, with a real Chroma.

A failure here is a receipt that looks different depending on when its changes arrived.
"""

from datetime import timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from moto import mock_aws

from compaction_handler.merging import CollectionMerger
from pipeline.collections.layout import LEDGER_NAME
from pipeline.collections.ledger import Ledger
from pipeline.collections.reader import SnapshotSource
from pipeline.contracts.messages import RunReference
from pipeline.objects import ObjectStore
from pipeline.runs import RunRepository
from tests.compaction.invariants import model_of, require_the_ledger, require_the_model
from tests.compaction.strategies import ARRIVALS, CHANGES, Change
from tests.compaction.tables import create_table
from tests.compaction.world import BUCKET, TABLE, World, clients, row_id


class Collection(RuleBasedStateMachine):
    """Changes are recorded in one order and arrive in any."""

    @initialize()
    def start(self) -> None:
        self.directory = TemporaryDirectory()
        self.aws = mock_aws()
        self.aws.start()
        s3, dynamodb = clients()
        s3.create_bucket(Bucket=BUCKET)
        create_table(dynamodb, TABLE)
        self.world = World(
            path=Path(self.directory.name),
            dynamodb=dynamodb,
            s3=s3,
            objects=ObjectStore(s3),
            runs=RunRepository(TABLE, dynamodb),
            settings={"publish_every_seconds": 60},
        )
        self.merger: CollectionMerger = self.world.merger()
        self.recorded: list[tuple[Change, RunReference]] = []
        self.arrived: list[RunReference] = []

    @rule(change=CHANGES)
    def record(self, change: Change) -> None:
        reference = self.world.operation(change.kind, change.receipt, rows=change.rows, changes=dict(change.fields))
        self.recorded.append((change, reference))

    @rule(order=ARRIVALS)
    def deliver(self, order: Random) -> None:
        """Some of what was recorded arrives, in any order, perhaps not for the first time."""
        if not self.recorded:
            return
        chosen = order.sample(self.recorded, order.randrange(1, len(self.recorded) + 1))
        self.merger.merge([reference for _, reference in chosen])
        self.arrived += [reference for _, reference in chosen]

    @rule()
    def restart(self) -> None:
        """The process ends without a word: the warm copy is gone, the lease is not."""
        self.merger = self.world.merger()

    @rule()
    def wait(self) -> None:
        self.world.moment += timedelta(seconds=61)

    @rule()
    def settle(self) -> None:
        """Everything arrives and is published; now the collection is the dictionary."""
        self.world.moment += timedelta(seconds=61)
        self.merger.merge([reference for _, reference in self.recorded])
        self.world.moment += timedelta(seconds=61)
        self.merger.tick()
        found, count, directory = self.published()
        expected = model_of((change, reference.run_id) for change, reference in self.recorded)
        named = {row_id(*map(int, name.split("/"))): metadata for name, metadata in expected.items()}
        require_the_model(found, count, named)
        if directory is not None:
            with Ledger(directory / LEDGER_NAME, read_only=True) as ledger:
                require_the_ledger(ledger, set(named), {reference.run_id for _, reference in self.recorded})

    @invariant()
    def nothing_is_there_that_was_never_recorded(self) -> None:
        if not hasattr(self, "world"):
            return
        found, count, _ = self.published()
        runs = {reference.run_id for _, reference in self.recorded}
        assert len(found) == count
        assert {metadata["run_id"] for metadata in found.values()} <= runs

    def published(self) -> tuple[dict, int, Path | None]:
        source = SnapshotSource.from_directory(
            "lines", collections_directory=self.world.root, private_directory=self.world.path / "reader"
        )
        opened, directory = source.refresh(), source.version_directory()
        if opened is None:
            return {}, 0, None
        rows = opened._view.collection.get(include=["metadatas"])
        source.close()
        return (
            {
                identifier: {key: value for key, value in metadata.items() if key not in {"image_id", "receipt_id"}}
                for identifier, metadata in zip(rows["ids"], rows["metadatas"], strict=True)
            },
            opened.count,
            directory,
        )

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.close()
            self.aws.stop()
            self.directory.cleanup()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")


def test_in_whatever_order_changes_arrive_a_receipt_ends_the_same() -> None:
    hypothesis.stateful.run_state_machine_as_test(
        Collection,
        settings=settings(
            max_examples=20,
            stateful_step_count=10,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
