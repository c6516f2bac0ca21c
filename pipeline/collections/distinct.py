"""Which texts have a record in the index: the first of those whose vectors are equal, as a table of the SQLite file.

Texts that differ in case, blanks or Unicode form may have one vector, depending on the embedder. Some hundred records
with equal vectors cut others off in an HNSW index (docs/facts.md, "Equal vectors in an HNSW index"), so a vector is
indexed once. The table knows no vectors, only their digests, and is brought up to the texts together with the index.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence

import numpy as np

from pipeline.collections.rows import VARIABLES_AT_ONCE

DIGEST_BYTES = 16


class DistinctVectors:
    """Digests of the texts' vectors, by position, in an open file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @property
    def noted(self) -> int:
        """Texts whose vectors were noted; fewer than there are texts until the index is brought up to them."""
        return self._connection.execute("SELECT COUNT(*) FROM vectors").fetchone()[0]

    def forget(self) -> None:
        """Begin again: positions have moved."""
        self._connection.execute("DELETE FROM vectors")

    def note(self, start: int, vectors: Iterable[np.ndarray]) -> list[int]:
        """Note vectors, inside a transaction.

        Args:
            start: the position of the first.
            vectors: of the positions from there on.

        Returns:
            The positions whose vectors no lower position has, ascending: these texts get records.
        """
        first: list[int] = []
        for position, vector in enumerate(vectors, start):
            digest = hashlib.blake2b(vector.tobytes(), digest_size=DIGEST_BYTES).digest()
            if self._connection.execute("SELECT 1 FROM vectors WHERE digest = ?", (digest,)).fetchone() is None:
                first.append(position)
            self._connection.execute("INSERT INTO vectors (position, digest) VALUES (?, ?)", (position, digest))
        return first

    def records(self) -> list[int]:
        """The positions of the texts that have records, ascending; all, in a file from before vectors were noted."""
        statement = (
            "SELECT MIN(position) FROM vectors GROUP BY digest ORDER BY 1"
            if self.noted
            else "SELECT position FROM texts ORDER BY 1"
        )
        return [row[0] for row in self._connection.execute(statement)]

    def equal_to(self, positions: Sequence[int]) -> set[int]:
        """These positions and all whose vectors are equal to one of theirs."""
        found = set(positions)
        for start in range(0, len(positions), VARIABLES_AT_ONCE):
            part = positions[start : start + VARIABLES_AT_ONCE]
            marks = ", ".join("?" * len(part))
            equal = f"SELECT digest FROM vectors WHERE position IN ({marks})"  # noqa: S608 - marks
            statement = f"SELECT position FROM vectors WHERE digest IN ({equal})"  # noqa: S608 - ours
            found.update(row[0] for row in self._connection.execute(statement, list(part)))
        return found
