"""What every embedder is. Its model and dimensions are stored with each delta and collection, and are never mixed."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from pipeline.errors import RetryableError


class Embedder(Protocol):
    """Turns texts into vectors."""

    @property
    def model(self) -> str:
        """The model's name, stored with every vector it made."""
        ...

    @property
    def dimensions(self) -> int:
        """Numbers a vector."""
        ...

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts.

        Returns:
            len(texts) x dimensions, float32, row ``i`` for ``texts[i]``, each of length 1 where the model makes it so.

        Raises:
            PermanentError: EMBEDDING_REJECTED when these texts can never be embedded.
            PartlyEmbeddedError: EMBEDDING_* when it cannot embed all of them now, with the vectors that it has.
            RetryableError: EMBEDDING_* when it can embed none of them now.
        """
        ...


class PartlyEmbeddedError(RetryableError):
    """Some texts were embedded before the embedder had to give up; those need not wait for the others.

    Args:
        cause: why it gave up; this error has the same code, value, rule and way out.
        vectors: texts x dimensions, float32.
        known: for each text, whether its row of ``vectors`` is its vector.
    """

    def __init__(self, cause: RetryableError, *, vectors: np.ndarray, known: np.ndarray) -> None:
        super().__init__(cause.code, value=cause.value, rule=cause.rule, way_out=cause.way_out)
        self.known = known
        self.rows = vectors[known]
