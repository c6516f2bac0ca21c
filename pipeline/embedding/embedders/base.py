"""What every embedder is. Its model and dimensions are stored with each delta and collection, and are never mixed."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


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
            RetryableError: EMBEDDING_* when the embedder cannot do it now.
        """
        ...
