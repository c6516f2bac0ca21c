"""The variables of the stream processor and of the merge function; ``component.py`` fills these very models."""

from pipeline.environment import Environment


class StreamProcessorEnvironment(Environment):
    """What the stream processor must know."""

    table_name: str
    lines_queue_url: str
    words_queue_url: str
    stream_failure_queue_url: str
    lines_dead_letter_queue_url: str
    words_dead_letter_queue_url: str


class MergeEnvironment(Environment):
    """What the merge function must know.

    Attributes:
        collections_directory: where EFS is mounted; versions are published there.
        working_directory: local disk; the working copy lives there and is disposable.
        bootstrap_collections: True lets a collection that was never published start empty; False makes a missing
            snapshot an error.
        publish_every_seconds: a collection is published at most once in this time; 0 publishes whenever no further
            message waits.
        versions_kept_seconds: how long a version stays for its readers after a newer one was published.
        lease_seconds: a holder that does not renew for so long has lost the collection.
    """

    table_name: str
    vectors_bucket: str
    embedding_model: str
    embedding_dimensions: int
    collections_directory: str
    working_directory: str
    bootstrap_collections: bool
    publish_every_seconds: int
    lease_seconds: int
    versions_kept_seconds: int = 900
