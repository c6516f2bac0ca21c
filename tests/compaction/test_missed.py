"""Texts that the index does not find by their own vector: a version names them, and readers rank them all the same."""

import shutil
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compaction_handler import soundness, storing
from compaction_handler.merging import CollectionMerger
from compaction_handler.soundness import judge
from compaction_handler.working_copy import WorkingCopy
from pipeline.collections.chroma import PARAMETERS, ChromaIndex, record_id
from pipeline.collections.database import CollectionDatabase
from pipeline.collections.layout import MANIFEST_NAME, MISSED_NAME, Pointer, decode_manifest, version_path
from pipeline.collections.missed import missed_files, read_missed
from pipeline.collections.published import PublishedCollection
from pipeline.collections.reader import SnapshotSource
from pipeline.collections.recall import REBUILT_BYTES, Recall, describe_losses, measure_recall
from pipeline.collections.search import EXACT_BYTES
from pipeline.collections.versions import read_current
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import RunState
from pipeline.errors import ErrorCode, PermanentError
from tests.compaction.copies import filled_copy, inspection_of, publish, receipt
from tests.compaction.world import BUCKET, MergeWorld

TEXTS = [f"text {number}" for number in range(60)]
LOST = TEXTS[7]
FEW = 10
"""More than the new texts of a merge here and those with few links, fewer than all."""
nearest, nearest_texts = ChromaIndex.nearest, ChromaIndex.nearest_texts


@pytest.fixture
def losing(monkeypatch):
    """Every index holds a record that no search reaches."""

    def answer(index: ChromaIndex, vectors: np.ndarray, limit: int) -> list[list[tuple[str, float]]]:
        answers = nearest(index, vectors, limit + 1)
        return [[found for found in answer if found[0] != record_id(LOST)][:limit] for answer in answers]

    def propose(index: ChromaIndex, vectors: np.ndarray, limit: int) -> list[list[str]]:
        answers = nearest_texts(index, vectors, limit + 1)
        return [[text for text in answer if text != LOST][:limit] for answer in answers]

    with monkeypatch.context() as patch:
        patch.setattr(ChromaIndex, "nearest", answer)
        patch.setattr(ChromaIndex, "nearest_texts", propose)
        yield patch


def pointer_of(world: MergeWorld) -> Pointer:
    pointer = read_current(world.root, "lines")
    assert pointer is not None
    return pointer


def first_by_own_vector(world: MergeWorld, directory: Path | None = None) -> str:
    """What a reader that lets the index propose finds first for the lost text's own vector."""
    pointer = pointer_of(world)
    directory = directory or version_path(world.root, "lines", pointer.version)
    published = PublishedCollection("lines", pointer, directory, world.path / "private", exact_bytes=0)
    with closing(published):
        (position,) = published.database.rows.positions([LOST])
        assert position is not None
        (hits,) = published.query(published.vectors.at([position]), limit=1)
        return hits[0].text


def test_a_text_that_the_index_misses_is_named_published_and_found(world, losing):
    merger, reference = world.merger(), world.operation("upsert", 1, rows=len(TEXTS), texts=TEXTS)
    merger.merge([reference])
    assert world.states(reference) == [RunState.COMPLETED]
    directory = version_path(world.root, "lines", pointer_of(world).version)
    assert read_missed(directory, len(TEXTS)) == [7]
    assert MISSED_NAME in decode_manifest((directory / MANIFEST_NAME).read_bytes())
    assert first_by_own_vector(world) == LOST
    # Not because the proposals hold it.
    losing.setattr(PublishedCollection, "missed", lambda _: [])
    assert first_by_own_vector(world) != LOST


def test_the_list_stays_while_the_index_grows_warm_and_cold_and_goes_to_s3(world, losing):
    merger = world.merger()
    for number, merging in enumerate([merger, merger, world.merger()], 1):
        texts = TEXTS if number == 1 else [f"{number} more", f"{number} again"]
        merging.merge([world.operation("upsert", number, rows=len(texts), texts=texts)])
        directory = version_path(world.root, "lines", pointer_of(world).version)
        assert read_missed(directory, pointer_of(world).texts or 0) == [7]
    source = SnapshotSource.from_bucket("lines", s3_client=world.s3, bucket=BUCKET, private_directory=world.path / "s3")
    with closing(source):
        published = source.refresh()
        assert published is not None
        published.open_index()
        assert published.missed() == [7]


def test_an_index_that_is_built_again_and_finds_everything_has_no_list(world, losing):
    merger = world.merger()
    merger.merge([world.operation("upsert", 1, rows=len(TEXTS), texts=TEXTS)])
    merger.merge([world.operation("upsert", 2, rows=1, texts=["more"])])
    losing.undo()
    merger.merge([world.operation("delete", 2)])
    directory = version_path(world.root, "lines", pointer_of(world).version)
    assert not (directory / MISSED_NAME).exists()
    assert MISSED_NAME not in decode_manifest((directory / MANIFEST_NAME).read_bytes())
    assert first_by_own_vector(world) == LOST


def test_texts_that_share_the_vector_of_a_missed_one_are_found_too(tmp_path, losing):
    vectors = np.random.default_rng(1).standard_normal((len(TEXTS), 8)).astype(np.float32)
    vectors[-1] = vectors[7]
    pointer = publish(tmp_path, tmp_path / "root", receipt(1, TEXTS, vectors))
    directory = version_path(tmp_path / "root", "lines", pointer.version)
    (directory / MISSED_NAME).write_bytes(missed_files([7])[MISSED_NAME])
    with closing(PublishedCollection("lines", pointer, directory, tmp_path / "private", exact_bytes=0)) as published:
        assert published.open_index().count == len(TEXTS) - 1
        (hits,) = published.query(vectors[7:8], limit=2)
        assert {hit.text for hit in hits} == {LOST, TEXTS[-1]}


def test_a_text_is_missed_also_when_another_is_as_near_with_a_vector_of_its_own(tmp_path, losing):
    """Embedders give one text in two batches, or in two cases, vectors that differ in the last bits."""
    vectors = np.random.default_rng(1).standard_normal((len(TEXTS), 8)).astype(np.float32)
    vectors[-1] = np.nextafter(vectors[7], np.float32(9))
    copy = filled_copy(tmp_path / "work", receipt(1, TEXTS, vectors))
    with closing(copy):
        copy.seal(lambda: None)
        assert judge(inspection_of(copy, tmp_path)).missed == (7,)
        assert judge(inspection_of(copy, tmp_path, asked_from=len(TEXTS) - 1)).missed == ()
        copy.asked(0, len(TEXTS), [7])
        assert judge(inspection_of(copy, tmp_path, asked_from=len(TEXTS) - 1)).missed == (7,)


def test_more_equally_near_texts_than_a_search_gives_are_not_missed(tmp_path):
    width = PARAMETERS[0].ef_search
    near = np.random.default_rng(1).standard_normal((1, 8)).astype(np.float32)
    # Each with a vector of its own, all in one direction.
    vectors = np.concatenate([near * np.float32(1 + number / 1_024) for number in range(2 * width)])
    copy = filled_copy(tmp_path / "work", receipt(1, [f"text {number}" for number in range(2 * width)], vectors))
    with closing(copy):
        copy.seal(lambda: None)
        assert judge(inspection_of(copy, tmp_path)).missed == ()


def test_a_list_that_an_older_release_left_in_a_smaller_version_stops_no_reader_and_no_merge(world, monkeypatch):
    """It copies the file like any other, and asks for every text: what is named besides is found anyway."""
    with monkeypatch.context() as patch:
        patch.setattr(storing, "OF_CHECK", frozenset())
        patch.setattr("compaction_handler.publishing.missed_files", lambda _: {})
        seal = WorkingCopy.seal

        def sealed_with_a_list(copy: WorkingCopy, *arguments: Any) -> None:
            seal(copy, *arguments)
            (copy.directory / MISSED_NAME).write_bytes(missed_files([7, 59])[MISSED_NAME])

        patch.setattr(WorkingCopy, "seal", sealed_with_a_list)
        patch.setattr("compaction_handler.soundness.read_missed", lambda *_: [])
        world.merger().merge([world.operation("upsert", 1, rows=20, texts=TEXTS[:20])])
    directory = version_path(world.root, "lines", pointer_of(world).version)
    assert MISSED_NAME in decode_manifest((directory / MANIFEST_NAME).read_bytes())
    assert first_by_own_vector(world) == LOST
    reference = world.operation("upsert", 2, rows=1, texts=["more"])
    world.merger().merge([reference])
    assert world.states(reference) == [RunState.COMPLETED]
    assert not (version_path(world.root, "lines", pointer_of(world).version) / MISSED_NAME).exists()


def test_a_list_that_is_gone_from_its_version_is_not_taken_for_none(world, losing):
    world.merger().merge([world.operation("upsert", 1, rows=len(TEXTS), texts=TEXTS)])
    (version_path(world.root, "lines", pointer_of(world).version) / MISSED_NAME).unlink()
    with pytest.raises(PermanentError) as caught:
        first_by_own_vector(world)
    assert caught.value.code is ErrorCode.SNAPSHOT_CORRUPT


def test_a_reader_that_has_opened_the_index_keeps_the_list_when_the_version_goes(world, losing):
    world.merger().merge([world.operation("upsert", 1, rows=len(TEXTS), texts=TEXTS)])
    pointer = pointer_of(world)
    directory = version_path(world.root, "lines", pointer.version)
    with closing(PublishedCollection("lines", pointer, directory, world.path / "private", exact_bytes=0)) as published:
        published.open_index()
        shutil.rmtree(directory)
        (hits,) = published.query(published.vectors.at([7]), limit=1)
        assert hits[0].text == LOST


def test_no_stronger_index_is_built_for_a_few_missed_texts(world, losing):
    world.merger().merge([world.operation("upsert", 1, rows=len(TEXTS), texts=TEXTS)])
    pointer = pointer_of(world)
    directory = version_path(world.root, "lines", pointer.version)
    with closing(PublishedCollection("lines", pointer, directory, world.path / "private")) as published:
        assert published.open_index().parameters == PARAMETERS[0]


def test_recall_at_ten_counts_what_a_reader_ranks(tmp_path, losing):
    vectors = np.random.default_rng(1).standard_normal((len(TEXTS), 8)).astype(np.float32)
    copy = filled_copy(tmp_path / "work", receipt(1, TEXTS, vectors))
    with closing(copy):
        copy.seal(lambda: None)
        verdict = judge(inspection_of(copy, tmp_path))
    # A text of sixty is among the ten nearest of a sixth of the others: the index alone has 0.98 at most.
    assert (verdict.faults, verdict.losses, verdict.missed) == ((), (), (7,))


SIZES = [
    (0, 0.05, 0.98),
    (REBUILT_BYTES, 0.05, 0.98),
    (REBUILT_BYTES + 1, 0.25, 0.9),
    (EXACT_BYTES, 0.25, 0.9),
    (EXACT_BYTES + 1, 0.25, 0.98),
]


@pytest.mark.parametrize("count", [1, 3, 19, 20, 100])
@pytest.mark.parametrize(("size", "share", "least"), SIZES)
def test_how_much_may_be_missed_depends_on_who_needs_the_index_and_whether_it_can_be_built_again(
    count, size, share, least
):
    texts = [f"text {number}" for number in range(count)]
    allowed = int(share * count)
    kept, refused = (
        Recall(asked=count, missed=tuple(range(missed)), at_ten=least) for missed in (allowed, allowed + 1)
    )
    assert list(describe_losses(kept, texts, size)) == []
    (loss,) = describe_losses(refused, texts, size)
    assert loss.startswith(f"{allowed + 1} of {count} texts")
    assert "'text 0'" in loss
    (loss,) = describe_losses(Recall(asked=count, missed=(), at_ten=least - 0.001), texts, size)
    assert loss.startswith("recall at ten is 0.")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"no array",
        b"PK\x05\x06" + bytes(18),
        missed_files([-1])[MISSED_NAME],
        missed_files([0, 1])[MISSED_NAME][:-1],
        missed_files([1])[MISSED_NAME].replace(b"'shape'", b"(shape'"),
        missed_files([1])[MISSED_NAME].replace(b"{'descr'", b"  'descr'"),
        missed_files([1])[MISSED_NAME].replace(b"'<i8'", b"'<j8'"),
    ],
    ids=["empty", "cut in its header", "foreign", "an archive", "negative", "cut", "bracket", "no dictionary", "type"],
)
def test_a_damaged_list_is_refused(tmp_path, content):
    (tmp_path / MISSED_NAME).write_bytes(content)
    with pytest.raises(PermanentError) as caught:
        read_missed(tmp_path, 3)
    assert caught.value.code is ErrorCode.SNAPSHOT_CORRUPT


def test_a_list_of_other_numbers_is_refused(tmp_path):
    np.save(tmp_path / MISSED_NAME, np.zeros((1, 1)))
    with pytest.raises(PermanentError) as caught:
        read_missed(tmp_path, 3)
    assert caught.value.code is ErrorCode.SNAPSHOT_CORRUPT


def test_no_changed_byte_is_anything_but_another_list_or_refused(tmp_path):
    whole = missed_files([1])[MISSED_NAME]
    for at in range(len(whole)):
        for value in (0, ord("("), ord("'"), ord(" "), ord("\n"), whole[at] ^ 1, whole[at] ^ 128):
            (tmp_path / MISSED_NAME).write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
            with suppress(PermanentError):
                assert all(0 <= position < 3 for position in read_missed(tmp_path, 3))


def test_positions_beyond_the_texts_are_left_out(tmp_path):
    (tmp_path / MISSED_NAME).write_bytes(missed_files([2, 3, 9])[MISSED_NAME])
    assert read_missed(tmp_path, 3) == [2]


def test_nothing_missed_is_no_file(tmp_path):
    assert missed_files([]) == {}
    assert read_missed(tmp_path, 3) == []


def asked(world: MergeWorld, merger: CollectionMerger, *references: RunReference) -> int:
    """How many texts the check of a merge asks for."""
    counts: list[int] = []
    with pytest.MonkeyPatch.context() as patch:

        def measure(*arguments: Any, **named: Any) -> Recall:
            found = measure_recall(*arguments, **named)
            counts.append(found.asked)
            return found

        patch.setattr(soundness, "measure_recall", measure)
        merger.merge(references)
    (count,) = counts
    return count


def test_a_cold_start_knows_what_was_asked_of_the_version_that_it_starts_from(world):
    first = world.operation("upsert", 1, rows=len(TEXTS), texts=TEXTS)
    assert asked(world, world.merger(), first) == len(TEXTS)
    assert asked(world, world.merger(), world.operation("upsert", 2, rows=1, texts=["more"])) < FEW
    assert asked(world, world.merger(), world.operation("upsert", 3, rows=1, texts=["still more"])) < FEW
    # With these there are more than twice as many as when all were asked.
    many = [f"one of many {number}" for number in range(60)]
    assert asked(world, world.merger(), world.operation("upsert", 4, rows=60, texts=many)) == len(TEXTS) + 62
    assert asked(world, world.merger(), world.operation("delete", 3)) == len(TEXTS) + 61


def test_of_a_version_that_does_not_say_what_was_asked_everything_is(world):
    world.merger().merge([world.operation("upsert", 1, rows=len(TEXTS), texts=TEXTS)])
    merger = world.merger()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CollectionDatabase, "fact", lambda *_: None)
        assert asked(world, merger, world.operation("upsert", 2, rows=1, texts=["more"])) == len(TEXTS) + 1
