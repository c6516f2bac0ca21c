"""The vectors of a collection's distinct texts: one ``.npy`` file, a text's vector at its position.

The file holds the numbers exactly as the embedder gave them and is the authority on them. It knows no texts: which text
is at which position is in ``rows.py``. Readers map it and never load it whole; a working copy appends to it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Self

import numpy as np

from pipeline.errors import ErrorCode, PermanentError

NUMBER = np.dtype("<f4")
BLOCK_VECTORS = 1_024
"""Vectors that are read or multiplied at once: 6 MB at 1,536 dimensions. A scan in blocks of 4,096, 25 MB, is no faster
(measured)."""

SCANNED_SHARE = 0.5
"""Above this share of the file the whole is scanned in blocks, because what is asked for would have to be copied."""


class VectorFile:
    """A file of vectors, open for reading, or for writing by the one process that owns it. Close it."""

    def __init__(self, path: Path, dimensions: int, *, writable: bool, is_mapped: bool = True) -> None:
        self._path = path
        self._is_mapped = is_mapped
        self._dimensions = dimensions
        self._file = path.open("r+b" if writable else "rb")
        try:
            self._count, self._offset = self._read_header()
        except BaseException:
            self._file.close()
            raise
        self._norms: np.ndarray | None = None

    @classmethod
    def create(cls, path: Path, dimensions: int) -> Self:
        """Make an empty file."""
        with path.open("wb") as file:
            file.write(_header(0, dimensions))
        return cls(path, dimensions, writable=True)

    @classmethod
    def open(cls, path: Path, dimensions: int, *, writable: bool = False, is_mapped: bool = True) -> Self:
        """Open a file that is there.

        Args:
            path: the file.
            dimensions: numbers a vector.
            writable: for the one process that owns it.
            is_mapped: False reads pieces instead: slower, and nothing of the file stays in the process's memory.

        Raises:
            PermanentError: SNAPSHOT_CORRUPT when it is not a whole file of such vectors.
        """
        try:
            return cls(path, dimensions, writable=writable, is_mapped=is_mapped)
        # numpy parses the header as Python, so a damaged one fails in many ways.
        except (ValueError, TypeError, SyntaxError, RecursionError, TokenError, FileNotFoundError) as error:
            raise PermanentError(
                ErrorCode.SNAPSHOT_CORRUPT,
                value=f"{path}: {error}",
                rule=f"it is a whole .npy file of float32 vectors with {dimensions} dimensions",
                way_out="restore the version from S3 or from a backup",
            ) from error

    def __len__(self) -> int:
        """How many vectors there are."""
        return self._count

    @property
    def dimensions(self) -> int:
        """Numbers a vector."""
        return self._dimensions

    @property
    def size(self) -> int:
        """Bytes of all vectors: what an exact scan reads."""
        return self._position(self._count) - self._position(0)

    def append(self, vectors: np.ndarray) -> None:
        """Add vectors at the end."""
        self._file.seek(self._position(self._count))
        self._file.write(np.ascontiguousarray(vectors, dtype=NUMBER).tobytes())
        self._count += len(vectors)
        self._changed()

    def remove(self, moves: Mapping[int, int], count: int) -> None:
        """Take vectors away: move the last ones into the gaps, then cut the file.

        Args:
            moves: from which position to which; no target is a source.
            count: vectors afterwards.
        """
        for source, target in moves.items():
            self._file.seek(self._position(source))
            vector = self._file.read(self._dimensions * NUMBER.itemsize)
            self._file.seek(self._position(target))
            self._file.write(vector)
        self._count = count
        self._changed()

    def read(self, start: int, stop: int) -> np.ndarray:
        """The vectors of positions ``start`` up to ``stop``, read into memory."""
        self._file.seek(self._position(start))
        size = (stop - start) * self._dimensions * NUMBER.itemsize
        return np.frombuffer(self._file.read(size), dtype=NUMBER).reshape(-1, self._dimensions)

    def at(self, positions: Sequence[int] | np.ndarray) -> np.ndarray:
        """The vectors at these positions, in this order."""
        if not self._is_mapped:
            found = [self.read(int(position), int(position) + 1) for position in positions]
            return np.concatenate(found or [np.empty((0, self._dimensions), dtype=NUMBER)])
        return np.array(self._mapped()[np.asarray(positions, dtype=np.int64)])

    def blocks(self, size: int = BLOCK_VECTORS) -> Iterator[tuple[int, np.ndarray]]:
        """All vectors in pieces, each with the position of its first."""
        for start in range(0, self._count, size):
            yield start, self.read(start, min(start + size, self._count))

    def nearest(
        self, queries: np.ndarray, limit: int, among: np.ndarray | None = None
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """The exact nearest positions of each query by cosine distance, nearest first.

        Args:
            queries: queries x dimensions.
            limit: positions a query, at most.
            among: ask only these positions; None asks all.

        Returns:
            For each query its positions and their distances, 0 to 2; the lower position first when two are equal.
        """
        distances = self._distances(queries, among)
        found = []
        for row in distances:
            if limit < len(row):
                # What is as near as the last one stays a candidate, so that the order does not hang on the partition.
                bound = np.partition(row, limit - 1)[limit - 1]
                candidates = np.flatnonzero(row <= bound)
            else:
                candidates = np.arange(len(row))
            order = candidates[np.argsort(row[candidates], kind="stable")][:limit]
            found.append((order if among is None else np.asarray(among)[order], row[order]))
        return found

    def close(self) -> None:
        """Close the file. What was mapped is released with its last array."""
        self._norms = None
        self._file.close()

    def _distances(self, queries: np.ndarray, among: np.ndarray | None) -> np.ndarray:
        asked = np.asarray(queries, dtype=np.float32)
        lengths = np.linalg.norm(asked, axis=1, keepdims=True)
        asked = asked / np.where(lengths == 0, 1, lengths)
        if among is not None and len(among) > SCANNED_SHARE * self._count:
            return self._distances(queries, None)[:, np.asarray(among, dtype=np.int64)]
        if among is not None:
            chosen = self.at(among)
            return 1 - (asked @ chosen.T) / _norms(chosen)
        distances = np.empty((len(asked), self._count), dtype=np.float32)
        norms = self._norms
        if norms is None:
            norms = np.concatenate([_norms(block) for _, block in self.blocks()] or [np.empty(0, NUMBER)])
            self._norms = norms
        mapped = self._mapped() if self._is_mapped else None
        for start in range(0, self._count, BLOCK_VECTORS):
            stop = min(start + BLOCK_VECTORS, self._count)
            block = self.read(start, stop) if mapped is None else mapped[start:stop]
            distances[:, start:stop] = 1 - (asked @ block.T) / norms[start:stop]
        return distances

    def _mapped(self) -> np.ndarray:
        if self._count == 0:
            return np.empty((0, self._dimensions), dtype=NUMBER)
        shape = (self._count, self._dimensions)
        return np.memmap(self._file, dtype=NUMBER, mode="r", offset=self._offset, shape=shape)

    def _position(self, position: int) -> int:
        return self._offset + position * self._dimensions * NUMBER.itemsize

    def _changed(self) -> None:
        self._norms = None
        self._file.truncate(self._position(self._count))
        self._file.seek(0)
        # numpy leaves room in the header for a growing number of vectors, so that its length never changes.
        self._file.write(_header(self._count, self._dimensions))
        self._file.flush()

    def _read_header(self) -> tuple[int, int]:
        version = np.lib.format.read_magic(self._file)
        if version != (1, 0):
            raise ValueError(f".npy version {version}")
        shape, is_fortran, kind = np.lib.format.read_array_header_1_0(self._file)
        if is_fortran or kind != NUMBER or shape[1:] != (self._dimensions,):
            raise ValueError(f"an array of {kind} with shape {shape}")
        offset = self._file.tell()
        size = self._path.stat().st_size
        if size != offset + shape[0] * self._dimensions * NUMBER.itemsize:
            raise ValueError(f"{size} bytes for {shape[0]} vectors")
        return shape[0], offset


def _header(count: int, dimensions: int) -> bytes:
    from io import BytesIO  # noqa: PLC0415 - only writers need it

    header = BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": NUMBER.str, "fortran_order": False, "shape": (count, dimensions)}
    )
    return header.getvalue()


def _norms(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1)
    return np.where(lengths == 0, np.float32(1), lengths)
