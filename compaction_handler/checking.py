"""Whether a closed copy may be published: opened, counted and read in a child process, through a view of its own.

A broken Chroma directory may crash whoever opens it, and opening is a write; the merge does neither to what it
publishes. The child is started early, because importing Chroma takes longer than the check, and ends with its parent:
its input then ends. ``python -m compaction_handler.checking`` is the child.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.collections.layout import LEDGER_NAME
from pipeline.collections.ledger import Ledger
from pipeline.collections.view import open_view
from pipeline.contracts.identifiers import CollectionName
from pipeline.errors import ErrorCode, RetryableError

CHECK_SECONDS = 300.0
SAMPLE_ROWS = 256
"""Vectors that are read out of the index, spread over the collection, and as many of the newest rows."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What to look at.

    Attributes:
        directory: a closed working copy.
        private_directory: where the view is made.
        count: vectors that are in it.
        dimensions: numbers a vector.
        newest: ids that were written last.
    """

    collection: CollectionName
    directory: str
    private_directory: str
    count: int
    dimensions: int
    newest: tuple[str, ...]


def faults(inspection: Inspection) -> Iterator[str]:
    """What is wrong with a copy; nothing when it may be published."""
    import numpy as np  # noqa: PLC0415 - what is imported with Chroma costs nothing here

    directory = Path(inspection.directory)
    with Ledger(directory / LEDGER_NAME, read_only=True) as ledger:
        held = set(ledger.identifiers())
    view = open_view(inspection.collection, directory, Path(inspection.private_directory))
    try:
        found = view.identifiers()
        if not len(set(found)) == len(found) == view.collection.count() == inspection.count:
            yield f"{len(set(found))} ids, {view.collection.count()} rows, {inspection.count} were written"
        if missing := held - set(found):
            yield f"{len(missing)} rows of the ledger are missing, for example {min(missing)}"
        sample = sorted({*found[:: max(1, len(found) // SAMPLE_ROWS)], *inspection.newest} & set(found))
        if not sample:
            return
        rows = view.collection.get(ids=sample, include=["embeddings", "documents", "metadatas"])
        vectors = np.asarray(rows["embeddings"], dtype=np.float32)
        if vectors.shape != (len(sample), inspection.dimensions) or not np.isfinite(vectors).all():
            yield f"vectors of {len(sample)} rows have shape {vectors.shape}"
            return
        if not view.collection.query(query_embeddings=vectors[:1], n_results=1, include=["distances"])["ids"][0]:
            yield "a query finds nothing"
    finally:
        view.close()


class ChildCheck:
    """A child that waits for its one inspection."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "compaction_handler.checking"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).resolve().parent.parent,
        )

    def run(self, inspection: Inspection) -> None:
        """Inspect.

        Raises:
            RetryableError: SNAPSHOT_UNSOUND when something is wrong, or the child broke over it.
        """
        try:
            output, _ = self._process.communicate(json.dumps(asdict(inspection)).encode(), timeout=CHECK_SECONDS)
        except subprocess.TimeoutExpired:
            self.close()
            raise unsound(inspection, f"the check took more than {CHECK_SECONDS:.0f} seconds") from None
        if self._process.returncode != 0:
            raise unsound(inspection, f"the check ended with {self._process.returncode}")
        if found := json.loads(output):
            raise unsound(inspection, "; ".join(found))

    def close(self) -> None:
        """End the child, if it has not ended."""
        self._process.kill()
        self._process.communicate()


def unsound(inspection: Inspection, reason: str) -> RetryableError:
    """The error of a copy that must not be published."""
    return RetryableError(
        ErrorCode.SNAPSHOT_UNSOUND,
        value=f"a copy of {inspection.collection}: {reason}",
        rule="what is published was opened, counted and read by another process",
        way_out="nothing was published; the working copy is discarded and the runs are merged again",
    )


def main() -> None:
    """The child: one inspection as JSON in, a list of faults as JSON out; at the end of the input it ends."""
    import chromadb  # noqa: F401, PLC0415 - while the merge still writes

    request = sys.stdin.buffer.read()
    if not request:
        return
    fields = json.loads(request)
    found = list(faults(Inspection(**fields | {"newest": tuple(fields["newest"])})))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
