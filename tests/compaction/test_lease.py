"""The lease; its failure would let a loser overwrite the new owner's collection."""

from datetime import UTC, datetime

import boto3
import pytest
from moto import mock_aws

from compaction_handler.lease import acquire
from pipeline.collections.layout import Pointer
from pipeline.errors import ErrorCode, PermanentError, RetryableError


@pytest.fixture
def dynamodb(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        client.create_table(
            TableName="t",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("PK", "SK")],
        )
        yield client


def pointer(version, fence):
    return Pointer(
        version=version,
        fence=fence,
        count=1,
        model="m",
        dimensions=4,
        digest="0" * 64,
        published_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_a_held_lease_is_not_given_to_a_second_merge(dynamodb):
    acquire("t", dynamodb, "lines", 60)
    with pytest.raises(RetryableError) as caught:
        acquire("t", dynamodb, "lines", 60, sleep=lambda _: None)
    assert caught.value.code is ErrorCode.LEASE_HELD


def test_a_merge_whose_lease_was_taken_over_cannot_renew_release_or_publish(dynamodb):
    loser = acquire("t", dynamodb, "lines", -10)
    winner = acquire("t", dynamodb, "lines", 60)
    assert winner.fence == loser.fence + 1
    winner.point(pointer("000000000002-new", winner.fence))
    for action in (
        loser.renew,
        lambda: loser.release("x"),
        lambda: loser.point(pointer("000000000001-old", loser.fence)),
    ):
        with pytest.raises(RetryableError) as caught:
            action()
        assert caught.value.code is ErrorCode.LEASE_LOST
    assert winner.current() == pointer("000000000002-new", winner.fence)


def test_a_released_lease_names_the_working_copy_that_wrote_last_and_a_killed_one_names_none(dynamodb):
    first = acquire("t", dynamodb, "lines", 60)
    first.release("copy-1")
    killed = acquire("t", dynamodb, "lines", -10)
    assert killed.copy_before == "copy-1"
    assert acquire("t", dynamodb, "lines", 60).copy_before == ""


def test_a_pointer_item_that_names_no_version_is_refused_before_a_path_is_made_of_it(dynamodb):
    lease = acquire("t", dynamodb, "lines", 60)
    lease.point(pointer("000000000001-old", lease.fence).model_copy(update={"version": "../../elsewhere"}))
    with pytest.raises(PermanentError) as caught:
        lease.current()
    assert caught.value.code is ErrorCode.SNAPSHOT_CORRUPT
    assert "version: String should match pattern" in caught.value.value
