"""A collection that layout 1 left behind; a failure loses, doubles or hides the rows of every existing stack.

``fixtures/layout-1.tar.xz`` was published by the build before layout 2: four receipts, of which the fourth was deleted
and the third corrected.
"""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from compaction_handler import conversion
from compaction_handler.conversion import LEDGER_NAME, convert
from compaction_handler.storing import copy_version
from pipeline.collections.chroma import OldRecord, records_of_layout_1
from pipeline.collections.layout import LAYOUT, MANIFEST_NAME, Pointer, version_path
from pipeline.collections.published import PublishedCollection
from pipeline.collections.reader import SnapshotSource
from pipeline.collections.receipts import ReceiptKey
from pipeline.collections.versions import read_current, read_current_object
from pipeline.contracts.identifiers import COLLECTIONS, CollectionName
from pipeline.contracts.run import RunState
from pipeline.errors import ErrorCode, PermanentError
from tests.compaction.world import MergeWorld, ids
from tests.world import BUCKET, TABLE

FIXTURE = Path(__file__).parent / "fixtures" / "layout-1.tar.xz"
MODEL, DIMENSIONS = "hashing-char-ngrams-v1", 16
RUNS = {
    "c330bca9f81b8b34c361705989bd2d0e",
    "e7f00b0ebb7d443fd6de04941284f8fa",
    "a6dfb9bb70244b95043d8121d4bc0c91",
    "bc02ac6a42a5788df1f6f83a247e472d",
    "0b739115e716f21fb0998294fde7b4b9",
    "e3cdbb3d3d80daa49f0780930cf6d9a9",
}
Records = dict[str, tuple[str, dict[str, Any], np.ndarray]]


def pointer_of(root: Path, collection: CollectionName) -> Pointer:
    found = read_current(root, collection)
    assert found is not None
    return found


def records_of(directory: Path, collection: CollectionName, scratch: Path) -> Records:
    """What layout 1 has of each row, read through a copy."""
    copy_version(directory, scratch, collection, "copy", dict)
    return {
        record.id: (record.text, record.metadata, record.vector)
        for record in records_of_layout_1(collection, version_path(scratch, collection, "copy"))
        if record.vector is not None
    }


@pytest.fixture
def old(world: MergeWorld) -> MergeWorld:
    """The world with the fixture as its published collections."""
    world.settings |= {"embedding_model": MODEL, "embedding_dimensions": DIMENSIONS}
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(world.root, filter="data")
    for collection in COLLECTIONS:
        pointer = pointer_of(world.root, collection)
        key, fence = {"PK": {"S": f"COLLECTION#{collection}"}}, {"fence": {"N": str(pointer.fence)}}
        item = key | {"SK": {"S": "CURRENT"}, "pointer": {"S": pointer.model_dump_json()}} | fence
        world.dynamodb.put_item(TableName=TABLE, Item=item)
        lease = key | {"SK": {"S": "LEASE"}, "lease_owner": {"S": "old"}, "expires": {"N": "0"}} | fence
        world.dynamodb.put_item(TableName=TABLE, Item=lease)
    return world


@pytest.fixture
def before(old: MergeWorld, tmp_path: Path) -> dict[str, Records]:
    """The records of the fixture by collection."""
    return {
        collection: records_of(
            version_path(old.root, collection, pointer_of(old.root, collection).version),
            collection,
            tmp_path / "scratch",
        )
        for collection in COLLECTIONS
    }


def published(world: MergeWorld, collection: CollectionName) -> Iterator[PublishedCollection]:
    source = SnapshotSource.from_directory(
        collection, collections_directory=world.root, private_directory=world.path / "reader"
    )
    found = source.refresh()
    assert found is not None
    yield found
    source.close()


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_the_tick_converts_a_collection_that_nothing_else_touches(old, before, collection):
    records = before[collection]
    old.process().mergers[collection].tick()
    pointer = pointer_of(old.root, collection)
    assert (pointer.layout, pointer.count) == (LAYOUT, len(records))
    assert pointer.texts == len({text for text, *_ in records.values()}) < pointer.count
    assert read_current_object(old.objects, BUCKET, collection) == pointer
    for found in published(old, collection):
        rows = {row.id: row for row in found.rows()}
        assert {name: (row.text, row.metadata) for name, row in rows.items()} == {
            name: (text, metadata) for name, (text, metadata, _) in records.items()
        }
        for name, (*_, vector) in records.items():
            assert np.allclose(found.vectors.at([rows[name].position])[0], vector, atol=1e-6)
        assert found.database.ledger.run_ids() == RUNS
        key = ReceiptKey(str(UUID(int=3)), 1)
        (held,) = found.database.ledger.entries([key]).values()
        assert held.state.changes == {"merchant_name": "Hardware & Co", "merchant_source": "corrected"}
        assert {row.metadata["merchant_name"] for row in found.receipt(key)} == {"Hardware & Co"}
        assert list(found.database.rows.faults()) == []


def test_a_second_tick_publishes_nothing_more(old):
    merger = old.merger()
    merger.tick()
    converted = pointer_of(old.root, "lines")
    merger.tick()
    assert pointer_of(old.root, "lines") == converted


def test_a_new_receipt_is_merged_on_top_and_an_operation_that_is_older_stays_superseded(old, before):
    new = old.run(5, model=MODEL, dimensions=DIMENSIONS)
    # The first of its receipt in this table; the fixture's delete is of receipt version 2.
    stale = old.run(4, model=MODEL, dimensions=DIMENSIONS)
    old.merger().merge([new, stale])
    assert old.states(new, stale) == [RunState.COMPLETED] * 2
    assert (old.lines(stale).merged_count, old.lines(stale).superseded_by) == (0, 2)
    for found in published(old, "lines"):
        assert sorted(row.id for row in found.rows()) == sorted([*before["lines"], *ids(5)])
        assert found.database.ledger.run_ids() == RUNS | {new.run_id, stale.run_id}


def test_readers_refuse_a_version_of_layout_1_and_say_what_converts_it(old):
    source = SnapshotSource.from_directory("lines", collections_directory=old.root, private_directory=old.path / "r")
    with pytest.raises(PermanentError) as caught:
        source.refresh()
    assert caught.value.code is ErrorCode.VERSION_UNSUPPORTED
    assert "tick" in caught.value.way_out


def changed(directory: Path, target: Path) -> Path:
    """A copy of a version's files that a test may change, as a directory with its own manifest."""
    copy_version(directory, target, "lines", "changed", dict)
    return version_path(target, "lines", "changed")


def test_a_version_from_before_there_were_ledgers_is_converted_with_what_its_rows_say(old, before, tmp_path):
    directory = changed(version_path(old.root, "lines", pointer_of(old.root, "lines").version), tmp_path / "changed")
    (directory / LEDGER_NAME).unlink()
    forget(directory, LEDGER_NAME)
    copy = convert("lines", directory, parent=tmp_path / "work", dimensions=DIMENSIONS, base="v")
    try:
        assert copy.count == len(before["lines"])
        assert copy.ledger.run_ids() == {metadata["run_id"] for _, metadata, _ in before["lines"].values()}
        held = copy.ledger.entries([ReceiptKey(str(UUID(int=1)), 1)])
        deciding = [entry.state.decided_by for entry in held.values()]
        assert [by and by.order.receipt_version for by in deciding] == [0]
    finally:
        copy.discard()


def forget(directory: Path, name: str) -> None:
    """Take a file out of a manifest."""
    manifest = json.loads((directory / MANIFEST_NAME).read_bytes())
    del manifest["files"][name]
    (directory / MANIFEST_NAME).write_text(json.dumps(manifest))


def test_a_row_whose_id_is_not_the_contracts_is_left_out_and_stops_no_conversion(
    old, before, tmp_path, caplog, monkeypatch
):
    """A zero more is another id of the same row: two rows of one name would break every merge."""
    first, second = ids(1)
    renamed = {first: "strange", second: second.replace("LINE#", "LINE#0")}

    def records(*arguments: Any) -> Iterator[OldRecord]:
        for record in records_of_layout_1(*arguments):
            yield replace(record, id=renamed.get(record.id, record.id))
            if record.id == second:
                yield record

    monkeypatch.setattr(conversion, "records_of_layout_1", records)
    directory = version_path(old.root, "lines", pointer_of(old.root, "lines").version)
    copy = convert("lines", directory, parent=tmp_path / "work", dimensions=DIMENSIONS, base="v")
    try:
        assert {row.id for row in copy.rows.all_rows()} == set(before["lines"]) - {first}
        assert caplog.text.count("a row of no receipt is left out") == len(renamed)
    finally:
        copy.discard()
