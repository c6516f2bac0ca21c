"""S3 as the pipeline uses it: conditional, checksummed writes and reads held against a digest.

It knows objects and files; that a published version is a tree of them is known in ``pipeline/collections``.
"""

import base64
import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.aws import AwsClient
from pipeline.contracts.identifiers import sha256_hex
from pipeline.errors import ErrorCode, PermanentError, PipelineError, RetryableError

MISSING_CODES = frozenset({"NoSuchKey", "NoSuchBucket", "404", "NotFound"})
CHUNK_BYTES = 1024 * 1024
"""Bytes of an object in memory at once while it goes to or from a file."""
ALREADY_THERE_CODES = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})


class ObjectStore:
    """Objects that are written once and read back by their digest.

    Args:
        s3_client: a boto3 S3 client.
    """

    def __init__(self, s3_client: AwsClient) -> None:
        self._s3 = s3_client

    def get(self, bucket: str, key: str) -> bytes:
        """Read an object.

        Raises:
            PermanentError: OBJECT_MISSING.
            RetryableError: SERVICE_UNAVAILABLE for every other refusal or fault.
        """
        try:
            return self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
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

    def exists(self, bucket: str, key: str) -> bool:
        """Whether there is such an object.

        Raises:
            RetryableError: SERVICE_UNAVAILABLE.
        """
        try:
            self._s3.head_object(Bucket=bucket, Key=key)
        except (ClientError, BotoCoreError) as error:
            failure = _read_error(error, bucket, key)
            if failure.code is ErrorCode.OBJECT_MISSING:
                return False
            raise failure from error
        return True

    def put_if_absent(self, bucket: str, key: str, content: bytes, content_type: str) -> bool:
        """Write a content-addressed object unless it is there; a replay is harmless.

        Returns:
            True when it was written now, False when it stood there before.
        """
        try:
            self._s3.put_object(
                Bucket=bucket,
                Key=key,
                Body=content,
                ContentType=content_type,
                IfNoneMatch="*",
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=_checksum(content),
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in ALREADY_THERE_CODES:
                return False
            raise _service_error(error, bucket, key) from error
        except BotoCoreError as error:
            raise _service_error(error, bucket, key) from error
        return True

    def put_verified(self, bucket: str, key: str, content: bytes) -> str:
        """Write an object and ask S3 what it now holds before anything is recorded of it.

        Returns:
            The SHA-256 of the content, 64 hex digits.

        Raises:
            RetryableError: OBJECT_UPLOAD_UNVERIFIED when S3 reports another checksum, or none.
        """
        self._put_checked(bucket, key, content, _checksum(content))
        return sha256_hex(content)

    def put_file(self, bucket: str, key: str, path: Path, sha256: str) -> None:
        """Write a file of any size whose digest is known, in bounded memory; S3 refuses other bytes.

        Args:
            bucket: the bucket.
            key: the key.
            path: the file; it must not change meanwhile.
            sha256: its digest, 64 hex digits.

        Raises:
            RetryableError: OBJECT_UPLOAD_UNVERIFIED when S3 reports another checksum, or none; SERVICE_UNAVAILABLE.
        """
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode("ascii")
        with path.open("rb") as file:
            self._put_checked(bucket, key, file, checksum)

    def get_file(self, bucket: str, key: str, path: Path, sha256: str) -> None:
        """Read an object into a file, in bounded memory; the file is whole only when this returns.

        Raises:
            PermanentError: OBJECT_MISSING, or OBJECT_CHANGED when the digest is another.
            RetryableError: SERVICE_UNAVAILABLE for every other refusal or fault.
        """
        digest = hashlib.sha256()
        try:
            body = self._s3.get_object(Bucket=bucket, Key=key)["Body"]
            with path.open("wb") as file:
                for chunk in body.iter_chunks(CHUNK_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
        except (ClientError, BotoCoreError) as error:
            raise _read_error(error, bucket, key) from error
        if digest.hexdigest() != sha256:
            raise _changed(bucket, key, digest.hexdigest(), sha256)

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

    def replace(self, bucket: str, key: str, content: bytes, tag: str | None) -> bool:
        """Write an object if it still is the one with ``tag``, or still is missing when that is None.

        Returns:
            False when somebody else wrote it meanwhile; nothing was written.
        """
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        try:
            self._s3.put_object(Bucket=bucket, Key=key, Body=content, **condition)
        except ClientError as error:
            if error.response["Error"]["Code"] in ALREADY_THERE_CODES:
                return False
            raise _service_error(error, bucket, key) from error
        except BotoCoreError as error:
            raise _service_error(error, bucket, key) from error
        return True

    def modification_times(self, bucket: str, prefix: str) -> Iterator[tuple[str, datetime]]:
        """Every key under ``prefix`` and when it was last written."""
        try:
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for item in page.get("Contents", []):
                    yield item["Key"], item["LastModified"]
        except (ClientError, BotoCoreError) as error:
            raise _service_error(error, bucket, prefix) from error

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object; one that is missing is no error."""
        try:
            self._s3.delete_object(Bucket=bucket, Key=key)
        except (ClientError, BotoCoreError) as error:
            raise _service_error(error, bucket, key) from error

    def _put_checked(self, bucket: str, key: str, body: object, checksum: str) -> None:
        try:
            self._s3.put_object(Bucket=bucket, Key=key, Body=body, ChecksumAlgorithm="SHA256", ChecksumSHA256=checksum)
            stored = self._s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED").get("ChecksumSHA256")
        except (ClientError, BotoCoreError) as error:
            raise _service_error(error, bucket, key) from error
        if stored != checksum:
            raise RetryableError(
                ErrorCode.OBJECT_UPLOAD_UNVERIFIED,
                value=f"s3://{bucket}/{key} reports checksum {stored!r}",
                rule=f"what was uploaded has checksum {checksum}",
                way_out="the message is delivered again and the upload with it",
            )


def _checksum(content: bytes) -> str:
    return base64.b64encode(bytes.fromhex(sha256_hex(content))).decode("ascii")


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
    return _service_error(error, bucket, key)


def _service_error(error: ClientError | BotoCoreError, bucket: str, key: str) -> RetryableError:
    return RetryableError(
        ErrorCode.SERVICE_UNAVAILABLE,
        value=f"s3://{bucket}/{key}: {error}",
        rule="S3 answers",
        way_out="the message is delivered again; when it keeps failing, check the role's rights and the bucket",
    )
