"""Vectors that were paid for in a call that failed as a whole. In memory only: another process pays for them again."""

import threading
from collections.abc import Iterable, Sequence

import numpy as np

MAXIMUM_KEPT = 16_384
"""Texts; 100 MB at 1,536 dimensions. The largest receipts have a few thousand."""


class KeptVectors:
    """Remembers the vectors of a failed call until a later call for the same texts succeeds; the oldest go first.

    Args:
        maximum: texts remembered at once.
    """

    def __init__(self, maximum: int = MAXIMUM_KEPT) -> None:
        self._maximum = maximum
        self._vectors: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._vectors)

    def fill(self, texts: Sequence[str], vectors: np.ndarray) -> np.ndarray:
        """Write the remembered vectors into the rows of their texts.

        Args:
            texts: any texts.
            vectors: texts x dimensions; changed in place.

        Returns:
            For each text, whether its row was written.
        """
        with self._lock:
            found = [self._vectors.get(text) for text in texts]
        for row, vector in enumerate(found):
            if vector is not None:
                vectors[row] = vector
        return np.array([vector is not None for vector in found], dtype=bool)

    def keep(self, texts: Iterable[str], vectors: np.ndarray) -> None:
        """Remember texts and their vectors, a row a text."""
        with self._lock:
            for text, vector in zip(texts, vectors, strict=True):
                self._vectors.pop(text, None)
                self._vectors[text] = vector.copy()
            for oldest in list(self._vectors)[: -self._maximum]:
                del self._vectors[oldest]

    def forget(self, texts: Iterable[str]) -> None:
        """Forget texts whose vectors were delivered."""
        with self._lock:
            if self._vectors:
                for text in texts:
                    self._vectors.pop(text, None)
