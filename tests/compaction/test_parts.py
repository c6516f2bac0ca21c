"""Large files go to S3 and come back in parts; a failure publishes, or reads, other bytes than were checked."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline.contracts import digests
from pipeline.contracts.digests import PART_BYTES, FileDigest, checksum
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from pipeline.objects import ObjectStore
from tests.world import emulator_clients

BUCKET, KEY = "parts", "large"
CONTENT = b"".join(number.to_bytes(4, "big") for number in range((2 * PART_BYTES + 4_096) // 4))


@pytest.fixture
def s3(endpoint: str) -> Iterator[Any]:
    with closing(emulator_clients(endpoint)) as clients:
        client = clients("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture
def large(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "large"
    path.write_bytes(CONTENT)
    return path, digest_of(CONTENT)


def digest_of(content: bytes) -> str:
    digest = FileDigest()
    digest.update(content)
    return digest.hexdigest()


def test_s3_reports_the_digest_of_a_large_file_and_gives_the_file_back(s3, large, tmp_path):
    path, digest = large
    objects = ObjectStore(s3)
    objects.put_file(BUCKET, KEY, path, digest)
    stored = s3.head_object(Bucket=BUCKET, Key=KEY, ChecksumMode="ENABLED")["ChecksumSHA256"]
    assert digest.endswith("-3")
    assert stored == checksum(digest)
    objects.get_file(BUCKET, KEY, tmp_path / "back", digest)
    assert (tmp_path / "back").read_bytes() == CONTENT


@pytest.mark.parametrize("size", [5_000, len(CONTENT)])
def test_a_file_that_changed_since_its_digest_is_not_taken_for_it(s3, tmp_path, size):
    path, digest = tmp_path / "changed", digest_of(CONTENT[:size])
    path.write_bytes(CONTENT[: size - 1] + b"!")
    with pytest.raises(RetryableError) as caught:
        ObjectStore(s3).put_file(BUCKET, KEY, path, digest)
    assert caught.value.code is ErrorCode.OBJECT_UPLOAD_UNVERIFIED


@pytest.mark.parametrize("left", [0, 1_000, PART_BYTES, PART_BYTES + 1_000, len(CONTENT) - 1])
def test_a_file_that_was_cut_since_its_digest_is_not_taken_for_it(s3, large, left):
    path, digest = large
    path.write_bytes(CONTENT[:left])
    with pytest.raises(RetryableError) as caught:
        ObjectStore(s3).put_file(BUCKET, KEY, path, digest)
    assert caught.value.code is ErrorCode.OBJECT_UPLOAD_UNVERIFIED
    # S3 itself would only say that a part is too small, which is no reason to look at the version again.
    assert (
        left == len(CONTENT) - 1 or f"part {left // PART_BYTES + 1} of {left % PART_BYTES} bytes" in caught.value.value
    )


@pytest.mark.parametrize("left", [PART_BYTES, 2 * PART_BYTES + 5, len(CONTENT) - 1])
def test_an_object_that_was_cut_is_found_out_wherever_it_was_cut(s3, large, tmp_path, left):
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=CONTENT[:left])
    with pytest.raises(PermanentError) as caught:
        ObjectStore(s3).get_file(BUCKET, KEY, tmp_path / "back", large[1])
    assert caught.value.code is ErrorCode.OBJECT_CHANGED


def test_an_upload_that_fails_in_the_middle_leaves_nothing_that_is_paid_for(s3, large, monkeypatch):
    path, digest = large
    real = s3.upload_part

    def refused(**arguments: Any) -> Any:
        if arguments["PartNumber"] == 2:
            arguments["ChecksumSHA256"] = checksum(hashlib.sha256(b"").hexdigest())
        return real(**arguments)

    monkeypatch.setattr(s3, "upload_part", refused)
    with pytest.raises(RetryableError) as caught:
        ObjectStore(s3).put_file(BUCKET, KEY, path, digest)
    assert caught.value.code is ErrorCode.SERVICE_UNAVAILABLE
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


def test_a_file_published_before_there_were_parts_is_still_known_by_its_digest(s3, large, tmp_path):
    path, _ = large
    whole = hashlib.sha256(CONTENT).hexdigest()
    objects = ObjectStore(s3)
    objects.put_file(BUCKET, KEY, path, whole)
    objects.get_file(BUCKET, KEY, tmp_path / "back", whole)
    assert (tmp_path / "back").read_bytes() == CONTENT


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 16, 20])
@pytest.mark.parametrize("piece", [1, 3, 8, 100])
def test_a_digest_is_the_same_in_whatever_pieces_the_bytes_come(monkeypatch, size, piece):
    monkeypatch.setattr(digests, "PART_BYTES", 8)
    content = bytes(range(size))
    parts = [hashlib.sha256(content[start : start + 8]).digest() for start in range(0, size, 8)]
    digest = FileDigest()
    for start in range(0, size, piece):
        digest.update(content[start : start + piece])
    expected = hashlib.sha256(content).hexdigest()
    if size > 8:
        expected = f"{hashlib.sha256(b''.join(parts)).hexdigest()}-{len(parts)}"
    assert digest.hexdigest() == expected
