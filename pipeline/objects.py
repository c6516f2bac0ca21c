"""S3 as the pipeline uses it: conditional, checksummed writes, and reads compared with a digest.

It knows objects and files; that a published version is a tree of them is known in ``pipeline/collections``.

Longer than most modules: the conditions and checksums of every way to write and read are side by side.
"""

import hashlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.aws import AwsClient
from pipeline.calls import call_error
from pipeline.contracts.digests import PART_BYTES, FileDigest, checksum, digest_of_parts, part_count
from pipeline.contracts.identifiers import sha256_hex
from pipeline.errors import ErrorCode, PermanentError, PipelineError, RetryableError

MISSING_CODES = frozenset({"NoSuchKey", "NoSuchBucket", "404", "NotFound"})
CHUNK_BYTES = 256 * 1024
"""Bytes in memory at once while an object of one part comes into a file."""
PARTS_AT_ONCE = 8
"""Parts that go or come at once, 64 MiB in all: one connection to S3 carries about 85 MB/s (docs.aws.amazon.com/
AmazonS3/latest/userguide/optimizing-performance-design-patterns.html). Below the ten connections of a boto3 client."""
OTHER_BYTES_CODES = frozenset({"BadDigest", "XAmzContentChecksumMismatch"})
CUT_CODES = frozenset({"InvalidRange", "416"})
ALREADY_THERE_CODES = frozenset({"PreconditionFailed", "412"})
CONFLICT_CODES = frozenset({"ConditionalRequestConflict", "409"})
"""Another request for the key was under way, and nothing is known of its outcome: S3 says to try again
(docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html)."""
CONDITIONAL_TRIES = 5
LONGEST_WAIT_SECONDS = 2.0

Part = TypeVar("Part")


@dataclass(frozen=True, kw_only=True)
class ObjectStamp:
    """What S3 says of an object.

    Attributes:
        tag: by which ``ObjectStore.replace`` knows that it has not changed since.
        written_at: by S3's clock, in whole seconds.
        size: in bytes.
    """

    tag: str
    written_at: datetime
    size: int


class ObjectStore:
    """Objects that are written once and read back by their digest.

    Args:
        s3_client: a boto3 S3 client.
        sleep: waits between the tries of a conditional put, in seconds.
    """

    def __init__(self, s3_client: AwsClient, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._s3 = s3_client
        self._sleep = sleep

    def get(self, bucket: str, key: str, *, require_size: Callable[[int], object] = int) -> bytes:
        """Read an object.

        Args:
            bucket: the bucket.
            key: the key.
            require_size: called with the object's bytes before they are read; what it raises is passed on.

        Raises:
            PermanentError: OBJECT_MISSING.
            RetryableError: SERVICE_UNAVAILABLE for every other refusal or fault.
        """
        try:
            answer = self._s3.get_object(Bucket=bucket, Key=key)
            with closing(answer["Body"]) as body:
                require_size(answer["ContentLength"])
                return body.read()
        except (ClientError, BotoCoreError) as error:
            raise _read_error(error, bucket, key) from error

    def get_verified(self, bucket: str, key: str, sha256: str) -> bytes:
        """Read an object that must be the one whose digest was recorded.

        Args:
            bucket: the bucket.
            key: the key.
            sha256: 64 hex digits.

        Raises:
            PermanentError: OBJECT_MISSING, or OBJECT_CHANGED when the digest is another.
        """
        content = self.get(bucket, key)
        actual = sha256_hex(content)
        if actual != sha256:
            raise _changed(bucket, key, actual, sha256)
        return content

    def put_if_absent(self, bucket: str, key: str, content: bytes, content_type: str) -> bool:
        """Write a content-addressed object unless it is there; a replay is harmless.

        Returns:
            True when it was written now, False when there was one before.

        Raises:
            RetryableError: SERVICE_UNAVAILABLE.
        """
        return self._put_absent(bucket, key, content, content_type, sha256_hex(content))

    def put_verified(self, bucket: str, key: str, content: bytes, content_type: str, *, sha256: str) -> None:
        """Write a content-addressed object unless it is there, and ask S3 for its checksum; it is never written over.

        Args:
            bucket: the bucket.
            key: the key.
            content: the object's bytes.
            content_type: their media type.
            sha256: of the content, 64 hex digits.

        Raises:
            PermanentError: OBJECT_CHANGED when there was an object before, with other bytes.
            RetryableError: OBJECT_UPLOAD_UNVERIFIED when S3 reports another checksum of what was written now, or none;
                SERVICE_UNAVAILABLE.
        """
        is_new = self._put_absent(bucket, key, content, content_type, sha256)
        if (stored := self._stored_checksum(bucket, key)) != checksum(sha256):
            if is_new:
                raise _unverified(bucket, key, f"checksum {stored!r}", sha256)
            raise _changed(bucket, key, f"of which S3 says {stored!r} in base64", sha256)

    def holds(self, bucket: str, key: str, sha256: str) -> bool:
        """Whether there is such an object and S3 knows no other checksum of it than this.

        Args:
            bucket: the bucket.
            key: the key.
            sha256: 64 hex digits.

        Raises:
            RetryableError: SERVICE_UNAVAILABLE.
        """
        try:
            stored = self._s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED").get("ChecksumSHA256")
        except (ClientError, BotoCoreError) as error:
            failure = _read_error(error, bucket, key)
            if failure.code is ErrorCode.OBJECT_MISSING:
                return False
            raise failure from error
        return stored in (None, checksum(sha256))

    def put_file(self, bucket: str, key: str, path: Path, digest: str) -> None:
        """Write a file of any size whose digest is known, in bounded memory; S3 refuses other bytes.

        Args:
            bucket: the bucket.
            key: the key.
            path: the file; it must not change meanwhile.
            digest: its ``FileDigest``. One of several parts makes it arrive in these, side by side.

        Raises:
            RetryableError: OBJECT_UPLOAD_UNVERIFIED when S3 reports another checksum, or none; SERVICE_UNAVAILABLE.
        """
        if part_count(digest) > 1:
            self._put_in_parts(bucket, key, path, digest)
            return
        with path.open("rb") as file:
            self._put_checked(bucket, key, file, digest)

    def get_file(self, bucket: str, key: str, path: Path, digest: str) -> None:
        """Read an object into a file, in bounded memory; the file is whole only when this returns.

        Args:
            bucket: the bucket.
            key: the key.
            path: the file.
            digest: of the object; one of several parts makes it come in these, side by side.

        Raises:
            PermanentError: OBJECT_MISSING, or OBJECT_CHANGED when the digest is another.
            RetryableError: SERVICE_UNAVAILABLE for every other refusal or fault.
        """
        try:
            actual = (self._get_in_parts if part_count(digest) > 1 else self._get_whole)(bucket, key, path, digest)
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] in CUT_CODES:
                raise _changed(bucket, key, "of fewer parts", digest) from error
            raise _read_error(error, bucket, key) from error
        if actual != digest:
            raise _changed(bucket, key, actual, digest)

    def get_tagged(self, bucket: str, key: str) -> tuple[bytes, str] | None:
        """An object and the tag by which ``replace`` knows that it has not changed since; None when it is missing."""
        try:
            answer = self._s3.get_object(Bucket=bucket, Key=key)
            return answer["Body"].read(), answer["ETag"]
        except (ClientError, BotoCoreError) as error:
            failure = _read_error(error, bucket, key)
            if failure.code is ErrorCode.OBJECT_MISSING:
                return None
            raise failure from error

    def stamp(self, bucket: str, key: str) -> "ObjectStamp | None":
        """When an object was written, without reading it; None when it is missing.

        Raises:
            RetryableError: SERVICE_UNAVAILABLE.
        """
        try:
            answer = self._s3.head_object(Bucket=bucket, Key=key)
        except (ClientError, BotoCoreError) as error:
            failure = _read_error(error, bucket, key)
            if failure.code is ErrorCode.OBJECT_MISSING:
                return None
            raise failure from error
        return ObjectStamp(tag=answer["ETag"], written_at=answer["LastModified"], size=answer["ContentLength"])

    def replace(self, bucket: str, key: str, content: bytes, tag: str | None) -> bool:
        """Write an object if it still is the one with ``tag``, or still is missing when that is None.

        Returns:
            False when somebody else wrote it meanwhile; nothing was written.

        Raises:
            RetryableError: SERVICE_UNAVAILABLE.
        """
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        return self._put_conditionally(bucket, key, Body=content, **condition)

    def put(self, bucket: str, key: str, content: bytes, content_type: str) -> None:
        """Write an object, over what was there.

        Raises:
            RetryableError: SERVICE_UNAVAILABLE.
        """
        try:
            self._s3.put_object(Bucket=bucket, Key=key, Body=content, ContentType=content_type)
        except (ClientError, BotoCoreError) as error:
            raise call_error(error, f"s3://{bucket}/{key}") from error

    def modification_times(self, bucket: str, prefix: str) -> Iterator[tuple[str, datetime]]:
        """Every key under ``prefix`` and when it was last written."""
        try:
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for item in page.get("Contents", []):
                    yield item["Key"], item["LastModified"]
        except (ClientError, BotoCoreError) as error:
            raise call_error(error, f"s3://{bucket}/{prefix}") from error

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object; one that is missing is no error."""
        try:
            self._s3.delete_object(Bucket=bucket, Key=key)
        except (ClientError, BotoCoreError) as error:
            raise call_error(error, f"s3://{bucket}/{key}") from error

    def _put_absent(self, bucket: str, key: str, content: bytes, content_type: str, sha256: str) -> bool:
        return self._put_conditionally(
            bucket,
            key,
            IfNoneMatch="*",
            Body=content,
            ContentType=content_type,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=checksum(sha256),
        )

    def _put_conditionally(self, bucket: str, key: str, **arguments: object) -> bool:
        """Put with a condition; False when it does not hold. A conflict says neither, so the put is tried again."""
        for attempt in range(1, CONDITIONAL_TRIES + 1):
            try:
                self._s3.put_object(Bucket=bucket, Key=key, **arguments)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code in ALREADY_THERE_CODES:
                    return False
                if code not in CONFLICT_CODES or attempt == CONDITIONAL_TRIES:
                    raise call_error(error, f"s3://{bucket}/{key}") from error
            except BotoCoreError as error:
                raise call_error(error, f"s3://{bucket}/{key}") from error
            else:
                return True
            longest = min(0.1 * 2**attempt, LONGEST_WAIT_SECONDS)
            self._sleep(random.uniform(0, longest))  # noqa: S311 - jitter, not a secret
        raise AssertionError("the last try returns or raises")

    def _put_checked(self, bucket: str, key: str, body: object, digest: str) -> None:
        try:
            self._s3.put_object(
                Bucket=bucket, Key=key, Body=body, ChecksumAlgorithm="SHA256", ChecksumSHA256=checksum(digest)
            )
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] in OTHER_BYTES_CODES:
                raise _unverified(bucket, key, str(error), digest) from error
            raise call_error(error, f"s3://{bucket}/{key}") from error
        self._require_stored(bucket, key, digest)

    def _stored_checksum(self, bucket: str, key: str) -> str | None:
        try:
            return self._s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED").get("ChecksumSHA256")
        except (ClientError, BotoCoreError) as error:
            raise call_error(error, f"s3://{bucket}/{key}") from error

    def _require_stored(self, bucket: str, key: str, digest: str) -> None:
        if (stored := self._stored_checksum(bucket, key)) != checksum(digest):
            raise _unverified(bucket, key, f"checksum {stored!r}", digest)

    def _put_in_parts(self, bucket: str, key: str, path: Path, digest: str) -> None:
        names = {"Bucket": bucket, "Key": key}
        try:
            names["UploadId"] = self._s3.create_multipart_upload(**names, ChecksumAlgorithm="SHA256")["UploadId"]
            try:
                with path.open("rb") as file:

                    def put(buffer: bytearray, number: int) -> dict[str, object]:
                        count = os.preadv(file.fileno(), [buffer], number * PART_BYTES)
                        if count == 0 or (count < PART_BYTES and number + 1 < part_count(digest)):
                            raise _unverified(bucket, key, f"part {number + 1} of {count} bytes", digest)
                        return self._put_part(names, buffer if count == len(buffer) else buffer[:count], number)

                    parts = _in_parts(part_count(digest), put)
                self._s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
            except BaseException:
                # What is left of it is paid for until the bucket's lifecycle removes it; the first error is the reason.
                with suppress(ClientError, BotoCoreError):
                    self._s3.abort_multipart_upload(**names)
                raise
        except (ClientError, BotoCoreError) as error:
            raise call_error(error, f"s3://{bucket}/{key}") from error
        self._require_stored(bucket, key, digest)

    def _put_part(self, names: dict[str, str], body: bytearray, number: int) -> dict[str, object]:
        sent = {"PartNumber": number + 1, "ChecksumSHA256": checksum(hashlib.sha256(body).hexdigest())}
        return sent | {"ETag": self._s3.upload_part(**names, **sent, Body=body)["ETag"]}

    def _get_whole(self, bucket: str, key: str, path: Path, digest: str) -> str:
        actual = FileDigest(like=digest)
        body = self._s3.get_object(Bucket=bucket, Key=key)["Body"]
        with path.open("wb") as file:
            for chunk in body.iter_chunks(CHUNK_BYTES):
                actual.update(chunk)
                file.write(chunk)
        return actual.hexdigest()

    def _get_in_parts(self, bucket: str, key: str, path: Path, digest: str) -> str:
        with path.open("wb") as file:

            def get(_: bytearray, number: int) -> bytes:
                wanted = f"bytes={number * PART_BYTES}-{(number + 1) * PART_BYTES - 1}"
                content = self._s3.get_object(Bucket=bucket, Key=key, Range=wanted)["Body"].read()
                os.pwrite(file.fileno(), content, number * PART_BYTES)
                return hashlib.sha256(content).digest()

            return digest_of_parts(_in_parts(part_count(digest), get))


def _in_parts(count: int, carry: Callable[[bytearray, int], Part]) -> list[Part]:
    """Carry every part, side by side; each thread has one buffer, because fresh memory costs more than the copying."""
    buffers = threading.local()

    def one(number: int) -> Part:
        if not hasattr(buffers, "mine"):
            buffers.mine = bytearray(PART_BYTES)
        return carry(buffers.mine, number)

    with ThreadPoolExecutor(PARTS_AT_ONCE) as carriers:
        try:
            return list(carriers.map(one, range(count)))
        finally:
            carriers.shutdown(cancel_futures=True)


def _unverified(bucket: str, key: str, reported: str, digest: str) -> RetryableError:
    return RetryableError(
        ErrorCode.OBJECT_UPLOAD_UNVERIFIED,
        value=f"s3://{bucket}/{key} reports {reported}",
        rule=f"what was uploaded has checksum {checksum(digest)}",
        way_out="the message is delivered again and the upload with it",
    )


def _changed(bucket: str, key: str, actual: str, recorded: str) -> PermanentError:
    return PermanentError(
        ErrorCode.OBJECT_CHANGED,
        value=f"s3://{bucket}/{key} has SHA-256 {actual}",
        rule=f"it was recorded with {recorded}",
        way_out="find out who overwrote or truncated it; upload the receipt again",
    )


def _read_error(error: ClientError | BotoCoreError, bucket: str, key: str) -> PipelineError:
    if isinstance(error, ClientError) and error.response["Error"]["Code"] in MISSING_CODES:
        return PermanentError(
            ErrorCode.OBJECT_MISSING,
            value=f"s3://{bucket}/{key} does not exist",
            rule="a message names objects that exist",
            way_out="upload the receipt's OCR result again; check that no lifecycle rule removed the object",
        )
    return call_error(error, f"s3://{bucket}/{key}")
