"""The working copy by itself; a failure leaves a collection that has no ledger yet unmergeable."""

from pathlib import Path

import numpy as np

from compaction_handler import working_copy
from compaction_handler.working_copy import WorkingCopy
from pipeline.collections.layout import LEDGER_NAME
from tests.compaction.world import row_id

ROWS = 8


def test_a_missing_ledger_is_made_from_every_row_however_many_pages_they_are(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(working_copy, "CHUNK_ROWS", 3)
    identifiers = [row_id(1, row) for row in range(ROWS)]
    copy = WorkingCopy("lines", parent=tmp_path, source=None)
    try:
        copy._collection.upsert(
            ids=identifiers, embeddings=np.eye(ROWS, dtype=np.float32), metadatas=[{"run_id": "old"}] * ROWS
        )
        copy.close()
        (copy.directory / LEDGER_NAME).unlink()
        copy.reopen()
        assert sorted(copy.ledger.identifiers()) == sorted(identifiers)
    finally:
        copy.discard()
