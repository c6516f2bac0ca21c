"""The world of stage 3, whose collections operators look at and repair."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.compaction.world import MergeWorld


@pytest.fixture
def world(aws: None, tmp_path: Path) -> Iterator[MergeWorld]:
    with closing(MergeWorld(path=tmp_path).create()) as made:
        yield made
