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


def read_missed(directory: Path, texts: int) -> list[int]:
    """The positions, ascending; none when there is no such file.

    Args:
        directory: of a version or a working copy.
        texts: how many it has.

    Raises:
        PermanentError: SNAPSHOT_CORRUPT when the file is not a list of positions of its texts.
    """
    path = directory / MISSED_NAME
    try:
        found = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        return []
    except (ValueError, EOFError, OSError) as error:
        raise _corrupt(path, str(error)) from error
    if found.dtype != POSITION or found.ndim != 1 or not ((found >= 0) & (found < texts)).all():
        raise _corrupt(path, f"an array of {found.dtype} with shape {found.shape}, of {texts} texts")
    return found.tolist()


def missed_files(positions: Collection[int]) -> dict[str, bytes]:
    """What a version of which the index misses these texts has besides: the file by its name, or nothing."""
    if not positions:
        return {}
    content = BytesIO()
    np.save(content, np.array(sorted(positions), dtype=POSITION), allow_pickle=False)
    return {MISSED_NAME: content.getvalue()}


def _corrupt(path: Path, reason: str) -> PermanentError:
    return PermanentError(
        ErrorCode.SNAPSHOT_CORRUPT,
        value=f"{path}: {reason}",
        rule="it is a .npy file of positions of the version's texts",
        way_out="restore the version from S3 or from a backup",
    )
