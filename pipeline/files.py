"""A file that is replaced as a whole, and what makes the disk keep it. It imports nothing of the project.

A process that is killed while it writes leaves the file as it was. Files of collections' versions are not written here:
they become visible with their directory (``pipeline/collections/files.py``).
"""

import os
from pathlib import Path

PARTIAL_SUFFIX = ".partial"
"""Of a file or a directory that is being written; nothing with this suffix is ever read."""


def replace_file(path: Path, content: bytes | str, *, is_durable: bool = False, mode: int = 0o666) -> None:
    """Give a file new content, whole or not at all: a reader sees the old content or the new one.

    Two processes that replace one file take turns, by a lock of the caller's.

    Args:
        path: the file; its directory exists.
        content: text is written as UTF-8.
        is_durable: the new content survives a loss of power. Costs two calls of fsync; needless where everything beside
            the file is lost with the power as well.
        mode: of the file, before the umask.

    Raises:
        OSError: the file is as it was, and nothing is left beside it. If only its directory could not be synced, the
            new content is there, and may not survive a loss of power.
    """
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    # One that a killed process left may have another mode.
    partial.unlink(missing_ok=True)
    try:
        with open(partial, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content.encode() if isinstance(content, str) else content)
        if is_durable:
            fsync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if is_durable:
        fsync(path.parent)


def fsync(path: Path) -> None:
    """Have the disk keep a file, or the names in a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
