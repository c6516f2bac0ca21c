"""Deltas in the bucket. A failure here loses a delta that a run has recorded, or lets a merge read another one."""

from typing import Any
from uuid import UUID

import numpy as np
import pytest
from botocore.exceptions import ClientError

from pipeline.contracts.delta import Delta, make_delta
from pipeline.contracts.identifiers import delta_key, legacy_delta_key, sha256_hex
from pipeline.deltas import delta_objects, has_delta, read_delta, write_delta
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from pipeline.objects import CONDITIONAL_TRIES, ObjectStore
from tests.test_delta import version_1
from tests.world import BUCKET, MOTO

RUN = "0" * 32
VERSION_1 = version_1([["i", "T", {"a": 1}]], np.ones((1, 2), np.float32))


def delta(number: float = 1.0) -> Delta:
    return make_delta(
        collection="words",
        run_id=RUN,
        image_id=UUID(int=1),
        receipt_id=1,
        model="m",
        rows=[("i", "T", {"a": 1})],
        vectors=np.full((1, 2), number, np.float32),
    )


@pytest.fixture
def s3(aws: None) -> Any:
    MOTO("s3").create_bucket(Bucket=BUCKET)
    return MOTO("s3")


def refused(*arguments: Any) -> ErrorCode:
    with pytest.raises(PermanentError) as error:
        read_delta(*arguments)
    return error.value.code


def test_two_deltas_of_one_run_stand_side_by_side_and_each_is_read_by_its_digest(s3):
    objects = ObjectStore(s3)
    first, second = write_delta(objects, BUCKET, delta(1.0)), write_delta(objects, BUCKET, delta(2.0))
    assert first != second
    for digest, number in ((first, 1.0), (second, 2.0)):
        assert read_delta(objects, BUCKET, "words", RUN, digest).vectors.tolist() == [[number] * 2]
    assert {item.sha256 for item in delta_objects(objects, BUCKET, "words")} == {first, second}
    assert list(delta_objects(objects, BUCKET, "lines")) == []


def test_a_delta_that_is_written_again_is_not_written_over(s3, monkeypatch):
    objects = ObjectStore(s3)
    digest = write_delta(objects, BUCKET, delta())
    before = s3.head_object(Bucket=BUCKET, Key=delta_key("words", RUN, digest))["LastModified"]
    conditions = []
    put = s3.put_object
    monkeypatch.setattr(s3, "put_object", lambda **call: (conditions.append(call["IfNoneMatch"]), put(**call))[1])
    assert write_delta(objects, BUCKET, delta()) == digest
    assert conditions == ["*"]
    assert s3.head_object(Bucket=BUCKET, Key=delta_key("words", RUN, digest))["LastModified"] == before


def test_an_object_with_other_bytes_under_a_deltas_key_is_told_and_left_alone(s3):
    objects = ObjectStore(s3)
    key = delta_key("words", RUN, write_delta(ObjectStore(s3), BUCKET, delta()))
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"damaged", ChecksumAlgorithm="SHA256")
    with pytest.raises(PermanentError) as error:
        write_delta(objects, BUCKET, delta())
    assert error.value.code is ErrorCode.OBJECT_CHANGED
    body = s3.get_object(Bucket=BUCKET, Key=key)["Body"]
    assert body.read() == b"damaged"


def test_a_delta_of_version_1_is_read_under_its_own_key_by_the_recorded_digest(s3):
    objects, digest = ObjectStore(s3), sha256_hex(VERSION_1)
    assert not has_delta(objects, BUCKET, "words", RUN, digest)
    assert refused(objects, BUCKET, "words", RUN, digest) is ErrorCode.OBJECT_MISSING
    s3.put_object(Bucket=BUCKET, Key=legacy_delta_key("words", RUN), Body=VERSION_1, ChecksumAlgorithm="SHA256")
    assert has_delta(objects, BUCKET, "words", RUN, digest)
    assert read_delta(objects, BUCKET, "words", RUN, digest).texts == ("T",)
    (listed,) = delta_objects(objects, BUCKET, "words")
    assert (listed.run_id, listed.sha256) == (RUN, None)


def test_a_delta_of_version_1_that_another_delivery_wrote_over_is_none(s3):
    objects = ObjectStore(s3)
    s3.put_object(Bucket=BUCKET, Key=legacy_delta_key("words", RUN), Body=VERSION_1, ChecksumAlgorithm="SHA256")
    assert not has_delta(objects, BUCKET, "words", RUN, "1" * 64)
    assert refused(objects, BUCKET, "words", RUN, "1" * 64) is ErrorCode.OBJECT_CHANGED


def test_objects_that_are_no_deltas_are_not_listed(s3):
    for name in ("words/delta/notes.txt", f"words/delta/{RUN}/notes.txt", f"words/delta/{RUN}/{'G' * 64}.safetensors"):
        s3.put_object(Bucket=BUCKET, Key=name, Body=b"")
    assert list(delta_objects(ObjectStore(s3), BUCKET, "words")) == []


class Conflicting:
    """An S3 client whose puts meet another request for some tries."""

    def __init__(self, conflicts: int, code: str = "ConditionalRequestConflict") -> None:
        self.conflicts, self.code, self.puts = conflicts, code, 0

    def put_object(self, **_: Any) -> None:
        self.puts += 1
        if self.puts <= self.conflicts:
            raise ClientError({"Error": {"Code": self.code, "Message": ""}}, "PutObject")


PUTS = {
    "put_if_absent": lambda objects: objects.put_if_absent(BUCKET, "k", b"x", "text/plain"),
    "replace": lambda objects: objects.replace(BUCKET, "k", b"x", "tag"),
}


@pytest.mark.parametrize("put", PUTS.values(), ids=PUTS)
def test_a_conflict_says_nothing_about_the_object_so_the_put_is_tried_again(put):
    client, waits = Conflicting(2), []
    assert put(ObjectStore(client, sleep=waits.append)) is True
    assert client.puts == 3
    assert len(waits) == 2


@pytest.mark.parametrize("put", PUTS.values(), ids=PUTS)
def test_conflicts_without_an_end_are_a_service_that_is_unavailable(put):
    client = Conflicting(99)
    with pytest.raises(RetryableError) as error:
        put(ObjectStore(client, sleep=lambda _: None))
    assert error.value.code is ErrorCode.SERVICE_UNAVAILABLE
    assert client.puts == CONDITIONAL_TRIES


@pytest.mark.parametrize("put", PUTS.values(), ids=PUTS)
def test_a_condition_that_does_not_hold_is_no_conflict(put):
    client = Conflicting(99, "PreconditionFailed")
    assert put(ObjectStore(client)) is False
    assert client.puts == 1


def test_a_delta_whose_object_was_changed_is_refused_and_no_other_object_of_its_run_is_taken_for_it(s3):
    objects = ObjectStore(s3)
    digest = sha256_hex(VERSION_1)
    s3.put_object(Bucket=BUCKET, Key=legacy_delta_key("words", RUN), Body=VERSION_1, ChecksumAlgorithm="SHA256")
    assert read_delta(objects, BUCKET, "words", RUN, digest).texts == ("T",)
    s3.put_object(Bucket=BUCKET, Key=delta_key("words", RUN, digest), Body=b"changed", ChecksumAlgorithm="SHA256")
    assert refused(objects, BUCKET, "words", RUN, digest) is ErrorCode.OBJECT_CHANGED
