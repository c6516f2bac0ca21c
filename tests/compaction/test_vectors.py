"""The file of vectors; a failure gives texts the vectors of others, or readers another order than the exact one."""

import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.collections.vectors import BLOCK_VECTORS, VectorFile
from pipeline.errors import ErrorCode, PermanentError
from pipeline.merchants.lines import TELLING_LINES

DIMENSIONS = 3


@pytest.fixture
def vectors(tmp_path: Path) -> Iterator[VectorFile]:
    with closing(VectorFile.create(tmp_path / "v.npy", DIMENSIONS)) as made:
        yield made


def numbered(*numbers: int) -> np.ndarray:
    return np.array([[number, 1, 0] for number in numbers], dtype=np.float32)


def test_what_is_appended_is_read_back_to_the_bit_and_is_a_plain_npy_file(vectors, tmp_path):
    made = np.random.default_rng(1).standard_normal((5, DIMENSIONS)).astype(np.float32)
    vectors.append(made[:2])
    vectors.append(made[2:])
    vectors.append(made[:0])
    assert np.array_equal(vectors.read(0, 5), made)
    assert np.array_equal(vectors.at([4, 0, 4]), made[[4, 0, 4]])
    assert np.array_equal(np.load(tmp_path / "v.npy"), made)
    with closing(VectorFile.open(tmp_path / "v.npy", DIMENSIONS)) as read:
        assert len(read) == len(made)


def test_the_last_vectors_move_into_the_gaps_and_the_file_ends_after_them(vectors, tmp_path):
    vectors.append(numbered(0, 1, 2, 3, 4))
    vectors.remove({4: 1, 3: 0}, 3)
    assert vectors.read(0, 3)[:, 0].tolist() == [3, 4, 2]
    assert np.load(tmp_path / "v.npy")[:, 0].tolist() == [3, 4, 2]
    vectors.remove({}, 0)
    assert (len(vectors), np.load(tmp_path / "v.npy").shape) == (0, (0, DIMENSIONS))
    vectors.append(numbered(9))
    assert vectors.at([0])[0, 0] == 9


def test_of_equally_near_vectors_the_lower_position_comes_first(vectors):
    vectors.append(np.array([[0, 1, 0], [1, 0, 0], [2, 0, 0], [1, 0, 0], [0, 0, 1]], dtype=np.float32))
    ((positions, distances),) = vectors.nearest(np.array([[3, 0, 0]]), 2)
    assert (positions.tolist(), distances.tolist()) == ([1, 2], [0, 0])
    ((positions, _),) = vectors.nearest(np.array([[3, 0, 0]]), 9)
    assert positions.tolist() == [1, 2, 3, 0, 4]


def test_only_the_positions_that_are_asked_for_are_answered(vectors):
    vectors.append(numbered(0, 1, 2, 3))
    ((positions, _),) = vectors.nearest(numbered(9), 9, np.array([0, 2]))
    assert positions.tolist() == [2, 0]


def test_distances_are_right_after_a_change_that_follows_a_scan(vectors):
    vectors.append(numbered(0, 1))
    vectors.nearest(numbered(1), 1)
    vectors.append(np.array([[0, 0, 5]], dtype=np.float32))
    ((positions, distances),) = vectors.nearest(np.array([[0, 0, 1]], dtype=np.float32), 1)
    assert (positions.tolist(), distances.tolist()) == ([2], [0])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.integers(0, 2 * BLOCK_VECTORS + 3), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_the_nearest_are_those_of_a_plain_scan(tmp_path, count, limit, seed):
    numbers = np.random.default_rng(seed)
    made = numbers.integers(1, 4, (count, DIMENSIONS)).astype(np.float32)
    asked = numbers.integers(1, 4, (2, DIMENSIONS)).astype(np.float32)
    with closing(VectorFile.create(tmp_path / "v.npy", DIMENSIONS)) as file:
        file.append(made)
        found = file.nearest(asked, limit)
    for query, (positions, distances) in zip(asked, found, strict=True):
        lengths = np.linalg.norm(made, axis=1) * np.linalg.norm(query)
        exact = 1 - made.astype(float) @ query.astype(float) / lengths
        assert len(set(positions.tolist())) == min(limit, count)
        assert np.allclose(distances, np.sort(exact)[:limit], atol=1e-5)
        assert np.allclose(exact[positions], distances, atol=1e-5)


def corrupted(path: Path, kind: str) -> None:
    content = path.read_bytes()
    if kind == "cut":
        path.write_bytes(content[:-1])
    elif kind == "longer":
        path.write_bytes(content + b"x")
    elif kind == "cut in the header":
        path.write_bytes(content[:20])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "gone":
        path.unlink()
    elif kind == "text":
        path.write_text("these are no vectors\n" * 20)
    elif kind == "a damaged header":
        path.write_bytes(content.replace(b"'shape': (", b"'shape': [((("))
    else:
        arrays = {
            "float64": np.ones((2, DIMENSIONS)),
            "big endian": np.ones((2, DIMENSIONS), dtype=">f4"),
            "another dimension": np.ones((2, DIMENSIONS + 1), dtype=np.float32),
            "one axis": np.ones(2, dtype=np.float32),
            "columns first": np.asfortranarray(np.ones((2, DIMENSIONS), dtype=np.float32)),
        }
        np.save(path, arrays[kind])


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize(
    "kind",
    [
        *("cut", "longer", "cut in the header", "empty", "gone", "text", "a damaged header"),
        *("float64", "big endian", "another dimension", "one axis", "columns first"),
    ],
)
def test_a_file_that_is_not_such_vectors_is_corrupt_and_says_so(vectors, tmp_path, kind, writable):
    vectors.append(numbered(1, 2))
    corrupted(tmp_path / "v.npy", kind)
    with pytest.raises(PermanentError) as caught:
        VectorFile.open(tmp_path / "v.npy", DIMENSIONS, writable=writable)
    assert caught.value.code is ErrorCode.SNAPSHOT_CORRUPT


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.integers(0, 127), st.binary(min_size=1, max_size=3))
def test_whatever_is_damaged_in_a_header_it_is_corrupt_or_still_the_same(tmp_path, place, damage):
    path = tmp_path / "v.npy"
    with closing(VectorFile.create(path, DIMENSIONS)) as file:
        file.append(numbered(1, 2))
    content = path.read_bytes()
    path.write_bytes(content[:place] + damage + content[place + len(damage) :])
    with warnings.catch_warnings():
        # numpy warns of headers that only Python 2 wrote.
        warnings.simplefilter("ignore")
        try:
            with closing(VectorFile.open(path, DIMENSIONS)) as file:
                outcome = len(file)
        except PermanentError as error:
            outcome = error.code
    assert outcome in {2, ErrorCode.SNAPSHOT_CORRUPT}


def test_what_is_read_in_pieces_is_what_is_mapped(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.collections.vectors.BLOCK_VECTORS", 7)
    random = np.random.default_rng(5)
    path = tmp_path / "pieces.npy"
    with closing(VectorFile.create(path, 4)) as file:
        file.append(random.normal(size=(40, 4)))
    queries = random.normal(size=(3, 4)).astype(np.float32)
    with (
        closing(VectorFile.open(path, 4)) as mapped,
        closing(VectorFile.open(path, 4, is_mapped=False)) as pieces,
    ):
        assert np.array_equal(pieces.at([9, 0, 39]), mapped.at([9, 0, 39]))
        assert pieces.at([]).shape == (0, 4)
        for among in (None, np.array([3, 5, 8])):
            for one, other in zip(pieces.nearest(queries, 5, among), mapped.nearest(queries, 5, among), strict=True):
                assert np.array_equal(one[0], other[0])
                assert np.allclose(one[1], other[1])


SCAN = """
import sys
from pathlib import Path
import numpy as np
from pipeline.collections.vectors import VectorFile

def held() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) * 1024

path, dimensions, queries = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
file, asked = VectorFile.open(path, dimensions), np.ones((queries, dimensions), dtype=np.float32)
before = most = held()
sample = VectorFile._distances
def sampled(*arguments):
    global most
    found = sample(*arguments)
    most = max(most, held())
    return found
VectorFile._distances = sampled
assert len(file.nearest(asked, 3)) == queries
file.close()
print(most - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how much memory is a process's own")
def test_a_scan_holds_a_part_of_the_file_and_not_all_of_it(tmp_path):
    """The embed function asks so, five lines at most; its memory must not grow with the collection."""
    count, dimensions, queries = 300_000, 64, TELLING_LINES
    path = tmp_path / "vectors.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (count, dimensions)}
        )
        file.truncate(file.tell() + count * dimensions * 4)
    arguments = [sys.executable, "-c", SCAN, str(path), str(dimensions), str(queries)]
    held = int(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout)
    # The file has 77 MB.
    assert held < count * dimensions * 4 / 3
