"""Where the published versions of a collection are, in a directory (EFS) and in S3, and what points at them. Pure.

A version is an immutable directory: the rows (SQLite), the vectors of the distinct texts, a Chroma collection of the
same texts, and a manifest of all files; ``CURRENT`` names the one that readers open.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pipeline.contracts.identifiers import CollectionName

MANIFEST_NAME = "MANIFEST.json"
LAYOUT = 2
"""Of a version's files. Layout 1 was a Chroma directory with one record a row, and a ledger beside it."""
ROWS_NAME = "rows.sqlite3"
VECTORS_NAME = "vectors.npy"
MISSED_NAME = "missed.npy"
"""``missed.py``; a version whose index finds every text has no such file."""
INDEX_NAME = "chroma"
"""The directory of the Chroma collection, which other programs may copy and open."""
DATABASE_NAME = "chroma.sqlite3"
SHOWN_CHARACTERS = 100
"""Of a bad value, in an error."""
VERSIONS_KEPT = timedelta(minutes=15)
"""Grace for readers of a version after a newer one was published, before it is removed, where nothing else is set."""


VersionName = Annotated[str, Field(pattern=r"^[0-9]{12}-[0-9A-Za-z]{1,8}(-[0-9]{6,12})?$")]
"""What ``version_name`` makes, and what it made before there were revisions. It is part of paths and keys, so whatever
else a pointer holds is refused before one is made."""
FILE_NAME = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]{0,99}(/[0-9A-Za-z_-][0-9A-Za-z._-]{0,99}){0,4}")
"""A file of a version, relative to it: no hidden part, none that leads upwards, and no absolute one."""
FILE_DIGEST = re.compile("[0-9a-f]{64}(-[1-9][0-9]{0,4})?")
"""``FileDigest``; S3 takes at most 10,000 parts."""


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

    version: VersionName
    fence: int
    count: int
    texts: int = 0
    layout: int = 1
    model: str
    dimensions: int
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    published_at: datetime
    replaced: dict[VersionName, datetime] = Field(default_factory=dict)


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


def decode_manifest(content: bytes) -> dict[str, str]:
    """The files of a version and their digests; every name is safe to make a path or a key of.

    Raises:
        ValueError: it is no manifest, or a name or digest has another form.
    """
    try:
        files = json.loads(content)["files"]
        items = list(files.items())
    except (TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ValueError(f"no manifest: {type(error).__name__}") from error
    for name, digest in items:
        if not FILE_NAME.fullmatch(name) or name == MANIFEST_NAME:
            raise ValueError(f"a file is named {name[:SHOWN_CHARACTERS]!r}")
        if not isinstance(digest, str) or not FILE_DIGEST.fullmatch(digest):
            raise ValueError(f"file {name} has digest {str(digest)[:SHOWN_CHARACTERS]!r}")
    return files


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
