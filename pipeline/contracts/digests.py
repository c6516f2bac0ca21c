"""The digest of a file: its SHA-256, or that of its parts' when it is larger than one part. Pure.

That is what S3 computes of an object that arrives in parts, so S3 can be asked for it and compared.
"""

import base64
import hashlib
from collections.abc import Sequence

PART_BYTES = 8 * 1024 * 1024
"""Bytes of every part but the last. S3 takes 5 MiB to 5 GiB and 10,000 parts (docs.aws.amazon.com/AmazonS3/latest/
userguide/qfacts.html), so files of up to 80 GB. Published versions depend on it: it never changes."""


class FileDigest:
    """Takes a file's bytes in order, in pieces of any size.

    Args:
        like: a digest that this one is to be compared with. Versions that were published before there were parts have
            the SHA-256 of the whole, whatever the size.
    """

    def __init__(self, like: str | None = None) -> None:
        self._in_parts = like is None or part_count(like) > 1
        self._parts: list[bytes] = []
        self._part = hashlib.sha256()
        self._left = PART_BYTES

    def update(self, piece: bytes | bytearray | memoryview) -> None:
        """Take the next bytes."""
        rest = memoryview(piece)
        while self._in_parts and len(rest) > self._left:
            self._part.update(rest[: self._left])
            self._parts.append(self._part.digest())
            rest, self._part, self._left = rest[self._left :], hashlib.sha256(), PART_BYTES
        self._part.update(rest)
        self._left -= len(rest)

    def hexdigest(self) -> str:
        """The digest of what was taken."""
        return digest_of_parts([*self._parts, self._part.digest()])


def digest_of_parts(parts: Sequence[bytes]) -> str:
    """From each part's SHA-256, 32 bytes: 64 hex digits, and a hyphen and the number of parts if there are several."""
    if len(parts) == 1:
        return parts[0].hex()
    return f"{hashlib.sha256(b''.join(parts)).hexdigest()}-{len(parts)}"


def part_count(digest: str) -> int:
    """Of how many parts a digest is."""
    return int(digest.partition("-")[2] or 1)


def checksum(digest: str) -> str:
    """A digest as S3 writes it: base64, and the number of parts."""
    number, hyphen, count = digest.partition("-")
    return base64.b64encode(bytes.fromhex(number)).decode("ascii") + hyphen + count
