"""The process whose children are killed, and a collection for it to merge into."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.compaction.torture.world import SEED, TorturedWorld, Victims


@pytest.fixture(scope="module")
def victims(endpoint: str) -> Iterator[Victims]:
    with Victims(endpoint) as running:
        yield running


@pytest.fixture
def world(endpoint: str, victims: Victims, tmp_path: Path) -> Iterator[TorturedWorld]:
    with closing(TorturedWorld(endpoint, victims, tmp_path, SEED)) as made:
        yield made
