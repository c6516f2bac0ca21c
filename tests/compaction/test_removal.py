"""What is removed is gone: a failure keeps a receipt's text in the files of later versions, for anybody to read.

Deleted bytes are overwritten as well; here they are not, so that the compaction itself is tested. hnswlib may write
freed memory into its files; here it always does.
"""

import pytest

from compaction_handler.working_copy import WorkingCopy
from pipeline.collections import database
from pipeline.collections.chroma import INDEX_HEADER
from pipeline.collections.database import CollectionDatabase
from pipeline.collections.layout import INDEX_NAME, version_path
from pipeline.collections.letters import fold_text
from pipeline.collections.versions import read_current
from tests.compaction.world import MergeWorld, ids, row_id

SECRET = "Quittung f\u00fcr Zelda Quackenbush-Xylophonowitz, Kartennummer 4929 1178 5523 0091, Zimmer 1417"
"""Long and unique, so that no part of it stands in the files by chance."""


@pytest.fixture(autouse=True)
def _without_secure_delete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        database, "_overwrite_deleted", lambda connection: connection.execute("PRAGMA secure_delete = OFF")
    )


@pytest.fixture(autouse=True)
def _with_freed_memory_in_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    close = WorkingCopy.close

    def close_and_soil(self: WorkingCopy) -> None:
        was_open = self._index is not None
        close(self)
        for header in (self.directory / INDEX_NAME).glob("*/header.bin") if was_open else ():
            *_, count, size, _, _ = INDEX_HEADER.unpack_from(header.read_bytes())
            data = header.with_name("data_level0.bin")
            content = data.read_bytes()
            unused = len(content) - count * size
            freed = (SECRET.encode() * (unused // len(SECRET.encode()) + 1))[:unused]
            data.write_bytes(content[: count * size] + freed)

    monkeypatch.setattr(WorkingCopy, "close", close_and_soil)


def forms(text: str) -> dict[str, bytes]:
    return {
        "as it was": text.encode(),
        "folded": fold_text(text).encode(),
        "UTF-16, little end first": text.encode("utf-16-le"),
        "UTF-16, big end first": text.encode("utf-16-be"),
        # An index of words keeps the words of a text apart.
        "a word of it": b"xylophonowitz",
    }


def found_in(world: MergeWorld, text: str = SECRET) -> set[str]:
    """In which files of the published version any form of the text stands."""
    current = read_current(world.root, "lines")
    assert current is not None
    directory = version_path(world.root, "lines", current.version)
    return {
        f"{path.relative_to(directory)}: {form}"
        for path in directory.rglob("*")
        if path.is_file()
        for form, content in forms(text).items()
        if content in path.read_bytes() or content in path.read_bytes().lower()
    }


def filled(world: MergeWorld) -> None:
    others = [f"another text, number {number}" for number in range(60)]
    world.merger().merge(
        [
            world.operation("upsert", 1, rows=2, texts=[SECRET, "milk"]),
            world.operation("upsert", 2, rows=60, texts=others),
        ]
    )
    assert {place.split(":")[0].split("/")[0] for place in found_in(world)} == {"rows.sqlite3", "chroma"}


@pytest.mark.parametrize("how", ["deleted", "replaced"])
@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
def test_a_text_that_is_removed_is_in_no_byte_of_the_next_version(world, how, cold):
    merger = world.merger()
    filled(world)
    if not cold:
        # Warm: the same process published what it now removes from.
        merger.merge([world.operation("upsert", 3, rows=1, texts=["tea"])])
    removal = (
        world.operation("delete", 1)
        if how == "deleted"
        else world.operation("upsert", 1, rows=2, texts=["other", "milk"])
    )
    (world.merger() if cold else merger).merge([removal])
    assert found_in(world) == set()
    expected = [row_id(2, row) for row in range(60)] + (ids(1) if how == "replaced" else [])
    assert set(world.readers()[0]) >= set(expected)


def test_a_text_that_another_receipt_has_stays(world):
    filled(world)
    world.merger().merge([world.operation("upsert", 3, rows=1, texts=[SECRET])])
    world.merger().merge([world.operation("delete", 1)])
    assert found_in(world)
    world.merger().merge([world.operation("delete", 3)])
    assert found_in(world) == set()


def test_without_compaction_the_removed_text_would_stay_in_the_file(world, monkeypatch):
    """The search above finds what SQLite keeps in free pages: it can fail."""
    filled(world)
    monkeypatch.setattr(CollectionDatabase, "compact", lambda _: None)
    world.merger().merge([world.operation("delete", 1)])
    assert {place.split(":")[0] for place in found_in(world)} == {"rows.sqlite3"}


def test_a_text_that_comes_and_goes_between_two_publications_is_in_no_version(world):
    world.settings["publish_every_seconds"] = 3_600
    merger = world.merger()
    merger.merge([world.run(2)])
    merger.merge([world.operation("upsert", 1, rows=1, texts=[SECRET])])
    merger.merge([world.operation("delete", 1)])
    world.moment = world.moment.replace(year=world.moment.year + 1)
    merger.tick()
    assert world.readers() == [ids(2)] * 2
    assert found_in(world) == set()
