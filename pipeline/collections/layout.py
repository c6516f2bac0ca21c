"""Where the published versions of a collection stand, on a directory (EFS) and in S3, and what points at them. Pure.

A version is an immutable directory: the rows (SQLite), the vectors of the distinct texts, a Chroma collection of the
same texts, and a manifest of all files; ``CURRENT`` names the one that readers open.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from pipeline.contracts.identifiers import CollectionName

MANIFEST_NAME = "MANIFEST.json"
LAYOUT = 2
"""Of a version's files. Layout 1 was a Chroma directory with one record a row, and a ledger beside it."""
ROWS_NAME = "rows.sqlite3"
VECTORS_NAME = "vectors.npy"
INDEX_NAME = "chroma"
"""The directory of the Chroma collection, which other programs may copy and open."""
DATABASE_NAME = "chroma.sqlite3"
PARTIAL_SUFFIX = ".partial"
VERSIONS_KEPT = timedelta(minutes=15)
"""Grace for readers of a version after a newer one was published, before it is removed, where nothing else is set."""


class Pointer(BaseModel):
    """What ``CURRENT`` says of the published version.

    Attributes:
        version: its name; names sort as they are published, fence first, and a later one is never overwritten.
        fence: of the lease under which it was published.
        count: rows in the version.
        texts: distinct texts, each with one vector; 0 in layout 1.
        layout: of the version's files (``LAYOUT``).
        model: the embedding model of every vector.
        dimensions: numbers a vector.
        digest: SHA-256 of the version's manifest, which holds the digest of every file.
        replaced: versions that it or an earlier pointer replaced, and when; those whose grace is over are left out.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    version: str
    fence: int
    count: int
    texts: int = 0
    layout: int = 1
    model: str
    dimensions: int
    digest: str
    published_at: datetime
    replaced: dict[str, datetime] = Field(default_factory=dict)


def version_name(fence: int, owner: str, revision: int) -> str:
    """A name that no other publication has, not even one of a dead holder of the same fence.

    Args:
        fence: of the lease.
        owner: of the lease.
        revision: of the working copy; grows between two publications under one lease.
    """
    return f"{fence:012d}-{owner[:8]}-{revision:06d}"


def current_path(root: Path, collection: CollectionName) -> Path:
    """The pointer file of a collection under the collections directory ``root``."""
    return root / collection / "CURRENT"


def version_path(root: Path, collection: CollectionName, version: str) -> Path:
    """The directory of one published version."""
    return root / collection / "versions" / version


def current_key(collection: CollectionName) -> str:
    """The pointer object in the vectors bucket."""
    return f"{collection}/CURRENT"


def version_key(collection: CollectionName, version: str, name: str) -> str:
    """One file of a published version in the vectors bucket."""
    return f"{collection}/versions/{version}/{name}"


def encode_manifest(digests: Mapping[str, str]) -> bytes:
    """The manifest: relative file names and their SHA-256; the same files give the same bytes."""
    return json.dumps({"files": dict(sorted(digests.items()))}, indent=1).encode()


def versions_prefix(collection: CollectionName) -> str:
    """The prefix of all published versions in the vectors bucket."""
    return f"{collection}/versions/"


def replaced_by_next(previous: Pointer | None, now: datetime, kept: timedelta = VERSIONS_KEPT) -> dict[str, datetime]:
    """What the pointer after ``previous`` says of the versions that it replaces."""
    if previous is None:
        return {}
    recent = {version: moment for version, moment in previous.replaced.items() if now - moment <= kept}
    return recent | {previous.version: now}


def expired_versions(
    written: Mapping[str, datetime], current: Pointer, now: datetime, kept: timedelta = VERSIONS_KEPT
) -> list[str]:
    """Versions that no reader needs any more.

    A version has its grace from when the pointer left it, however old it is. One that the pointer never named, or left
    long ago, has it from when it was written. Names sort by fence; what is newer than the current one is left alone: it
    may be on its way.

    Args:
        written: version to when it was written in the place that is tidied.
        current: the pointer.
        now: the time.
        kept: the grace.
    """
    return sorted(
        version
        for version, moment in written.items()
        if version < current.version and now - max(moment, current.replaced.get(version, moment)) > kept
    )
