"""The worker's stages side by side. A failure here mixes up the order of a receipt, stalls, or loses what is held."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from compaction_worker import stages as stages_module
from compaction_worker.gathering import Gathering
from compaction_worker.held import HeldMessage, HeldMessages
from compaction_worker.stages import Stages
from pipeline.embedding.work import Disposition
from tests.stages.prepared_core import PreparedCore, core_with, held_message
from tests.stages.test_held import QUEUE, Queue, until

SECONDS = 10


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def held(queue: Queue) -> Iterator[HeldMessages]:
    with HeldMessages(queue, QUEUE, 60) as holding:
        yield holding


def messages(first: int, last: int, group: str | None = None) -> list[HeldMessage]:
    return [held_message(number, group) for number in range(first, last + 1)]


def begin(stages: Stages, held: HeldMessages, received: list[HeldMessage], *, more: bool = False) -> None:
    held.hold(received)
    stages.submit(received, more_is_expected=more)


def opened(core: PreparedCore, held: HeldMessages, **more: Any) -> Stages:
    return Stages(core, held, **more)  # pyrefly: ignore[bad-argument-type]


def gate(*stopped: str) -> tuple[threading.Event, threading.Event, Callable[[Sequence[str]], None]]:
    """A stage that waits with some messages: that it was reached, what lets it go on, and what the stage calls."""
    reached, go_on = threading.Event(), threading.Event()

    def stage(ids: Sequence[str]) -> None:
        if not stopped or set(stopped) & set(ids):
            reached.set()
            assert go_on.wait(SECONDS)

    return reached, go_on, stage


def test_receives_share_a_request_while_more_is_expected_and_go_on_at_once_when_not(held, queue):
    core = PreparedCore()
    with opened(core, held) as stages:
        for start in (1, 11, 21):
            begin(stages, held, messages(start, start + 9), more=True)
        until(lambda: len(core.seen) == 30)
        time.sleep(0.05)
        assert core.requests == []
        assert stages.gathers
        stages.submit([], more_is_expected=False)
        until(lambda: len(queue.handles("delete")) == 30)
    assert [len(request) for request in core.requests] == [30]


def test_a_message_that_waits_for_the_key_comes_back_sooner_than_one_that_failed_otherwise(held, queue):
    retry = {"m1": Disposition.RETRY, "m2": Disposition.RETRY}
    with opened(PreparedCore(dispositions=retry, pauses={"m1": 77}), held) as stages:
        begin(stages, held, messages(1, 3))
        until(lambda: queue.handles("delete") == ["r3"])
        until(lambda: not len(held))
    assert queue.handles("release after 77") == ["r1"]
    assert queue.handles("release") == []


def test_a_lone_message_waits_for_nobody(held, queue, monkeypatch):
    monkeypatch.setattr(stages_module, "SLOW_NEIGHBOUR_SECONDS", 3_600)
    monkeypatch.setattr(stages_module, "WAKE_SECONDS", 3_600)
    with opened(PreparedCore(), held) as stages:
        begin(stages, held, messages(1, 1))
        until(lambda: queue.handles("delete") == ["r1"])


def test_a_full_request_goes_although_more_is_expected(held, queue):
    core = PreparedCore()
    with opened(core, held, gathering=Gathering(maximum_inputs=3)) as stages:
        begin(stages, held, messages(1, 5), more=True)
        until(lambda: len(core.requests) == 1)
        time.sleep(0.05)
        assert [len(request) for request in core.requests] == [3], "two do not fill the next one"
        stages.finish()
    assert [len(request) for request in core.requests] == [3, 2]
    assert len(queue.handles("delete")) == 5


def test_a_neighbour_that_is_read_slowly_does_not_hold_up_the_others_for_long(held, queue, monkeypatch):
    monkeypatch.setattr(stages_module, "SLOW_NEIGHBOUR_SECONDS", 0.1)
    _, go_on, stage = gate("m1")
    core = PreparedCore(on_prepare=stage)
    with opened(core, held) as stages:
        begin(stages, held, messages(1, 3))
        until(lambda: sorted(queue.handles("delete")) == ["r2", "r3"])
        go_on.set()
        stages.finish()
    assert sorted(queue.handles("delete")) == ["r1", "r2", "r3"]


def test_reading_embedding_and_writing_happen_at_the_same_time(held, queue):
    """Each stage waits until the other two are at work on other messages: one after the other, it would not end."""
    together = threading.Barrier(3)

    def waits_for(number: str) -> Callable[[Sequence[str]], None]:
        return lambda ids: (together.wait(SECONDS), None)[1] if number in ids else None

    core = PreparedCore(on_prepare=waits_for("m3"), on_embed=waits_for("m2"), on_write=waits_for("m1"))
    with opened(core, held) as stages:
        for number in (1, 2, 3):
            begin(stages, held, messages(number, number))
            until(lambda number=number: len(core.seen) == number)
            until(lambda number=number: number == 3 or len(core.requests) == number)
        stages.finish()
    assert stages.failure is None
    assert sorted(queue.handles("delete")) == ["r1", "r2", "r3"]


def test_messages_of_a_group_go_through_in_their_order_however_slow_the_first_is(held):
    core = PreparedCore(on_prepare=lambda ids: time.sleep(0.1 if "m1" in ids else 0))
    with opened(core, held) as stages:
        begin(stages, held, [*messages(1, 4, "g"), *messages(5, 8)])
        stages.finish()
    order = [item for item in core.written if item in ("m1", "m2", "m3", "m4")]
    assert order == ["m1", "m2", "m3", "m4"]
    assert [item.message_id for item in core.seen if item.group_id == "g"] == order


def test_what_must_come_back_is_left_to_its_visibility_timeout_and_the_rest_is_deleted(held, queue):
    retry = Disposition.RETRY
    core = PreparedCore({"m1": retry, "m2": retry})
    with opened(core, held) as stages:
        begin(stages, held, [*messages(1, 2, "g"), held_message(3)])
        stages.finish()
        until(lambda: len(held) == 0)
    assert queue.batches == [("delete", ["r3"])]


def test_a_group_of_which_a_message_is_no_longer_held_is_not_written(held, queue):
    reached, go_on, stage = gate()
    core = PreparedCore(on_embed=stage)
    with opened(core, held) as stages:
        begin(stages, held, [*messages(1, 2, "g"), held_message(3)])
        assert reached.wait(SECONDS)
        held.let_go([held_message(1, "g")])
        go_on.set()
        stages.finish()
    assert core.written == ["m3"]
    assert queue.handles("delete") == ["r3"]
    assert queue.handles("release") == ["r2"], "another consumer need not wait for it"


def test_no_more_is_received_than_may_be_held_until_there_is_room(held, queue, monkeypatch):
    monkeypatch.setattr(stages_module, "MAXIMUM_HELD", 20)
    reached, go_on, stage = gate()
    core, waited = PreparedCore(on_write=stage), threading.Event()
    with opened(core, held) as stages:
        begin(stages, held, messages(1, 11))
        assert reached.wait(SECONDS)
        waiting = threading.Thread(target=lambda: (stages.wait_for_room(10, lambda: False), waited.set()))
        waiting.start()
        assert not waited.wait(0.1)
        go_on.set()
        assert waited.wait(SECONDS)
        waiting.join()
        stages.finish()


def test_texts_that_wait_bound_what_is_received_as_well(held, monkeypatch):
    monkeypatch.setattr(stages_module, "MAXIMUM_WAITING_TEXTS", 3)
    core = PreparedCore(texts={"m1": ["a", "b", "c"]})
    with opened(core, held) as stages:
        begin(stages, held, messages(1, 1), more=True)

        def went_on() -> bool:
            # It waits only once the message is prepared.
            stages.wait_for_room(10, lambda: False)
            return core.requests == [["m1"]]

        until(went_on)
        stages.finish()


def test_while_others_are_written_what_is_gathered_waits_for_room_to_gather_more(held, monkeypatch):
    monkeypatch.setattr(stages_module, "MAXIMUM_HELD", 12)
    reached, go_on, stage = gate("m1")
    core = PreparedCore(on_write=stage)
    with opened(core, held) as stages:
        begin(stages, held, messages(1, 1))
        assert reached.wait(SECONDS)
        begin(stages, held, messages(2, 11), more=True)
        over = time.monotonic() + 0.5
        stages.wait_for_room(10, lambda: time.monotonic() > over)
        assert core.requests == [["m1"]]
        go_on.set()
        stages.finish()
    assert [len(request) for request in core.requests] == [1, 10]


@pytest.mark.parametrize("stage", ["on_prepare", "on_embed", "on_write"])
def test_an_error_of_no_known_kind_ends_the_work_and_leaves_the_messages_held(held, queue, stage):
    def bug(_: Sequence[str]) -> None:
        raise ZeroDivisionError("a bug")

    core = core_with(stage, bug)
    with opened(core, held) as stages:
        begin(stages, held, messages(1, 3))
        stages.finish()
        assert stages.broken
    assert isinstance(stages.failure, ZeroDivisionError)
    assert len(held) == 3
    assert queue.batches == []


@pytest.mark.parametrize("stage", ["on_prepare", "on_embed", "on_write"])
def test_when_it_is_closed_what_was_begun_is_ended_and_nothing_is_begun(held, queue, stage):
    reached, go_on, stops = gate("m1")
    core = core_with(stage, stops)
    with opened(core, held) as stages:
        begin(stages, held, messages(1, 1))
        assert reached.wait(SECONDS)
        threading.Timer(0.1, go_on.set).start()
    done = ["r1"] if stage == "on_write" else []
    assert queue.handles("delete") == done
    assert len(held) == 1 - len(done)
