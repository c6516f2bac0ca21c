"""S3 as the pipeline uses it: conditional, checksummed writes and reads held against a digest.

Not for the published versions of a collection, which are trees of files: those are in ``pipeline/collections``.
"""

import base64

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.aws import AwsClient
from pipeline.contracts.identifiers import sha256_hex
from pipeline.errors import ErrorCode, PermanentError, PipelineError, RetryableError

MISSING_CODES = frozenset({"NoSuchKey", "NoSuchBucket", "404", "NotFound"})
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
            raise PermanentError(
                ErrorCode.OBJECT_CHANGED,
                value=f"s3://{bucket}/{key} has SHA-256 {actual}",
                rule=f"it was recorded with {sha256}",
                way_out="find out who overwrote or truncated it; upload the receipt again",
            )
        return content

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
        checksum = _checksum(content)
        try:
            self._s3.put_object(
                Bucket=bucket, Key=key, Body=content, ChecksumAlgorithm="SHA256", ChecksumSHA256=checksum
            )
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
        return sha256_hex(content)


def _checksum(content: bytes) -> str:
    return base64.b64encode(bytes.fromhex(sha256_hex(content))).decode("ascii")


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
