"""Opens the published version of a collection for one command: from S3, cached here, never a working copy."""

from collections.abc import Iterator
from contextlib import contextmanager

from ops.target import OperatorError, Target
from pipeline.collections.published import PublishedCollection
from pipeline.collections.reader import SnapshotSource
from pipeline.contracts.identifiers import CollectionName

NOTHING_PUBLISHED = "NOTHING_PUBLISHED"


@contextmanager
def published_version(target: Target, collection: CollectionName) -> Iterator[PublishedCollection]:
    """The current version, open inside the ``with`` block.

    Raises:
        OperatorError: NOTHING_PUBLISHED when the collection has no version yet.
    """
    source = SnapshotSource.from_bucket(
        collection,
        s3_client=target.s3,
        bucket=target.outputs["vectorsBucket"],
        private_directory=target.cache_directory,
    )
    try:
        published = source.refresh()
        if published is None:
            raise OperatorError(
                NOTHING_PUBLISHED, f"collection {collection} has no version yet", "receipts upload samples/*.json"
            )
        yield published
    finally:
        source.close()
