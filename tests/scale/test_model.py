"""The model of the stack under load; a model that is wrong has somebody buy tasks that change nothing."""

import math
from dataclasses import replace
from typing import Any

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from compaction_handler.coalescing import RUNS_PER_MESSAGE
from compaction_handler.merging import PUBLISHED_WHILE_MORE_WAITS
from compaction_handler.planning import DELTAS_AT_ONCE, ROWS_AT_ONCE
from ops.scale import work
from ops.scale.fifo import FifoQueue
from ops.scale.model import MORE_WAITS_SECONDS, PORTION_RUNS, RUNS_A_MESSAGE, simulate
from ops.scale.scenario import COLLECTIONS, Outcome, Scenario, poisson
from ops.scale.times import BENCHMARK, MergeTimes, sources

TIMES = replace(
    BENCHMARK,
    upload=0.5,
    notification=1.0,
    poll=0.25,
    embed=2.0,
    embed_a_receipt=0.125,
    embed_cold=8.0,
    task=2.0,
    task_a_receipt=0.125,
    stream=0.5,
    merge_cold=16.0,
    merge={
        "lines": MergeTimes(delta=0.25, publication=1.0, publication_a_byte=0.0, upload_a_byte=0.0),
        "words": MergeTimes(delta=0.5, publication=2.0, publication_a_byte=0.0, upload_a_byte=0.5),
    },
)


def scenario(arrivals: list[float], **changes: Any) -> Scenario:
    given: dict[str, Any] = {
        "arrivals": arrivals,
        "upload_concurrency": 10,
        "function_concurrency": 2,
        "publish_every": 0.0,
        "tick": 60.0,
        "version_bytes": dict.fromkeys(COLLECTIONS, 0.0),
        "seconds": 10_000.0,
        "times": TIMES,
    }
    return Scenario(**{**given, **changes})


def test_one_receipt_takes_the_sum_of_its_steps():
    outcome = simulate(scenario([3.0], version_bytes={"lines": 0.0, "words": 4.0}))
    embedding = 1.0 + 0.5 + 0.25 + 8.0 + 2.0 + 0.125
    stream = 5.0 + 0.5
    # Words are the slower ones: what is there of a version goes to S3, half a second a byte.
    merge = 0.25 + 16.0 + 0.5 + 2.0 + 0.5 * 4
    assert outcome.searchable == [(3.0, embedding + stream + merge)]
    assert outcome.recorded == [3.0 + embedding]
    assert outcome.publications == {"lines": 1, "words": 1}
    assert outcome.invocations["embed"] == outcome.invocations["upload"] == 1
    assert outcome.busy_seconds["embed"] == 2.125


def test_within_the_interval_a_version_waits_for_the_tick_after_it():
    outcome = simulate(scenario([0.0, 100.0], publish_every=300.0, tick=300.0))
    (first, early), (second, late) = outcome.searchable
    assert (first, second) == (0.0, 100.0)
    assert early < 60
    # Published first at about 36 s, so the tick at 300 s is too early and the one at 600 s publishes.
    assert 500 < late < 505
    assert outcome.publications == {"lines": 2, "words": 2}


def test_without_an_interval_a_version_waits_for_the_runs_behind_it_but_not_for_ever():
    burst = simulate(scenario([0.0] * 400, upload_concurrency=1_000, function_concurrency=20))
    assert burst.waiting == 0
    alone = simulate(scenario([0.0, 1_000.0]))
    # Each alone is published at once; a burst's messages share versions.
    assert alone.publications == {"lines": 2, "words": 2}
    assert max(burst.publications.values()) < burst.invocations["embed"] / 2


def test_receipts_of_one_group_are_never_embedded_at_once_and_others_are():
    together = simulate(scenario([0.0] * 4, batch_size=1))
    alone = simulate(scenario([0.0] * 4, batch_size=1, groups=[7] * 4))
    assert len(together.recorded) == len(alone.recorded) == 4
    gaps = [later - earlier for earlier, later in zip(alone.recorded, alone.recorded[1:], strict=False)]
    assert min(gaps) >= 2.125
    assert together.recorded[0] == together.recorded[1]


@pytest.mark.parametrize("concurrency", [2, 5])
def test_a_backlog_is_worked_off_as_fast_as_the_batches_allow(concurrency: int):
    outcome = simulate(scenario([0.0] * 200, function_concurrency=concurrency, upload_concurrency=1_000))
    batches = 200 / 10 / concurrency
    assert outcome.recorded[-1] == pytest.approx(1.75 + 8.0 + batches * (2.0 + 10 * 0.125))
    assert outcome.invocations["embed"] == 20


def test_a_merge_takes_what_its_lease_lets_it_and_no_more():
    """At 1.25 of its capacity the queue grows by a fifth of what comes; at 0.8 it does not grow."""
    most = 1 / TIMES.merge["words"].delta
    seconds = 4_000.0
    for share, is_saturated in ((0.8, False), (1.25, True)):
        arrivals = poisson(share * most, seconds)
        outcome = simulate(scenario(arrivals, publish_every=300.0, seconds=seconds, function_concurrency=20))
        waiting = outcome.waiting / len(arrivals)
        assert (waiting > 0.15) is is_saturated, waiting


def test_shards_merge_side_by_side():
    arrivals = poisson(4.0, 2_000.0)
    one, four = (
        simulate(scenario(arrivals, publish_every=60.0, seconds=2_400.0, function_concurrency=20, shards=count))
        for count in (1, 4)
    )
    assert one.waiting > 0.2 * len(arrivals)
    assert four.waiting == 0
    assert len(four.searchable) == len(arrivals)


def test_tasks_come_with_the_backlog_and_go_when_nothing_is_left():
    times = replace(TIMES, task_start=60.0, alarm=120.0, task=30.0, task_a_receipt=1.0)
    burst = scenario([0.0] * 900, function_concurrency=0, most_tasks=4, times=times, upload_concurrency=1_000)
    outcome = simulate(burst)
    assert outcome.most_tasks == 4
    assert outcome.waiting == 0
    # Nobody is there for the first: metrics and alarm, then the image.
    assert 60 + 120 + 60 < outcome.recorded[0] < 60 + 120 + 60 + 62
    # Ten idle minutes after the last message they are gone, long before the end.
    assert outcome.task_seconds < 4 * 2_000


def test_a_task_that_runs_to_the_end_is_counted_to_the_end():
    outcome = simulate(scenario([9_900.0], function_concurrency=0, most_tasks=2, warm_tasks=1, idle_minutes=10**6))
    assert outcome.task_seconds == 10_000.0


def test_with_both_consumers_the_large_ones_go_to_the_worker():
    arrivals = [float(number) for number in range(1_000)]
    outcome = simulate(scenario(arrivals, most_tasks=2, warm_tasks=1, large_share=0.25, batch_size=1))
    assert outcome.waiting == 0
    assert 700 < outcome.invocations["embed"] < 800


@given(st.lists(st.floats(0, 500), min_size=1, max_size=40), st.integers(1, 3), st.integers(1, 4), st.randoms())
def test_every_receipt_becomes_searchable_once_whatever_comes(moments, concurrency, groups, source):
    arrivals = sorted(moments)
    given_groups = [source.randrange(groups) for _ in arrivals]
    outcome = simulate(scenario(arrivals, groups=given_groups, function_concurrency=concurrency, publish_every=30.0))
    assert outcome.waiting == 0
    assert sorted(arrived for arrived, _ in outcome.searchable) == arrivals
    assert min(seconds for _, seconds in outcome.searchable) > 3.6


def test_random_arrivals_are_as_many_as_asked_for_and_the_same_each_time():
    arrivals = poisson(5.0, 1_000.0)
    assert arrivals == poisson(5.0, 1_000.0) == sorted(arrivals)
    assert len(arrivals) == pytest.approx(5_000, rel=0.05)


def test_percentiles_are_of_those_that_arrived_in_time():
    outcome = Outcome(searchable=[(0.0, 10.0), (1.0, 20.0), (9.0, 999.0)])
    assert outcome.percentile(0.5, arrived_before=5.0) == 20.0
    assert outcome.percentile(0.99) == 999.0
    assert math.isnan(Outcome().percentile(0.5))


def test_a_queue_gives_no_message_of_a_group_that_is_in_flight():
    queue = FifoQueue(simpy.Environment())
    for group, message in ((1, "a"), (1, "b"), (2, "c"), (1, "d")):
        queue.put(group, message)
    first = queue.take(1)
    assert first == [(1, "a")]
    assert queue.take(10) == [(2, "c")]
    queue.done(first)
    assert queue.take(10) == [(1, "b"), (1, "d")]
    assert (len(queue), queue.in_flight) == (0, 3)


def test_the_models_portions_are_the_merges():
    rows = {"lines": work.LINES, "words": work.WORDS}
    assert {name: min(DELTAS_AT_ONCE, int(ROWS_AT_ONCE / rows[name])) for name in COLLECTIONS} == PORTION_RUNS
    assert RUNS_A_MESSAGE == RUNS_PER_MESSAGE
    assert PUBLISHED_WHILE_MORE_WAITS.total_seconds() == MORE_WAITS_SECONDS


def test_every_time_says_where_it_is_from():
    told = sources(BENCHMARK)
    assert len({name for name, _, _ in told}) == len(told) == 15
    assert all(source for _, _, source in told)
    # 100 word deltas took 9.0 s, 10 took 1.3 s, of a version of 165 MB (docs/benchmarks.md).
    words = BENCHMARK.merge["words"]
    for deltas, seconds in ((10, 1.3), (100, 9.0)):
        assert words.delta * deltas + words.publication + words.publication_a_byte * 165e6 == pytest.approx(seconds)
