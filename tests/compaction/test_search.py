"""Search of a published collection; a failure hides a row that stands there, or shows what a filter leaves out."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.collections.layout import version_path
from pipeline.collections.published import PublishedCollection
from pipeline.collections.receipts import ReceiptKey
from pipeline.collections.search import Filter, Hit, fuse, is_coincidence, put_first
from pipeline.embedding.embedders.hashing import HashingEmbedder
from tests.compaction.copies import publish, receipt

EMBEDDER = HashingEmbedder()
RECEIPTS: list[tuple[list[str], str]] = [
    (["GREENLEAF MARKET", "OAT MILK 1L", "TOTAL 12.50", "VISA 4929"], "Greenleaf Market"),
    (["Corner Shop", "oat milk", "Milk", "TOTAL 3.10"], "Corner Shop"),
    (["HARDWARE & CO", "OAT MLK 1L", "NAILS 40MM", "TOTAL 12.05"], "Hardware & Co"),
    ([f"item {number:03d} of a long list" for number in range(120)], "Warehouse"),
]
Open = Callable[..., PublishedCollection]


@pytest.fixture(scope="module")
def open_it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    path = tmp_path_factory.mktemp("search")
    pointer = publish(
        path,
        path / "root",
        *[
            receipt(number, texts, EMBEDDER.embed(texts), merchant_name=merchant)
            for number, (texts, merchant) in enumerate(RECEIPTS, 1)
        ],
    )
    opened: list[PublishedCollection] = []

    def open_one(**options: int) -> PublishedCollection:
        directory = version_path(path / "root", "lines", pointer.version)
        opened.append(PublishedCollection("lines", pointer, directory, path / "private", **options))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture(scope="module")
def collection(open_it: Open) -> PublishedCollection:
    return open_it()


def search(collection: PublishedCollection, text: str, limit: int = 10, **options: Any) -> list[Hit]:
    return collection.search(text, EMBEDDER.embed([text])[0], limit=limit, **options)


def texts_of(hits: list[Hit]) -> list[str]:
    return [hit.text for hit in hits]


def test_texts_that_are_the_query_come_first_then_those_that_contain_it_then_what_is_near(collection):
    found = texts_of(search(collection, "Oat  Milk"))
    assert found[:2] == ["oat milk", "OAT MILK 1L"]
    assert "OAT MLK 1L" in found[2:6]


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("12.05", "TOTAL 12.05"),
        ("4929", "VISA 4929"),
        ("&", "HARDWARE & CO"),
        ("40mm", "NAILS 40MM"),
        ("item 077", "item 077 of a long list"),
        ("GREENLAEF MARKT", "GREENLEAF MARKET"),
    ],
)
def test_what_stands_in_a_receipt_is_the_first_hit_and_so_is_a_misspelt_name(collection, typed, first):
    assert texts_of(search(collection, typed, limit=1)) == [first]


def test_each_mode_asks_what_it_says(collection):
    assert texts_of(search(collection, "4929", mode="text")) == ["VISA 4929"]
    assert search(collection, "zzz", mode="text") == []
    near = texts_of(search(collection, "oat milk", mode="vector", limit=3))
    assert near[0] == "oat milk"
    (by_vector,) = collection.query(EMBEDDER.embed(["oat milk"]), limit=3)
    assert near == texts_of(by_vector)


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_a_filter_is_exact_although_its_only_rows_are_ranked_last(collection, mode):
    only = Filter(merchants=("Corner Shop",))
    found = search(collection, "item of a long list TOTAL", limit=99, mode=mode, only=only)
    assert set(texts_of(found)) <= {"Corner Shop", "oat milk", "Milk", "TOTAL 3.10"}
    assert "TOTAL 3.10" in texts_of(found)
    if mode != "text":
        assert len(found) == 4
    everything = search(collection, "item of a long list TOTAL", limit=60, mode="vector")
    assert not set(texts_of(found)) & set(texts_of(everything)), "without the filter they are not among the best"


def test_filters_by_image_and_receipt_leave_out_every_other_row(collection):
    prefix = str(UUID(int=3))[:-1]
    hits = search(collection, "total", limit=200, only=Filter(image_prefix=str(UUID(int=3))))
    assert {hit.metadata["image_id"] for hit in hits} == {str(UUID(int=3))}
    hits = search(collection, "total", limit=200, only=Filter(image_prefix=prefix))
    assert {hit.metadata["image_id"] for hit in hits} == {str(UUID(int=number)) for number in (1, 2, 3, 4)}
    assert search(collection, "total", only=Filter(receipt_id=2)) == []
    assert search(collection, "total", only=Filter(merchants=())) == []


def test_nothing_farther_than_the_maximum_distance_is_shown(collection):
    hits = search(collection, "oat milk", limit=200, maximum_distance=0.4)
    assert "oat milk" in texts_of(hits)
    assert all(hit.distance <= 0.4 for hit in hits)
    assert len(hits) < len(search(collection, "oat milk", limit=200))


def test_distances_are_those_of_an_exact_scan(collection):
    asked = EMBEDDER.embed(["oat milk"])[0].astype(float)
    for hit in search(collection, "oat milk", limit=50):
        vector = EMBEDDER.embed([hit.text])[0].astype(float)
        assert hit.distance == pytest.approx(1 - asked @ vector, abs=1e-5)


def test_a_row_of_each_receipt_is_shown_when_they_have_one_text(tmp_path):
    pointer = publish(
        tmp_path,
        tmp_path / "root",
        *[receipt(number, ["TOTAL"], EMBEDDER.embed(["TOTAL"])) for number in (1, 2, 3)],
    )
    directory = version_path(tmp_path / "root", "lines", pointer.version)
    with closing(PublishedCollection("lines", pointer, directory, tmp_path / "private")) as published:
        assert (published.count, published.text_count) == (3, 1)
        assert [hit.metadata["image_id"] for hit in search(published, "total", limit=2)] == [
            str(UUID(int=1)),
            str(UUID(int=2)),
        ]


@pytest.mark.parametrize("typed", ["oat milk", "TOTAL 12", "item 077", "greenleaf", "x"])
@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
@pytest.mark.parametrize("only", [Filter(), Filter(merchants=("Corner Shop",))], ids=["all", "one merchant"])
def test_above_the_exact_limit_the_answers_are_the_same(open_it, collection, typed, mode, only):
    approximate = open_it(exact_bytes=0)
    assert search(approximate, typed, mode=mode, only=only) == search(collection, typed, mode=mode, only=only)
    asked = EMBEDDER.embed([typed, "milk"])
    for found, exact in zip(approximate.query(asked, 10, only), collection.query(asked, 10, only), strict=True):
        # A product of other shapes rounds otherwise, so of texts that are equally near any order is right.
        assert [hit.distance for hit in found] == pytest.approx([hit.distance for hit in exact], abs=1e-5)
        nearer = [{hit.id for hit in hits if hit.distance < exact[-1].distance - 1e-5} for hits in (found, exact)]
        assert nearer[0] == nearer[1]


@pytest.mark.parametrize(("below", "opens"), [(0, False), (1, True)])
def test_the_bytes_of_the_vectors_decide_whether_the_index_is_asked(open_it, collection, monkeypatch, below, opens):
    vectors = collection.vectors
    assert vectors.size == len(vectors) * vectors.dimensions * 4
    published = open_it(exact_bytes=vectors.size - below)
    opened: list[bool] = []
    open_index = published.open_index
    monkeypatch.setattr(published, "open_index", lambda: opened.append(True) or open_index())
    search(published, "milk", mode="vector")
    assert bool(opened) is opens


@pytest.mark.parametrize("typed", ['"', "a OR b", "NEAR(a b)", "-", "*", "\0", "\u0301", "'; DROP TABLE rows; --", "("])
def test_signs_that_mean_something_to_the_index_are_letters_like_any_other(collection, typed):
    for mode in ("hybrid", "text"):
        search(collection, typed, mode=mode)
    assert collection.count == sum(len(texts) for texts, _ in RECEIPTS)


def test_a_receipt_is_read_with_all_its_rows_in_order(collection):
    key = ReceiptKey(str(UUID(int=1)), 1)
    assert [row.text for row in collection.receipt(key)] == RECEIPTS[0][0]
    assert collection.receipt(ReceiptKey(str(UUID(int=9)), 1)) == []
    assert [name.image_id for name in collection.receipts(str(UUID(int=1)))] == [str(UUID(int=1))]
    assert [(merchant.name, merchant.receipts) for merchant in collection.merchants()] == [
        (name, 1) for name in sorted(name for _, name in RECEIPTS)
    ]


def test_an_index_that_is_opened_is_removed_from_the_disk_when_the_collection_closes(open_it, tmp_path):
    published = open_it(exact_bytes=0)
    index = published.open_index()
    directory: Path = index._directory
    assert directory.exists()
    published.close()
    assert not directory.exists()


RANKINGS = st.lists(st.lists(st.integers(0, 20), unique=True, max_size=10), max_size=3)


@given(RANKINGS)
def test_a_fusion_holds_what_any_ranking_holds_once(rankings):
    fused = fuse(rankings)
    assert len(set(fused)) == len(fused)
    assert set(fused) == {position for ranking in rankings for position in ranking}


def test_what_two_rankings_hold_stands_before_what_one_holds_and_the_lower_number_before_its_equal():
    assert fuse([[1, 2, 3], [3, 4]])[0] == 3
    assert fuse([[7], [5]]) == [5, 7]
    assert fuse([[3, 1, 2]]) == [3, 1, 2]
    assert fuse([]) == []
    assert put_first([1, 2, 3], [3, 4]) == [3, 4, 1, 2]


@pytest.mark.parametrize(
    ("query", "text", "distance", "is_one"),
    [
        ("qqqq zzzz", "GREENLEAF MARKET", 0.83, True),
        ("qqqq zzzz", "GREENLEAF MARKET", 0.65, False),
        ("oat milk", "ROLLED OATS 42 OZ", 0.95, False),
        ("oat milk", "3 pains au chocolat", 0.79, True),
        ("oatmilc", "OATMILK", 0.7, False),
        ("é1", "CAFE12", 1.0, False),
        ("z9", "CAFE12", 0.9, True),
        ("oat milk", "GREENLEAF", float("nan"), False),
    ],
)
def test_what_is_near_by_hashing_alone_is_a_coincidence(query, text, distance, is_one):
    assert is_coincidence(query, text, distance) == is_one


def test_a_text_that_is_the_query_but_for_one_typing_error_comes_before_what_is_near_by_vector(tmp_path):
    texts = ["TAX AMT", "TAX AMOUNT", "AMONG THEM"]
    pointer = publish(tmp_path, tmp_path / "root", receipt(1, texts, EMBEDDER.embed(texts)))
    directory = version_path(tmp_path / "root", "lines", pointer.version)
    with closing(PublishedCollection("lines", pointer, directory, tmp_path / "private")) as published:
        assert search(published, "TAX AMONT", mode="vector")[0].text == "TAX AMT"
        assert search(published, "TAX AMONT")[0].text == "TAX AMOUNT"
        assert search(published, "TAX AMONT", mode="text")[0].text == "TAX AMOUNT"
