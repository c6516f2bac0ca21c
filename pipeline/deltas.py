"""Deltas in the vectors bucket: written once under a key that holds their digest, found and read by that digest.

The format is in ``contracts/delta.py``. A run records the digests of its deltas; an object whose digest no run records
is never read, so two deliveries of one message may both write and neither harms the other.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from pipeline.contracts.delta import Delta, decode_delta, encode_delta
from pipeline.contracts.identifiers import (
    CollectionName,
    Precision,
    delta_key,
    delta_prefix,
    legacy_delta_key,
    sha256_hex,
)
from pipeline.errors import ErrorCode, PermanentError
from pipeline.objects import ObjectStore

CONTENT_TYPE = "application/octet-stream"
KEY_FORM = re.compile(r"(?P<run>[^/]+)/(?:delta|(?P<sha256>[0-9a-f]{64}))\.safetensors")


@dataclass(frozen=True, kw_only=True)
class DeltaObject:
    """A delta as the bucket lists it.

    Attributes:
        run_id: the run that it was written for.
        sha256: its digest, by its key; None under the key of version 1.
        written: when.
    """

    run_id: str
    sha256: str | None
    key: str
    written: datetime


def write_delta(objects: ObjectStore, bucket: str, delta: Delta, precision: Precision = "float32") -> str:
    """Write a delta unless the same bytes are there, and verify what S3 holds.

    Args:
        objects: the store.
        bucket: the vectors bucket.
        delta: what to write.
        precision: of the stored vectors.

    Returns:
        Its SHA-256, 64 hex digits, for the run to record.

    Raises:
        PermanentError: DELTA_INVALID, OBJECT_CHANGED.
        RetryableError: OBJECT_UPLOAD_UNVERIFIED, SERVICE_UNAVAILABLE.
    """
    content = encode_delta(delta, precision)
    digest = sha256_hex(content)
    key = delta_key(delta.collection, delta.run_id, digest)
    objects.put_verified(bucket, key, content, CONTENT_TYPE, sha256=digest)
    return digest


def read_delta(objects: ObjectStore, bucket: str, collection: CollectionName, run_id: str, sha256: str) -> Delta:
    """Read the delta that a run recorded.

    Args:
        objects: the store.
        bucket: the vectors bucket.
        collection: the delta's collection.
        run_id: the run that the delta was written for.
        sha256: the digest that was recorded, 64 hex digits.

    Raises:
        PermanentError: OBJECT_MISSING, OBJECT_CHANGED, DELTA_INVALID, VERSION_UNSUPPORTED.
        RetryableError: SERVICE_UNAVAILABLE.
    """
    key = delta_key(collection, run_id, sha256)
    try:
        content = objects.get_verified(bucket, key, sha256)
    except PermanentError as error:
        if error.code is not ErrorCode.OBJECT_MISSING:
            raise
        legacy_key = legacy_delta_key(collection, run_id)
        try:
            content = objects.get_verified(bucket, legacy_key, sha256)
        except PermanentError as legacy_error:
            # The key of today is the one to look for, unless the older one has an object.
            raise (error if legacy_error.code is ErrorCode.OBJECT_MISSING else legacy_error) from None
        key = legacy_key
    return decode_delta(content, f"s3://{bucket}/{key}")


def has_delta(objects: ObjectStore, bucket: str, collection: CollectionName, run_id: str, sha256: str) -> bool:
    """Whether ``read_delta`` would find an object that is not known to have other bytes; the arguments are the same.

    Raises:
        RetryableError: SERVICE_UNAVAILABLE.
    """
    return objects.holds(bucket, delta_key(collection, run_id, sha256), sha256) or objects.holds(
        bucket, legacy_delta_key(collection, run_id), sha256
    )


def delta_objects(objects: ObjectStore, bucket: str, collection: CollectionName) -> Iterator[DeltaObject]:
    """Every delta of a collection that is in the bucket; an object whose key is no delta's is left out.

    Raises:
        RetryableError: SERVICE_UNAVAILABLE.
    """
    prefix = delta_prefix(collection)
    for key, written in objects.modification_times(bucket, prefix):
        if form := KEY_FORM.fullmatch(key.removeprefix(prefix)):
            yield DeltaObject(run_id=form["run"], sha256=form["sha256"], key=key, written=written)
