"""Copying and looking at files of a version, in bounded memory; no collection is known here."""

import os
from concurrent.futures import Executor, Future, wait
from pathlib import Path

from pipeline.contracts.digests import FileDigest

CHUNK_BYTES = 256 * 1024
"""Bytes of a file in memory at once while it is copied."""
SENT_BYTES = 32 * 1024 * 1024
"""Bytes of a new version after which write-back begins; copying and fsync then take a sixth less time (measured)."""


def copy_file(source: Path, target: Path, *, like: str | None = None, beside: Executor | None = None) -> str:
    """Copy a file in bounded memory.

    Args:
        source: the file.
        target: where to; its directory is made.
        like: a digest that the answer is to be compared with.
        beside: sends what is written to the disk while the copying goes on, so that a later fsync finds little left.

    Returns:
        The digest of what was read (``FileDigest``).
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, buffer = FileDigest(like), memoryview(bytearray(CHUNK_BYTES))
    unsent, sending = 0, None
    with open(source, "rb", buffering=0, opener=_open_no_link) as reading, target.open("wb") as writing:
        try:
            while count := reading.readinto(buffer):
                digest.update(buffer[:count])
                writing.write(buffer[:count])
                unsent += count
                if beside is not None and unsent >= SENT_BYTES and (sending is None or sending.done()):
                    _require(sending)
                    unsent, sending = 0, beside.submit(_send, writing.fileno())
        except BaseException:
            # It uses the file, so it must end first; its own error is the same or a later one.
            wait([] if sending is None else [sending])
            raise
        # fsync reports a write-back error only once, so it is raised here.
        _require(sending)
    return digest.hexdigest()


def not_plain(directory: Path) -> Path | None:
    """What is in a directory, or the directory itself, that is neither a file nor a directory; a link is neither."""
    for path in (directory, *sorted(directory.rglob("*"))):
        if path.is_symlink() or (path.exists() and not path.is_file() and not path.is_dir()):
            return path
    return None


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _send(file: int) -> None:
    getattr(os, "fdatasync", os.fsync)(file)


def _require(sending: Future[None] | None) -> None:
    if sending is not None:
        sending.result()
