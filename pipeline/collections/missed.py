"""The texts that a version's index does not find by their own vector, as a ``.npy`` file of positions in the version.

Whoever lets the index propose texts ranks these too, so that nothing published is out of reach. Which texts they are is
found out in ``recall.py``, and how many of them a version may have is said there.
"""

from collections.abc import Collection
from io import BytesIO
from pathlib import Path

import numpy as np

from pipeline.collections.layout import MISSED_NAME
from pipeline.errors import ErrorCode, PermanentError

POSITION = np.dtype("<i8")
PREFIX_BYTES = 10
"""Of a ``.npy`` file: a mark, the format's version, and the length of the header that follows."""


def read_missed(directory: Path, texts: int) -> list[int]:
    """The positions, ascending; none when there is no such file.

    Args:
        directory: of a version or a working copy.
        texts: how many it has. Positions beyond are left out: a release that does not know the file copies it into a
            version that may have fewer texts, and publishes only what finds every text.

    Raises:
        PermanentError: SNAPSHOT_CORRUPT when the file is not what ``missed_files`` writes.
    """
    path = directory / MISSED_NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    # Compared, not parsed: numpy reads the header as Python, so a damaged one fails in many ways.
    numbers = content[PREFIX_BYTES + int.from_bytes(content[PREFIX_BYTES - 2 : PREFIX_BYTES], "little") :]
    found = np.frombuffer(numbers[: len(numbers) // POSITION.itemsize * POSITION.itemsize], dtype=POSITION).tolist()
    if missed_files(found) != {MISSED_NAME: content} or found[0] < 0:
        raise corrupt_list(f"{path} has {len(content)} bytes that are no such list")
    return [position for position in found if position < texts]


def missed_files(positions: Collection[int]) -> dict[str, bytes]:
    """What a version of which the index misses these texts has besides: the file by its name, or nothing."""
    if not positions:
        return {}
    content = BytesIO()
    np.save(content, np.array(sorted(positions), dtype=POSITION), allow_pickle=False)
    return {MISSED_NAME: content.getvalue()}


def corrupt_list(value: str) -> PermanentError:
    """The error of a list that is not what was published."""
    return PermanentError(
        ErrorCode.SNAPSHOT_CORRUPT,
        value=value,
        rule="a list that a version names is a .npy file of positions of texts, ascending",
        way_out="restore the version from S3 or from a backup",
    )
