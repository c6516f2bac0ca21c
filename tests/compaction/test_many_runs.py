"""Very many runs wait. What is counted is what is read and asked: a failure makes the backlog slower than it grows.

The figures are printed; ``make torture`` has 10,000 runs, the gate a few.
"""

import os
import resource
import time
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from compaction_handler import merging
from compaction_handler.merging import CollectionMerger
from compaction_handler.planning import DELTAS_AT_ONCE
from ops.reconciling.comparison import PublishedRows, compare
from pipeline.contracts.identifiers import sha256_hex
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import CollectionProgress, CompactionRun, RunState
from pipeline.runs.items import run_to_item
from pipeline.runs.repository import READ_AT_ONCE, RunRepository
from tests.compaction.world import DIMENSIONS, MODEL, START, MergeWorld
from tests.world import BUCKET, TABLE

MANY = int(os.environ.get("MANY_RUNS", "60"))
COLLECTION_CALLS = 60
"""Calls for lease, pointer and the like, whatever the number of runs is."""


class Counted:
    """What a client asked and was given.

    Attributes:
        calls: by operation.
        items: that were read, by operation.
    """

    def __init__(self, client: Any) -> None:
        self.calls: Counter[str] = Counter()
        self.items: Counter[str] = Counter()
        client.meta.events.register("after-call.dynamodb", self._count)

    def _count(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        self.calls[model.name] += 1
        self.items[model.name] += len(parsed.get("Items", ()))
        self.items[model.name] += sum(len(items) for items in parsed.get("Responses", {}).values())

    def forget(self) -> None:
        self.calls.clear()
        self.items.clear()


@pytest.fixture
def counted(world: MergeWorld) -> Counted:
    return Counted(world.dynamodb)


def removals(
    world: MergeWorld, count: int, *, first: int = 1, state: RunState = RunState.PENDING
) -> list[RunReference]:
    """Runs without deltas, as the table holds them; each of a receipt of its own."""
    found = []
    for number in range(first, first + count):
        run = CompactionRun(
            image_id=UUID(int=number),
            receipt_id=1,
            run_id=sha256_hex(str(number).encode())[:32],
            kind="delete",
            embedding_model=MODEL,
            dimensions=DIMENSIONS,
            delta_bucket=BUCKET,
            lines=CollectionProgress(expected_count=0, state=state),
            words=CollectionProgress(expected_count=0, state=state),
            merchant_source="none",
            consumer="operator",
            created_at=START,
            updated_at=START,
        )
        world.dynamodb.put_item(TableName=TABLE, Item=run_to_item(run))
        found.append(run.reference)
    return found


def reached(merger: CollectionMerger, monkeypatch: pytest.MonkeyPatch) -> list[list[RunReference]]:
    """What a tick hands to a merge, which is not done."""
    merges: list[list[RunReference]] = []
    monkeypatch.setattr(merger, "merge", lambda references, *_: merges.append(list(references)))
    return merges


def test_a_tick_reads_every_unfinished_run_once_and_takes_no_more_than_its_share(world, counted, monkeypatch):
    removals(world, MANY)
    removals(world, MANY, first=10**6, state=RunState.FAILED)
    removals(world, MANY, first=2 * 10**6, state=RunState.MERGED)
    world.moment = START + timedelta(hours=1)
    monkeypatch.setattr(merging, "SWEEP_RUNS", MANY // 3)
    merger = world.merger()
    merges = reached(merger, monkeypatch)
    counted.forget()
    merger.tick()
    assert counted.items["Query"] <= 3 * MANY
    assert [len(references) for references in merges] == [2 * (MANY // 3)]
    assert counted.calls["BatchGetItem"] == 0


def test_a_tick_that_has_nothing_to_do_reads_the_failed_runs_once(world, counted, monkeypatch):
    removals(world, MANY, state=RunState.FAILED)
    merger = world.merger()
    merges = reached(merger, monkeypatch)
    counted.forget()
    merger.tick()
    assert (counted.items["Query"], merges) == (MANY, [])


def test_a_merge_asks_for_each_run_once_and_writes_it_twice_however_many_wait(world, counted):
    references = removals(world, MANY)
    merger = world.merger()
    counted.forget()
    began, memory = time.monotonic(), peak()
    merger.merge(references)
    seconds = time.monotonic() - began
    assert counted.items["BatchGetItem"] == MANY
    assert counted.calls["BatchGetItem"] == -(-MANY // READ_AT_ONCE)
    # MERGED, then COMPLETED; the lease names each portion before it and after it.
    assert counted.calls["UpdateItem"] <= 2 * MANY + 4 * -(-MANY // DELTAS_AT_ONCE) + COLLECTION_CALLS
    assert counted.calls["GetItem"] <= 4 * -(-MANY // DELTAS_AT_ONCE) + COLLECTION_CALLS
    assert counted.items["Query"] == MANY, "a cold start lists what is MERGED among them"
    assert {world.lines(reference).state for reference in references[:: max(1, MANY // 50)]} == {RunState.COMPLETED}
    print(  # noqa: T201 - the figures are what the test is for
        f"\n{MANY} runs merged in {seconds:.1f} s on moto, {(peak() - memory) / 1024:.0f} MB more memory; "
        f"{dict(counted.calls)}"
    )


def peak() -> int:
    """The most memory that this process has had, in kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_a_look_at_all_runs_holds_one_page_in_memory(world, counted):
    """``receipts status`` counts as it reads."""
    removals(world, 40)
    original = world.dynamodb.scan
    repository = RunRepository(TABLE, Paged(original))
    counted.forget()
    runs = repository.all_runs()
    next(runs)
    assert counted.calls["Scan"] == 1
    assert len(list(runs)) == 39
    assert counted.items["Scan"] <= 40 + counted.calls["Scan"]


class Paged:
    """A client whose pages are short."""

    def __init__(self, scan: Any) -> None:
        self._scan = scan

    def scan(self, **arguments: Any) -> Any:
        return self._scan(**arguments, Limit=7)


def test_a_comparison_looks_at_each_run_and_each_row_a_fixed_number_of_times(monkeypatch):
    looks: Counter[str] = Counter()
    original = CompactionRun.progress

    def progress(run: CompactionRun, collection: Any) -> Any:
        looks["run"] += 1
        return original(run, collection)

    monkeypatch.setattr(CompactionRun, "progress", progress)
    counts = {}
    for count in (50, 500):
        looks.clear()
        compare(
            collection="lines",
            runs=[completed(number) for number in range(count)],
            completed_before=frozenset(),
            published=PublishedRows(run_ids=frozenset(completed(number).run_id for number in range(count)), rows=()),
            deltas=[],
            now=START,
            publish_every=timedelta(0),
        )
        counts[count] = looks["run"]
    assert counts[500] <= 10 * counts[50]
    assert counts[50] <= 20 * 50


def completed(number: int) -> CompactionRun:
    progress = CollectionProgress(expected_count=0, delta_sha256="0" * 64, state=RunState.COMPLETED)
    return CompactionRun(
        image_id=UUID(int=number),
        receipt_id=1,
        run_id=sha256_hex(str(number).encode())[:32],
        embedding_model=MODEL,
        dimensions=DIMENSIONS,
        delta_bucket=BUCKET,
        lines=progress,
        words=progress,
        merchant_source="none",
        consumer="lambda",
        created_at=START,
        updated_at=START,
    )
