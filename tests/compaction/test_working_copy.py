"""The working copy by itself; a failure publishes rows and index of different moments."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.collections.layout import INDEX_NAME
from tests.compaction.copies import KEY, database_of, filled_copy, receipt

ROWS = 8


class LeaseLostError(Exception):
    """What is raised between two chunks when the lease is gone."""


def lose_the_lease() -> None:
    raise LeaseLostError


def test_index_and_letters_follow_the_rows_only_when_the_copy_is_sealed(tmp_path: Path):
    copy = filled_copy(tmp_path, receipt(1, [f"milk {row}" for row in range(ROWS)], np.eye(ROWS)))
    try:
        assert copy.rows.by_letters("milk", 9) == []
        assert not (copy.directory / INDEX_NAME).exists()
        copy.seal(lambda: None)
        copy.reopen()
        assert len(copy.rows.by_letters("milk", 9)) == ROWS
        assert list(copy.rows.faults()) == []
    finally:
        copy.discard()


def test_a_copy_that_is_sealed_in_vain_can_be_discarded(tmp_path: Path):
    copy = filled_copy(tmp_path, receipt(1, ["a"], np.eye(1)))
    with pytest.raises(LeaseLostError):
        copy.seal(lose_the_lease)
    copy.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_transaction_that_fails_leaves_rows_and_texts_as_they_were(tmp_path: Path):
    copy = filled_copy(tmp_path, receipt(1, ["a", "b"], np.eye(2)))

    def remove_in_vain() -> None:
        with database_of(copy).transaction():
            copy.rows.remove(KEY)
            assert copy.rows.remove_unused_texts() is not None
            raise LeaseLostError

    try:
        with pytest.raises(LeaseLostError):
            remove_in_vain()
        assert (copy.count, copy.rows.texts()) == (2, ["a", "b"])
    finally:
        copy.discard()
