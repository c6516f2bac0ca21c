"""If these fail, a receipt gets no merchant although one is printed on it, or a failure looks like "no merchant"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from pipeline.embedding.embedders.hashing import HashingEmbedder
from pipeline.errors import ErrorCode
from pipeline.merchants.names import KnownMerchant
from pipeline.merchants.resolution import Merchant, MerchantResolver, Snapshots
from tests.merchants.receipts import rows

RECEIPT = rows("GREENLEAF MARKET", "412 Harbor View Road", "Port Alden, OR 97420", "TOTAL 9.00")
VECTORS = np.eye(4, dtype=np.float32)


@dataclass(frozen=True)
class Found:
    distance: float
    metadata: Mapping[str, str | int | float | bool]


@dataclass
class Published:
    """A version whose every row is near everything and has the same merchant."""

    version: str = "1"
    names: tuple[str, ...] = ()
    neighbour: str | None = None
    read: int = 0
    asked: list[int] = field(default_factory=list)

    def refresh(self) -> "Published":
        return self

    def merchants(self) -> Sequence[KnownMerchant]:
        self.read += 1
        return [KnownMerchant(name=name, receipts=1, given=True) for name in self.names]

    def query(self, vectors: np.ndarray, limit: int) -> list[list[Found]]:
        self.asked.append(len(vectors))
        metadata = {} if self.neighbour is None else {"merchant_name": self.neighbour, "merchant_source": "given"}
        return [[Found(0.01, metadata)] for _ in vectors]


class NothingPublished:
    def refresh(self) -> None:
        return None


class WrongCredential:
    def refresh(self) -> None:
        raise PermissionError("the credential is wrong")


class FailsInMerchants(Published):
    def merchants(self) -> Sequence[KnownMerchant]:
        raise OSError("merchants cannot be read")


class FailsInQuery(Published):
    def query(self, vectors: np.ndarray, limit: int) -> list[list[Found]]:
        raise RuntimeError("the index cannot be read")


def test_a_printed_name_needs_no_vector_index() -> None:
    published = Published(names=("GREENLEAF MARKET",), neighbour="HOLLOW OAK HARDWARE")
    assert MerchantResolver(snapshots=published).resolve(RECEIPT, VECTORS) == Merchant(
        name="GREENLEAF MARKET", source="resolved"
    )
    assert published.asked == []


def test_where_no_name_tells_the_neighbours_of_the_telling_lines_vote() -> None:
    published = Published(names=("HOLLOW OAK HARDWARE",), neighbour="GREENLEAF MARKTPLATZ")
    merchant = MerchantResolver(snapshots=published).resolve(RECEIPT, VECTORS)
    assert merchant == Merchant(name="GREENLEAF MARKTPLATZ", source="resolved")
    assert published.asked == [3]


def test_two_votes_for_a_merchant_that_the_receipt_does_not_name_are_too_few() -> None:
    published = Published(neighbour="XYZ")
    lines = rows("Harbor View Road", "Port Alden", "TOTAL 9.00", "12.40")
    assert MerchantResolver(snapshots=published).resolve(lines, VECTORS) == Merchant(name=None, source="none")
    assert published.asked == [2]


class PublishedReceipt(Published):
    """A version of one receipt, asked by cosine as the product does."""

    merchant = "CORNER BAKERY"
    lines = (
        "CORNER BAKERY",
        "4 Mill Street",
        "Port Alden",
        "Sourdough loaf 5.95",
        "Butter croissant 2.40",
        "Apple tart 3.80",
    )
    embedder = HashingEmbedder()

    def query(self, vectors: np.ndarray, limit: int) -> list[list[Found]]:
        metadata = {"merchant_name": self.merchant, "merchant_source": "given"}
        distances = 1.0 - vectors @ self.embedder.embed(self.lines).T
        return [[Found(float(distance), metadata) for distance in sorted(of_line)[:limit]] for of_line in distances]


@pytest.mark.parametrize(
    "texts",
    [
        ("HARBOR BAKERY", "19 Quay Road", "Sourdough loaf 5.95", "Rye bread 4.10", "TOTAL 10.05"),
        ("HARBOR BAKERY", "19 Quay Road", "Sourdough loaf 6.10", "Butter croissants 2.40", "Apple tart 3.60"),
        ("HARBOR BAKERY", "Sourdough loaf", "Butter croissant", "Apple tart", "TOTAL 12.15"),
        ("HARBOR LOAVES", "Sourdough loaf 5.95", "Butter croissant 2.40", "Apple tart 3.80", "TOTAL 12.15"),
    ],
    ids=["one item", "every item", "items without prices", "another trade"],
)
def test_a_shop_that_sells_the_same_is_not_taken_for_the_known_one(texts: tuple[str, ...]) -> None:
    published = PublishedReceipt(names=(PublishedReceipt.merchant,))
    resolver = MerchantResolver(snapshots=published)
    assert resolver.resolve(rows(*texts), HashingEmbedder().embed(texts)) == Merchant(name=None, source="none")


def test_a_known_merchant_whose_name_is_misread_is_still_told_by_name_and_address() -> None:
    texts = ("C0RMFR BAKERV", "4 Mill Street", "Port Alden", "Rye bread 4.10", "TOTAL 4.10")
    resolver = MerchantResolver(snapshots=PublishedReceipt(names=(PublishedReceipt.merchant,)))
    assert resolver.resolve(rows(*texts), HashingEmbedder().embed(texts)).name == "CORNER BAKERY"


def test_without_vectors_names_alone_decide() -> None:
    published = Published(names=("GREENLEAF MARKET",), neighbour="HOLLOW OAK HARDWARE")
    resolver = MerchantResolver(snapshots=published)
    assert resolver.resolve(RECEIPT, None).name == "GREENLEAF MARKET"
    assert resolver.resolve(RECEIPT[1:], None) == Merchant(name=None, source="none")
    assert published.asked == []


def test_known_names_are_read_once_a_version() -> None:
    published = Published(names=("HOLLOW OAK HARDWARE",))
    resolver = MerchantResolver(snapshots=published)
    for _ in range(3):
        assert resolver.resolve(RECEIPT, VECTORS).name is None
    published.version, published.names = "2", ("GREENLEAF MARKET",)
    for _ in range(3):
        assert resolver.resolve(RECEIPT, VECTORS).name == "GREENLEAF MARKET"
    assert published.read == 2


@pytest.mark.parametrize("lines", [[], rows("12.40", "TOTAL")])
def test_a_receipt_that_tells_nothing_has_no_merchant_and_is_no_failure(lines: list) -> None:
    resolver = MerchantResolver(snapshots=Published(neighbour="A"))
    assert resolver.resolve(lines, VECTORS[: len(lines)]) == Merchant(name=None, source="none")


def test_before_the_first_publication_there_is_no_merchant() -> None:
    assert MerchantResolver(snapshots=NothingPublished()).resolve(RECEIPT, VECTORS).source == "none"


@pytest.mark.parametrize(
    ("snapshots", "reason"),
    [
        (WrongCredential(), "PermissionError: the credential is wrong"),
        (FailsInMerchants(), "OSError: merchants cannot be read"),
        (FailsInQuery(), "RuntimeError: the index cannot be read"),
    ],
    ids=["credential", "merchants", "query"],
)
def test_a_failure_is_recorded_with_its_reason_and_never_looks_like_no_merchant(
    snapshots: Snapshots, reason: str
) -> None:
    merchant = MerchantResolver(snapshots=snapshots).resolve(RECEIPT, VECTORS)
    assert merchant == Merchant(name=None, source="failed", error=f"{ErrorCode.MERCHANT_RESOLUTION_FAILED}: {reason}")
