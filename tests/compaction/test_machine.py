"""Any order of changes, arrivals, repeats and restarts against a plain dictionary, with a real Chroma.

A failure here is a receipt that looks different depending on when its changes arrived, or a text that no reader finds.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.strategies import booleans
from moto import mock_aws

from compaction_handler import working_copy
from compaction_handler.merging import CollectionMerger
from pipeline.collections import recall
from pipeline.collections.chroma import ChromaIndex, record_id
from pipeline.collections.published import PublishedCollection
from pipeline.collections.reader import SnapshotSource
from pipeline.collections.recall import SAME
from pipeline.collections.rows import DERIVED
from pipeline.contracts.messages import RunReference
from tests.compaction.invariants import Model, model_of, require_the_ledger, require_the_model
from tests.compaction.strategies import ARRIVALS, CHANGES, Change
from tests.compaction.world import START, MergeWorld, row_id


def rows_of(published: PublishedCollection | None) -> tuple[Model, int]:
    """Every row's metadata without what its id says, and the number of rows that the pointer says."""
    if published is None:
        return {}, 0
    rows = list(published.rows())
    assert len({row.id for row in rows}) == len(rows)
    return (
        {row.id: {name: value for name, value in row.metadata.items() if name not in DERIVED} for row in rows},
        published.count,
    )


def is_lost(record: str) -> bool:
    """Whether no search reaches a record: one in eight by its text alone, "text 0" among them."""
    return record[0] in "08"


@contextmanager
def losing() -> Iterator[None]:
    """Every index loses records, and a version may miss as many."""
    original = ChromaIndex.nearest

    def nearest(index: ChromaIndex, vectors: Any, limit: int) -> list[list[tuple[str, float]]]:
        answers = original(index, vectors, index.count)
        return [[found for found in answer if not is_lost(found[0])][:limit] for answer in answers]

    def nearest_texts(index: ChromaIndex, vectors: Any, limit: int) -> list[list[str]]:
        texts = {record_id(text): text for text in index.collection.get(include=["documents"])["documents"]}
        return [[texts[record] for record, _ in answer] for answer in nearest(index, vectors, limit)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChromaIndex, "nearest", nearest)
        patch.setattr(ChromaIndex, "nearest_texts", nearest_texts)
        patch.setattr(recall, "REBUILT", replace(recall.REBUILT, most_missed=1.0))
        # So that a warm copy's check asks for new texts and those known alone.
        patch.setattr(working_copy, "GROWTH_ASKED_ANEW", 100.0)
        yield


def require_every_text_found(published: PublishedCollection, private: Path) -> None:
    """The version names what its index misses and nothing else, and a reader that lets the index propose finds all."""
    texts = published.database.rows.texts()
    expected = {position for position in published.database.distinct.records() if is_lost(record_id(texts[position]))}
    assert set(published.missed()) == published.database.distinct.equal_to(sorted(expected))
    reader = PublishedCollection("lines", published.pointer, published.directory, private, exact_bytes=0)
    with closing(reader):
        answers = reader.query(reader.vectors.at(range(len(texts))), limit=published.count)
        for text, hits in zip(texts, answers, strict=True):
            assert text in {hit.text for hit in hits if hit.distance < SAME}


def require_every_text_once(published: PublishedCollection) -> None:
    """Texts, vectors and records of the index are the rows' distinct texts."""
    texts = {row.text for row in published.rows()}
    assert published.database.rows.text_count == published.text_count == len(texts)
    by_position = published.database.rows.texts()
    records = {record_id(by_position[position]) for position in published.database.distinct.records()}
    assert published.open_index().identifiers() == records
    assert published.database.distinct.noted == len(texts)


class Collection(RuleBasedStateMachine):
    """Changes happen in one order, are recorded in another and arrive in any; every index loses records."""

    @initialize(is_filled=booleans())
    def start(self, *, is_filled: bool) -> None:
        self.directory = TemporaryDirectory()
        self.aws = mock_aws()
        self.aws.start()
        path, often = Path(self.directory.name), {"publish_every_seconds": 60}
        self.world = MergeWorld(path=path, settings=often).create()
        self.merger: CollectionMerger = self.world.merger()
        self.looked_at = ""
        self.losing = ExitStack()
        self.losing.enter_context(losing())
        self.recorded: list[tuple[Change, RunReference]] = []
        self.arrived: list[RunReference] = []
        if is_filled:
            # Of a receipt that nothing happens to, so that every version misses a text of it.
            self.record_now(Change(kind="upsert", receipt=5, moment=0, rows=3))
            self.merger.merge([reference for _, reference in self.recorded])
            with self.published() as published:
                assert published is not None
                assert published.missed() == [0]

    @rule(change=CHANGES)
    def record(self, change: Change) -> None:
        self.record_now(change)

    def record_now(self, change: Change) -> None:
        reference = self.world.operation(
            change.kind,
            change.receipt,
            rows=change.rows,
            # Every other text is of its receipt alone, so that texts go and positions move.
            texts=[f"text {row}" + f" of {change.receipt}" * (row % 2) for row in range(change.rows)],
            changes=dict(change.fields),
            uploaded_at=START + timedelta(seconds=change.moment),
        )
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
        in_order = sorted(self.recorded, key=lambda item: item[0].moment)
        expected = model_of((change, reference.run_id) for change, reference in in_order)
        named = {row_id(*map(int, name.split("/"))): metadata for name, metadata in expected.items()}
        runs = {reference.run_id for _, reference in self.recorded}
        with self.published() as published:
            require_the_model(*rows_of(published), named)
            if published is not None:
                require_the_ledger(published.database, named, runs)
                require_every_text_once(published)
                require_every_text_found(published, self.world.path / "proposed")

    @invariant()
    def nothing_is_there_that_was_never_recorded(self) -> None:
        if not hasattr(self, "world"):
            return
        with self.published() as published:
            found, count = rows_of(published)
            if published is not None and published.version != self.looked_at:
                self.looked_at = published.version
                require_every_text_found(published, self.world.path / "proposed")
        runs = {reference.run_id for _, reference in self.recorded}
        assert len(found) == count
        assert {metadata["run_id"] for metadata in found.values()} <= runs

    @contextmanager
    def published(self) -> Iterator[PublishedCollection | None]:
        source = SnapshotSource.from_directory(
            "lines", collections_directory=self.world.root, private_directory=self.world.path / "reader"
        )
        try:
            yield source.refresh()
        finally:
            source.close()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.losing.close()
            self.world.close()
            self.aws.stop()
            self.directory.cleanup()


def test_in_whatever_order_changes_arrive_a_receipt_ends_the_same() -> None:
    hypothesis.stateful.run_state_machine_as_test(
        Collection,
        settings=settings(
            max_examples=12,
            stateful_step_count=10,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
