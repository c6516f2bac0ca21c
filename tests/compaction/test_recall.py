"""The guard before a publication: every text is found by its own vector; without it an index loses texts unnoticed."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pytest

from compaction_handler import soundness
from compaction_handler.soundness import Verdict, judge
from compaction_handler.working_copy import WorkingCopy
from pipeline.collections.chroma import CHUNK_TEXTS, PARAMETERS, ChromaIndex, IndexParameters, record_id
from pipeline.collections.layout import ROWS_NAME, version_path
from pipeline.collections.published import PublishedCollection
from pipeline.collections.reader import SnapshotSource
from pipeline.collections.recall import FEW_LINKS, Recall, describe_losses, describe_missed, measure_recall
from pipeline.collections.vectors import VectorFile
from pipeline.collections.versions import read_current
from pipeline.contracts.run import RunState
from pipeline.embedding.embedders.hashing import HashingEmbedder
from pipeline.errors import ErrorCode, RetryableError
from tests.compaction.copies import chroma_client, filled_copy, inspection_of, publish, receipt
from tests.compaction.world import MergeWorld, ids

LOST = "text 1"
nearest = ChromaIndex.nearest


def losing(monkeypatch: pytest.MonkeyPatch, weaker_than: int) -> None:
    """Let every index with weaker parameters hold a record that no search reaches."""

    def answer(index: ChromaIndex, vectors: np.ndarray, limit: int) -> list[list[tuple[str, float]]]:
        answers = nearest(index, vectors, limit + 1)
        unreachable = record_id(LOST) if index.parameters.max_neighbors < weaker_than else None
        return [[found for found in answer if found[0] != unreachable][:limit] for answer in answers]

    monkeypatch.setattr(ChromaIndex, "nearest", answer)


def published_parameters(world: MergeWorld) -> IndexParameters:
    source = SnapshotSource.from_directory(
        "lines", collections_directory=world.root, private_directory=world.path / "p"
    )
    published = source.refresh()
    assert published is not None
    with closing(source):
        return published.open_index().parameters


def test_an_index_that_loses_a_text_is_built_again_with_stronger_parameters(world, monkeypatch):
    losing(monkeypatch, PARAMETERS[1].max_neighbors)
    merger, reference = world.merger(), world.run(1)
    merger.merge([reference])
    assert world.states(reference) == [RunState.COMPLETED]
    assert published_parameters(world) == PARAMETERS[1]
    # They stay with the collection, and a cold start knows them.
    merger.merge([world.run(2)])
    world.merger().merge([world.operation("delete", 2)])
    assert published_parameters(world) == PARAMETERS[1]
    assert world.readers() == [ids(1)] * 2


def test_with_the_guard_taken_out_an_index_that_loses_a_text_is_published(world, monkeypatch):
    """What the guard is for: counting and reading records finds nothing wrong with such an index."""
    losing(monkeypatch, PARAMETERS[1].max_neighbors)
    monkeypatch.setattr(soundness, "measure_recall", lambda *_, **__: Recall(asked=0, missed=(), at_ten=None))
    reference = world.run(1)
    world.merger().merge([reference])
    assert world.states(reference) == [RunState.COMPLETED]
    assert published_parameters(world) == PARAMETERS[0]


@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
def test_when_the_strongest_parameters_fall_short_nothing_is_published_until_an_index_finds_everything(
    world, monkeypatch, cold
):
    merger, reference = world.merger(), world.run(1)
    with monkeypatch.context() as patch:
        losing(patch, PARAMETERS[-1].max_neighbors + 1)
        for _ in range(2):
            with pytest.raises(RetryableError) as caught:
                merger.merge([reference])
            assert caught.value.code is ErrorCode.SNAPSHOT_RECALL
    assert read_current(world.root, "lines") is None
    # Without it a version passes the check, so it counts as its attempt.
    assert world.states(reference) == [RunState.PENDING]
    assert world.lines(reference).attempts == 2
    merger = world.merger() if cold else merger
    merger.merge([reference, world.run(2)])
    assert world.states(reference) == [RunState.COMPLETED]
    assert world.readers() == [ids(1, 2)] * 2


def opened(
    path: Path, texts: list[str], vectors: np.ndarray, parameters: IndexParameters = PARAMETERS[0]
) -> tuple[ChromaIndex, VectorFile]:
    index = ChromaIndex.create(path / "chroma", "lines", parameters)
    for start in range(0, len(texts), CHUNK_TEXTS):
        index.add(texts[start : start + CHUNK_TEXTS], vectors[start : start + CHUNK_TEXTS])
    file = VectorFile.create(path / "vectors.npy", vectors.shape[1])
    file.append(vectors)
    return index, file


def measured(path: Path, texts: list[str], vectors: np.ndarray, start: int = 0, lose: tuple[int, ...] = ()) -> Recall:
    index, file = opened(path, texts, vectors)
    with closing(index), closing(file):
        if lose:
            index.collection.delete(ids=[record_id(texts[position]) for position in lose])
        width = index.parameters.ef_search
        return measure_recall(index, texts, file, range(len(texts)), search_width=width, start=start)


def random_vectors(count: int, dimensions: int = 16) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, dimensions)).astype(np.float32)


@pytest.mark.parametrize("count", [0, 1, 9, 300])
def test_every_text_is_asked_and_a_sound_index_loses_none(tmp_path, count):
    texts = [f"text {number}" for number in range(count)]
    found = measured(tmp_path, texts, random_vectors(count))
    assert (found.asked, found.missed, found.at_ten) == (count, (), 1.0 if count else None)
    assert list(describe_losses(found, texts, 0)) == []


@pytest.mark.parametrize("count", [20, 300])
def test_a_text_that_is_not_found_is_told_by_its_position(tmp_path, count):
    texts = [f"text {number}" for number in range(count)]
    found = measured(tmp_path, texts, random_vectors(count), lose=(7,))
    assert found.missed == (7,)
    assert describe_missed(found.missed, texts).startswith(f"1 of {count} texts")
    assert "'text 7'" in describe_missed(found.missed, texts)


def test_a_search_is_as_wide_as_the_number_of_answers_that_it_is_asked_for(tmp_path):
    """What the second question of the check stands on; chromadb 1.5.9."""
    vectors = random_vectors(3_000, 64)
    texts = [f"text {number}" for number in range(len(vectors))]
    index, file = opened(tmp_path, texts, vectors, IndexParameters(max_neighbors=5, ef_construction=5, ef_search=400))
    with closing(index), closing(file):
        found = {}
        for width, answers in ((5, 1), (5, 400), (400, 1)):
            index.search_width(width)
            found[width, answers] = {
                position
                for position, answer in enumerate(index.nearest(vectors, answers))
                if answer[0][0] == record_id(texts[position])
            }
        assert len(found[5, 1]) < len(found[5, 400])
        assert found[5, 400] == found[400, 1]


def test_new_texts_those_without_links_and_those_known_are_asked_and_no_others(tmp_path, monkeypatch):
    count = 60
    texts = [f"text {number}" for number in range(count)]
    unreachable = {record_id(texts[position]) for position in (7, 8)}

    def answer(index: ChromaIndex, vectors: np.ndarray, limit: int) -> list[list[tuple[str, float]]]:
        answers = nearest(index, vectors, limit + len(unreachable))
        return [[found for found in answer if found[0] not in unreachable][:limit] for answer in answers]

    monkeypatch.setattr(ChromaIndex, "nearest", answer)
    index, file = opened(tmp_path, texts, random_vectors(count))
    with closing(index), closing(file):
        assert index.poorly_linked(FEW_LINKS) == {}
        found = measure_recall(index, texts, file, range(count), search_width=200, start=count - 1)
        assert (found.asked, found.missed, found.at_ten) == (1, (), None)
        monkeypatch.setattr(ChromaIndex, "poorly_linked", lambda *_: {record_id(texts[7]): 0, record_id(texts[9]): 0})
        found = measure_recall(index, texts, file, range(count), search_width=200, start=count - 1, known=[6, 8, 9])
        # 6 is found again; 9 was missed before, and nothing links to it.
        assert (found.asked, found.missed) == (4, (7, 8, 9))


def test_what_lost_its_last_link_to_an_insertion_is_found_without_asking_all(tmp_path):
    """Labelled numbers are near each other, and an index with few neighbours drops links to some; chromadb 1.5.9."""
    numbers = np.random.default_rng(1)
    texts = [f"REF {numbers.integers(16**10):010X}" for _ in range(1_500)]
    vectors = HashingEmbedder(256).embed(texts)
    index, file = opened(tmp_path, texts, vectors, IndexParameters(max_neighbors=5, ef_construction=5, ef_search=50))
    with closing(index), closing(file):
        whole = measure_recall(index, texts, file, range(len(texts)), search_width=50)
        without = {texts.index(text) for text in texts if record_id(text) in index.poorly_linked(0)}
        lost = without & set(whole.missed)
        assert len(lost) > 5
        part = measure_recall(index, texts, file, range(len(texts)), search_width=50, start=len(texts) - 1)
        assert part.asked < len(texts) / 2
        assert lost <= set(part.missed) <= set(whole.missed)


def test_an_index_of_which_records_were_deleted_has_all_of_them_asked(tmp_path):
    texts = [f"text {number}" for number in range(20)]
    index, file = opened(tmp_path, texts, random_vectors(20))
    with closing(index), closing(file):
        index.collection.delete(ids=[record_id(texts[7])])
        assert index.poorly_linked(0).keys() == {record_id(text) for text in texts} - {record_id(texts[7])}


def test_a_text_without_a_record_is_found_by_that_of_another_with_its_vector(tmp_path):
    vectors = random_vectors(9)
    vectors[4] = vectors[3]
    texts = [f"text {number}" for number in range(9)]
    index, file = opened(tmp_path, texts, vectors)
    with closing(index), closing(file):
        index.collection.delete(ids=[record_id(texts[4])])
        for records, missed in (([0, 1, 2, 3, 5, 6, 7, 8], ()), (range(9), (4,))):
            assert measure_recall(index, texts, file, records, search_width=200).missed == missed


def cased(word: str, count: int) -> list[str]:
    """Texts that differ in case only, so that the hashing embedder gives all of them one vector."""
    letters = [place for place, letter in enumerate(word) if letter.isalpha()]
    return [
        "".join(
            letter.upper() if place in letters and number >> letters.index(place) & 1 else letter
            for place, letter in enumerate(word)
        )
        for number in range(count)
    ]


def test_two_thousand_texts_with_one_vector_hold_up_no_collection_and_all_are_found(tmp_path):
    """With a record a text, 1,000 such texts made the strongest index lose others (docs/facts.md)."""
    numbers = np.random.default_rng(1)
    words = ["oat", "milk", "bread", "tea", "card", "credit", "total", "visa", "soap", "rice", "egg", "ham"]
    others = {f"{' '.join(numbers.choice(words, 2))} {numbers.integers(1, 9_999) / 100:.2f}" for _ in range(2_200)}
    equal = cased("credit card visa", 2_000)
    texts = [*equal, *sorted(others)[:2_000]]
    texts = [texts[number] for number in numbers.permutation(len(texts))]
    parts = [texts[start : start + 500] for start in range(0, len(texts), 500)]
    receipts = [receipt(number, part, HashingEmbedder().embed(part)) for number, part in enumerate(parts, 1)]
    copy = filled_copy(tmp_path / "work", *receipts)
    with closing(copy):
        copy.seal(lambda: None)
        assert judge(inspection_of(copy, tmp_path)) == Verdict()
    pointer = publish(tmp_path, tmp_path / "root", *receipts)
    directory = version_path(tmp_path / "root", "lines", pointer.version)
    published = PublishedCollection("lines", pointer, directory, tmp_path / "private", exact_bytes=0)
    with closing(published):
        # Case variants share a record, and so do equal prices of two word orders that embed alike.
        assert published.open_index().count <= 2_001
        (hits,) = published.query(HashingEmbedder().embed(equal[:1]), limit=2_000)
        assert {hit.text for hit in hits} == set(equal)


def test_a_version_without_the_table_of_vectors_has_its_index_built_again(tmp_path):
    """The first files of layout 2 had none."""
    texts = ["TOTAL", "total", "milk"]
    pointer = publish(tmp_path, tmp_path / "root", receipt(1, texts, HashingEmbedder().embed(texts)))
    version = version_path(tmp_path / "root", "lines", pointer.version)
    with closing(sqlite3.connect(version / ROWS_NAME)) as connection:
        connection.execute("DROP TABLE vectors")
    published = PublishedCollection("lines", pointer, version, tmp_path / "private", exact_bytes=0)
    with closing(published):
        assert (published.database.distinct.noted, published.database.distinct.records()) == (0, [0, 1, 2])
        (hits,) = published.query(HashingEmbedder().embed(["milk"]), limit=1)
        assert [hit.text for hit in hits] == ["milk"]
    copy = WorkingCopy("lines", parent=tmp_path / "next", dimensions=HashingEmbedder().dimensions, source=None)
    copy.close()
    shutil.copytree(version, copy.directory, dirs_exist_ok=True)
    copy.reopen()
    with closing(copy):
        assert copy.text_count == 3
        copy.seal(lambda: None)
        assert judge(inspection_of(copy, tmp_path)) == Verdict()


def lost_by(path: Path, parameters: dict[str, Any], vectors: np.ndarray) -> int:
    """How many of the last thousand are not found by their own vector, in a collection of Chroma alone."""
    client = chroma_client(path)
    try:
        made = client.create_collection(
            "lines", embedding_function=None, configuration={"hnsw": {"space": "cosine"} | parameters}
        )
        order = np.random.default_rng(2).permutation(len(vectors))
        for start in range(0, len(vectors), 500):
            part = order[start : start + 500]
            made.add(ids=list(map(str, part)), embeddings=vectors[part])
        asked = range(len(vectors) - 1_000, len(vectors))
        answers = made.query(query_embeddings=vectors[asked], n_results=1, include=[])["ids"]
        return sum(not answer or answer[0] != str(number) for number, answer in zip(asked, answers, strict=True))
    finally:
        client.close()


def test_chroma_loses_records_among_many_equal_vectors_and_none_when_each_vector_is_there_once(tmp_path):
    """Chroma's own behaviour, chromadb 1.5.9 (hnswlib's neighbour selection, Malkov and Yashunin, arXiv 1603.09320).

    A thousand equal vectors become each other's only neighbours, and no path leads through them: of a thousand other
    vectors 533 were lost with the default parameters. A release that changes this makes one record a text needless.
    """
    assert chromadb.__version__ == "1.5.9", "another release: measure again, and change docs/facts.md"
    others = random_vectors(1_001, 32)
    equal = np.tile(others[:1], (1_000, 1))
    assert lost_by(tmp_path / "equal", {}, np.concatenate([equal, others[1:]])) > 100
    assert lost_by(tmp_path / "once", {}, others) == 0
