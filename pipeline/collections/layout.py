"""Where the published versions of a collection stand, on a directory (EFS) and in S3, and what points at them. Pure.

A version is an immutable Chroma directory with a manifest of its files; ``CURRENT`` names the one that readers open.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipeline.contracts.identifiers import CollectionName

MANIFEST_NAME = "MANIFEST.json"
PARTIAL_SUFFIX = ".partial"


class Pointer(BaseModel):
    """What ``CURRENT`` says of the published version.

    Attributes:
        fence: of the lease under which it was published; a pointer with a higher fence is never overwritten by a lower.
        count: vectors in the version.
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
