"""What a tick leaves in the log for the alarms: without it 1,731 runs may wait for two months and nobody is told."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from compaction_handler.handler import TICK_SOURCE, MergeHandler
from compaction_handler.health import stale_seconds
from compaction_handler.soundness import Verdict
from pipeline.errors import PermanentError, RetryableError
from pipeline.logs import configure_logging
from pipeline.metrics import NAMESPACE, UNITS, Measure
from tests.compaction.world import START, MergeWorld, spoil
from tests.world import TABLE

Measured = Callable[[], dict[str, Any]]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Measured]:
    """The metrics of the log since they were last asked for, as CloudWatch reads them: from lines of JSON."""
    root, written = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers, root.level
    monkeypatch.setattr("sys.stderr", written)
    configure_logging()

    def measured() -> dict[str, Any]:
        lines = [json.loads(line) for line in written.getvalue().splitlines()]
        written.seek(0)
        written.truncate()
        found: dict[str, Any] = {}
        for line in (line for line in lines if "_aws" in line):
            (directive,) = line["_aws"]["CloudWatchMetrics"]
            # Amazon CloudWatch user guide, embedded metric format specification: each name is a member of the root.
            assert directive["Namespace"] == NAMESPACE
            assert [line[name] for (name,) in directive["Dimensions"]] == [TABLE]
            assert isinstance(line["_aws"]["Timestamp"], int)
            for metric in directive["Metrics"]:
                assert metric["Unit"] == UNITS[Measure(metric["Name"])]
                found[metric["Name"]] = line[metric["Name"]]
        return found

    yield measured
    root.handlers, root.level = handlers, level


REQUESTS = {"OldestQueueRequest": 0}


def tick(process: MergeHandler) -> None:
    process.handle({"source": TICK_SOURCE})


def hold_lease(world: MergeWorld, expires: float) -> None:
    world.dynamodb.put_item(
        TableName=TABLE,
        Item={
            "PK": {"S": "COLLECTION#lines"},
            "SK": {"S": "LEASE"},
            "lease_owner": {"S": "somebody"},
            "fence": {"N": "7"},
            "expires": {"N": str(int(expires))},
        },
    )


def test_every_metric_has_a_unit():
    assert UNITS.keys() == set(Measure)


def test_a_tick_with_nothing_to_do_says_that_it_ran_and_that_nothing_waits(world, log):
    tick(world.process())
    assert log() == REQUESTS | {"FailedTicks": 0, "OldestUnfinishedRun": 0, "FailedRuns": 0, "StaleLease": 0}


def test_runs_that_no_tick_merges_grow_old_beside_a_lease_that_nobody_can_take(world, log, monkeypatch):
    """The lease is dated an hour ahead; a live holder's ends within its 60 seconds."""
    monkeypatch.setattr("compaction_handler.lease.time.sleep", lambda _: None)
    world.run(1)
    world.moment = START + timedelta(hours=2)
    monkeypatch.setattr("compaction_handler.lease.time.time", world.moment.timestamp)
    hold_lease(world, world.moment.timestamp() + 3_660)
    process = world.process()
    tick(process)
    # The words are merged, the lines are not.
    assert log() == REQUESTS | {"FailedTicks": 0, "OldestUnfinishedRun": 7_200, "FailedRuns": 0, "StaleLease": 3_600}
    hold_lease(world, 0)
    tick(process)
    assert log() == REQUESTS | {"FailedTicks": 0, "OldestUnfinishedRun": 0, "FailedRuns": 0, "StaleLease": 0}


def test_a_run_that_was_given_up_is_counted_until_somebody_looks_after_it(world, log):
    bad = world.run(1)
    spoil(world, bad, lines_delta_sha256="0" * 64)
    world.moment = START + timedelta(minutes=6)
    process = world.process()
    for _ in range(2):
        tick(process)
        assert log() == REQUESTS | {"FailedTicks": 0, "OldestUnfinishedRun": 0, "FailedRuns": 1, "StaleLease": 0}


def test_a_tick_that_fails_is_counted_and_still_measures(world, log):
    world.settings["bootstrap_collections"] = False
    world.run(1)
    world.moment = START + timedelta(minutes=6)
    with pytest.raises(PermanentError, match="SNAPSHOT_MISSING"):
        tick(world.process())
    assert log() == REQUESTS | {"FailedTicks": 1, "OldestUnfinishedRun": 360, "FailedRuns": 0, "StaleLease": 0}


def test_a_tick_that_cannot_measure_has_failed(world, log):
    process = world.process()
    world.dynamodb.delete_table(TableName=TABLE)
    with pytest.raises((RetryableError, PermanentError)):
        tick(process)
    assert log() == {"FailedTicks": 1}


def test_an_index_that_loses_texts_has_a_metric_of_its_own_and_fails_no_tick(world, log, monkeypatch):
    monkeypatch.setattr(
        "tests.compaction.world.judge_where_there_is_room",
        lambda _: Verdict(losses=("1 text is not found by its own vector",)),
    )
    world.run(1)
    world.moment = START + timedelta(minutes=6)
    tick(world.process())
    assert log() == REQUESTS | {
        "LowRecall": 1,
        "FailedTicks": 0,
        "OldestUnfinishedRun": 360,
        "FailedRuns": 0,
        "StaleLease": 0,
    }


@pytest.mark.parametrize(
    ("expires", "stale"),
    [
        (0, 0),  # given back, or never taken
        (1_000, 0),  # held: it ends now
        (1_060, 0),  # held: it was renewed this moment
        (900, 100),  # its holder died 100 seconds ago at the latest, and nobody took over
        (1_100, 40),  # no holder dates it so far ahead
    ],
)
def test_a_lease_is_stale_when_no_live_holder_can_have_written_it(expires, stale):
    assert stale_seconds([0, expires], now=1_000, lease_seconds=60) == stale
