"""Building a collection again, publishing when nothing more waits, late merchants; a failure leaves operators stuck."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from compaction_handler.handler import REBUILD_SOURCE, TICK_SOURCE
from compaction_handler.merging import PUBLISHED_WHILE_MORE_WAITS
from compaction_handler.resolving import LateResolution
from pipeline.collections.chroma import PARAMETERS
from pipeline.collections.layout import version_path
from pipeline.collections.reader import SnapshotSource
from pipeline.collections.versions import read_current
from pipeline.contracts.identifiers import delta_key
from pipeline.contracts.run import RunState
from pipeline.deltas import delta_objects
from pipeline.errors import ErrorCode, PermanentError
from pipeline.runs.repository import RunRepository
from tests.compaction.test_merge import failing, message, record, unavailable
from tests.compaction.world import DIMENSIONS, MergeWorld, ids
from tests.world import BUCKET


def rebuild(world: MergeWorld, *, from_deltas: bool = False) -> Mapping[str, Any]:
    event = {"source": REBUILD_SOURCE, "collection": "lines", "from_deltas": from_deltas}
    return world.process().handle(event)


@pytest.mark.parametrize("from_deltas", [False, True])
def test_a_collection_that_is_built_again_has_the_same_rows_in_a_new_version(world, from_deltas):
    first, second = world.run(1), world.run(2)
    world.merger().merge([first, second, world.operation("delete", 3)])
    correction = world.operation("metadata", 2, changes={"merchant_name": "A"})
    world.merger().merge([correction])
    before = read_current(world.root, "lines")
    answer = rebuild(world, from_deltas=from_deltas)
    after = read_current(world.root, "lines")
    assert before is not None
    assert after is not None
    assert after.version > before.version
    assert (answer["version"], answer["count"], answer["texts"]) == (after.version, before.count, before.texts)
    assert world.readers() == [ids(1, 2)] * 2
    later = world.run(4)
    world.merger().merge([later, correction])
    assert world.states(first, second, correction, later) == [RunState.COMPLETED] * 4
    assert world.readers() == [ids(1, 2, 4)] * 2


def test_a_lost_index_is_built_again_from_the_vectors(world):
    world.merger().merge([world.run(number) for number in range(1, 5)])
    pointer = read_current(world.root, "lines")
    assert pointer is not None
    answer = rebuild(world)
    with_index = version_path(world.root, "lines", answer["version"])
    source = SnapshotSource.from_directory(
        "lines", collections_directory=world.root, private_directory=world.path / "private"
    )
    published = source.refresh()
    assert published is not None
    index = published.open_index()
    assert index.count == pointer.texts
    assert index.parameters == PARAMETERS[0]
    assert with_index == published.directory
    source.close()


def test_a_rebuild_from_deltas_names_the_missing_one_and_publishes_nothing(world):
    world.merger().merge([world.run(1), world.run(2)])
    before = read_current(world.root, "lines")
    (lost,) = [item for item in delta_objects(world.objects, BUCKET, "lines") if item.run_id == world.run(1).run_id]
    world.s3.delete_object(Bucket=BUCKET, Key=lost.key)
    with pytest.raises(PermanentError) as caught:
        rebuild(world, from_deltas=True)
    assert caught.value.code is ErrorCode.OBJECT_MISSING
    assert lost.run_id in str(caught.value)
    assert read_current(world.root, "lines") == before
    assert lost.key == delta_key("lines", lost.run_id, lost.sha256 or "")


def test_what_was_only_merged_is_in_the_collection_that_was_built_again_and_is_completed(world):
    world.settings["publish_every_seconds"] = 3_600
    merger = world.merger()
    published, waiting = world.run(1), world.run(2)
    merger.merge([published])
    merger.merge([waiting])
    assert world.states(published, waiting) == [RunState.COMPLETED, RunState.MERGED]
    rebuild(world, from_deltas=True)
    assert world.readers() == [ids(1, 2)] * 2
    world.merger().merge([waiting])
    assert world.states(waiting) == [RunState.COMPLETED]


def test_a_collection_that_was_never_published_is_not_built_again(world):
    with pytest.raises(PermanentError) as caught:
        rebuild(world)
    assert caught.value.code is ErrorCode.SNAPSHOT_MISSING


def test_without_an_interval_a_publication_waits_for_the_messages_behind_it_but_not_for_ever(world):
    process = world.process()
    process.handle({"Records": [record("a", message("lines", world.run(1)))]})
    assert world.readers() == [ids(1)] * 2
    second, third = world.run(2), world.run(3)
    process.handle({"Records": [record("b", message("lines", second))]})
    assert world.states(second) == [RunState.MERGED]
    process.handle({"Records": [record("c", message("lines", third))]})
    assert world.states(second, third) == [RunState.COMPLETED] * 2
    fourth, _ = world.run(4), world.run(5)
    world.moment += PUBLISHED_WHILE_MORE_WAITS + timedelta(seconds=1)
    process.handle({"Records": [record("d", message("lines", fourth))]})
    assert world.states(fourth) == [RunState.COMPLETED]


def test_a_table_that_does_not_tell_what_waits_delays_no_publication(world, monkeypatch):
    process = world.process()
    process.handle({"Records": [record("a", message("lines", world.run(1)))]})
    reference, _ = world.run(2), world.run(3)
    monkeypatch.setattr(RunRepository, "unfinished", failing(unavailable(), RunRepository.unfinished, after=False))
    process.handle({"Records": [record("b", message("lines", reference))]})
    assert world.states(reference) == [RunState.COMPLETED]


def test_a_replaced_version_goes_when_its_time_is_over(world):
    world.settings["versions_kept_seconds"] = 5
    merger = world.merger()
    merger.merge([world.run(1)])
    first = read_current(world.root, "lines")
    assert first is not None
    merger.merge([world.run(2)])
    assert version_path(world.root, "lines", first.version).is_dir()
    # The pointer left it at the world's time; the directory was written by the machine's clock.
    world.moment += timedelta(days=3_650)
    merger.merge([world.run(3)])
    assert not version_path(world.root, "lines", first.version).exists()


def test_the_tick_resolves_a_receipt_that_came_before_its_merchant(world):
    texts = ["GREENLEAF MARKET", "OAT MILK BARISTA"]
    world.merger().merge([world.operation("upsert", 1, texts=texts)])
    given = {"image_id": str(UUID(int=2)), "receipt_id": 1, "run_id": "x"} | {
        "merchant_name": "Greenleaf Market",
        "merchant_source": "given",
    }
    world.merger().merge([world.operation("upsert", 2, texts=texts, metadata=given, merchant_name="Greenleaf Market")])

    def late() -> LateResolution:
        return LateResolution(
            source=SnapshotSource.from_directory(
                "lines", collections_directory=world.root, private_directory=world.path / "late"
            ),
            runs=world.runs,
            now=lambda: world.moment,
        )

    resolution = late()
    assert resolution.run() == 1
    assert resolution.run() == 0, "the same version is not asked about again"
    resolution.close()
    repeated = late()
    assert repeated.run() == 0, "another process records nothing twice"
    repeated.close()
    (run,) = [run for run in world.runs.of_receipt(UUID(int=1), 1) if run.kind == "metadata"]
    assert run.changes["merchant_name"] == "Greenleaf Market"
    world.merger().merge([run.reference])
    source = SnapshotSource.from_directory(
        "lines", collections_directory=world.root, private_directory=world.path / "reader"
    )
    published = source.refresh()
    assert published is not None
    (hits,) = published.query(np.ones((1, DIMENSIONS)), limit=99)
    assert {hit.metadata["merchant_name"] for hit in hits} == {"Greenleaf Market"}
    assert {hit.metadata["merchant_source"] for hit in hits} == {"given", "resolved"}
    source.close()


def test_a_tick_goes_on_when_late_resolution_fails_and_says_so(world):
    class Failing:
        def run(self) -> int:
            raise PermanentError(ErrorCode.SNAPSHOT_CORRUPT, value="v", rule="r", way_out="w")

    handler = world.process()
    object.__setattr__(handler, "late_resolution", Failing())
    world.merger()
    with pytest.raises(PermanentError):
        handler.handle({"source": TICK_SOURCE})
