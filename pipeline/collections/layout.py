"""Where the published versions of a collection stand, on a directory (EFS) and in S3, and what points at them. Pure.

A version is an immutable Chroma directory with its ledger and a manifest of all files; ``CURRENT`` names the one that
readers open.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipeline.contracts.identifiers import CollectionName

MANIFEST_NAME = "MANIFEST.json"
LEDGER_NAME = "ledger.sqlite3"
DATABASE_NAME = "chroma.sqlite3"
PARTIAL_SUFFIX = ".partial"
VERSIONS_KEPT = timedelta(minutes=15)
"""Grace for readers of a version after a newer one was published, before it is removed."""


class Pointer(BaseModel):
    """What ``CURRENT`` says of the published version.

    Attributes:
        version: its name; names sort as they are published, fence first, and a later one is never overwritten.
        fence: of the lease under which it was published.
        count: vectors in the version.
        model: the embedding model of every vector.
        dimensions: numbers a vector.
        digest: SHA-256 of the version's manifest, which holds the digest of every file.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    version: str
    fence: int
    count: int
    model: str
    dimensions: int
    digest: str
    published_at: datetime


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


def expired_versions(published: Mapping[str, datetime], current: str, now: datetime) -> list[str]:
    """Versions that no reader needs any more.

    A version is superseded when the next one is published, not when it was published itself, so a version that was
    current for hours has its whole grace. Names sort by fence. What is newer than the current one is left alone: it may
    be on its way.

    Args:
        published: version to when it was published in the place that is tidied.
        current: the version that the pointer names.
        now: the time.
    """
    names = sorted(name for name in published if name < current)
    successors = [*names[1:], current] if names else []
    return [
        name
        for name, successor in zip(names, successors, strict=True)
        if now - published.get(successor, now) > VERSIONS_KEPT
    ]
