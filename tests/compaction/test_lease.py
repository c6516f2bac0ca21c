"""The lease; its failure would let a loser overwrite the new owner's collection."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from compaction_handler.lease import acquire
from pipeline.collections.layout import Pointer
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from tests.world import MOTO, create_table


@pytest.fixture
def dynamodb(aws: None) -> Any:
    create_table(MOTO("dynamodb"), "t")
    return MOTO("dynamodb")


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


def delete_lease(dynamodb):
    dynamodb.delete_item(TableName="t", Key={"PK": {"S": "COLLECTION#lines"}, "SK": {"S": "LEASE"}})


def test_when_somebody_deleted_the_lease_its_holder_has_lost_it_and_the_fence_stays_above_the_pointers(dynamodb):
    for _ in range(4):
        acquire("t", dynamodb, "lines", -10)
    holder = acquire("t", dynamodb, "lines", 60)
    holder.point(pointer("000000000005-a", holder.fence))
    delete_lease(dynamodb)
    with pytest.raises(RetryableError) as caught:
        holder.renew()
    assert caught.value.code is ErrorCode.LEASE_LOST
    successor = acquire("t", dynamodb, "lines", 60)
    assert successor.fence == holder.fence + 1
    successor.point(pointer("000000000006-b", successor.fence))


def test_a_lease_that_began_again_below_the_pointer_grows_above_it(dynamodb):
    dynamodb.put_item(
        TableName="t",
        Item={
            "PK": {"S": "COLLECTION#lines"},
            "SK": {"S": "CURRENT"},
            "fence": {"N": "42"},
            "pointer": {"S": pointer("000000000042-a", 42).model_dump_json()},
        },
    )
    dynamodb.put_item(
        TableName="t",
        Item={
            "PK": {"S": "COLLECTION#lines"},
            "SK": {"S": "LEASE"},
            "fence": {"N": "3"},
            "expires": {"N": "0"},
            "lease_owner": {"S": "x"},
        },
    )
    assert acquire("t", dynamodb, "lines", 60).fence == 43


class Twice:
    """A client whose SDK sends the first update again, because its answer was lost."""

    def __init__(self, client):
        self._client, self._lost = client, True

    def __getattr__(self, name):
        return getattr(self._client, name)

    def update_item(self, **arguments):
        if self._lost:
            self._lost = False
            self._client.update_item(**arguments)
        return self._client.update_item(**arguments)


def test_an_acquisition_that_the_sdk_sends_again_is_one(dynamodb):
    acquire("t", dynamodb, "lines", -10)
    lease = acquire("t", Twice(dynamodb), "lines", 60, sleep=lambda _: pytest.fail("it holds the lease already"))
    assert lease.fence == 2
    lease.renew()


class Conflicting:
    """A client whose calls meet another transaction on the same item, so often."""

    def __init__(self, client, times):
        self._client, self._left = client, times

    def __getattr__(self, name):
        return getattr(self._client, name)

    def update_item(self, **arguments):
        return self._meet("update_item", "TransactionConflictException", [], arguments)

    def transact_write_items(self, **arguments):
        reasons = [{"Code": "TransactionConflict"}, {"Code": "None"}]
        return self._meet("transact_write_items", "TransactionCanceledException", reasons, arguments)

    def _meet(self, name, code, reasons, arguments):
        if self._left:
            self._left -= 1
            answer = {"Error": {"Code": code, "Message": "conflict"}, "CancellationReasons": reasons}
            raise ClientError(answer, name)
        return getattr(self._client, name)(**arguments)


@pytest.mark.parametrize(("times", "passes"), [(2, True), (99, False)])
def test_a_renewal_and_a_publication_that_meet_are_both_done(dynamodb, times, passes):
    lease = acquire("t", dynamodb, "lines", 60)
    for act in (lambda held: held.renew(), lambda held: held.point(pointer("000000000001-a", lease.fence))):
        held = replace(lease, dynamodb=Conflicting(dynamodb, times))
        if passes:
            act(held)
            continue
        with pytest.raises(RetryableError) as caught:
            act(held)
        assert caught.value.code is ErrorCode.SERVICE_UNAVAILABLE


def test_a_pointer_item_that_names_no_version_is_refused_before_a_path_is_made_of_it(dynamodb):
    lease = acquire("t", dynamodb, "lines", 60)
    lease.point(pointer("000000000001-old", lease.fence).model_copy(update={"version": "../../elsewhere"}))
    with pytest.raises(PermanentError) as caught:
        lease.current()
    assert caught.value.code is ErrorCode.SNAPSHOT_CORRUPT
    assert "version: String should match pattern" in caught.value.value


class Lossy:
    """A client that does what it is told and then loses the answer, so often."""

    def __init__(self, client, times):
        self._client, self._left = client, times

    def __getattr__(self, name):
        return getattr(self._client, name)

    def update_item(self, **arguments):
        answer = self._client.update_item(**arguments)
        if self._left:
            self._left -= 1
            raise ReadTimeoutError(endpoint_url="https://example.invalid")
        return answer


def test_an_acquisition_whose_answer_was_lost_holds_nobody_up(dynamodb):
    acquire("t", dynamodb, "lines", -10)
    lease = acquire("t", Lossy(dynamodb, 2), "lines", 60, sleep=lambda _: None)
    lease.renew()
    lease.point(pointer("000000000009-a", lease.fence))


def test_a_fence_without_a_pointer_item_stays_above_what_is_published_nevertheless(dynamodb):
    assert acquire("t", dynamodb, "lines", 60, published_fence=lambda: 56).fence == 57
