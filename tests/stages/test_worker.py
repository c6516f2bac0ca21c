"""The ECS worker's loop. A failure here loses a message, holds one for hours, or leaves a task that polls uninvited."""

import errno
import io
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from compaction_worker import held as held_module
from compaction_worker import worker as worker_module
from compaction_worker.environment import WorkerEnvironment
from compaction_worker.fence import LOOK_SECONDS
from compaction_worker.protection import TaskProtection
from compaction_worker.stopping import StopRequest
from pipeline.embedding.work import Disposition
from tests.stages.anything import refusal
from tests.stages.polling_worker import Clock, Mappings, PolledQueue, run
from tests.stages.prepared_core import PreparedCore, core_with, message
from tests.stages.test_stages import gate


def test_what_is_done_is_deleted_and_what_must_come_back_is_not(environment):
    queue = PolledQueue([[message(1), message(2), message(3)], []], StopRequest())
    core = PreparedCore({"m2": Disposition.RETRY, "m3": Disposition.PARKED})
    assert run(environment, queue, core) == 0
    assert sorted(queue.deleted) == ["r1", "r3"]
    assert sorted(item.group_id for item in core.seen) == ["g1", "g2", "g3"]
    assert Path(environment.health_file).exists()


def test_a_stop_before_the_first_poll_is_kept(environment):
    stop = StopRequest()
    stop.request()
    queue = PolledQueue([[message(1)]], stop)
    assert run(environment, queue, PreparedCore()) == 0
    assert len(queue.receives) == 1


def test_a_batch_that_is_held_when_the_stop_comes_is_finished(environment):
    queue = PolledQueue([[message(1)]], StopRequest())
    assert run(environment, queue, PreparedCore()) == 0
    assert queue.deleted == ["r1"]


def test_a_worker_without_the_right_to_receive_says_so_and_goes(environment, no_pause):
    queue = PolledQueue([refusal("AccessDenied")] * 4, StopRequest())
    assert run(environment, queue, PreparedCore(), step=50.0) == worker_module.EXIT_REFUSED
    assert queue.receives


def test_a_right_that_is_still_on_its_way_is_waited_for(environment, no_pause):
    queue = PolledQueue([refusal("AccessDenied"), refusal("AccessDenied"), [message(1)], []], StopRequest())
    assert run(environment, queue, PreparedCore(), step=10.0) == 0
    assert queue.deleted == ["r1"]


@pytest.mark.parametrize("state", ["Enabled", "Enabling", "Disabling", "Creating", "Updating"])
def test_beside_a_mapping_that_is_not_disabled_the_worker_does_not_poll(environment, state, caplog):
    queue = PolledQueue([[message(1)], []], StopRequest())
    mappings = Mappings([["Disabled", state]])
    assert run(environment, queue, PreparedCore(), mappings=mappings) == worker_module.EXIT_FENCED == 5
    assert len(queue.receives) == 2
    assert "FENCED" in caplog.text
    assert f"mapping u1 of embed is {state}" in caplog.text


def test_a_mapping_that_is_enabled_later_stops_the_worker_which_gives_back_what_it_holds(environment):
    core, queue = PreparedCore(), PolledQueue([[message(1)], [message(2), message(3)], []], StopRequest())
    mappings = Mappings([["Disabled"], ["Disabled"], ["Disabled"], ["Enabled"]])
    assert run(environment, queue, core, mappings=mappings, step=LOOK_SECONDS) == worker_module.EXIT_FENCED
    assert [item.message_id for item in core.seen] == ["m1"]
    assert queue.visibilities == [("r2", 0), ("r3", 0)]


def test_a_mapping_that_is_enabled_during_a_long_poll_is_seen_before_anything_is_worked_on(environment):
    core, queue = PreparedCore(), PolledQueue([[message(1)], []], StopRequest(), poll_seconds=5.0)
    assert run(environment, queue, core, mappings=Mappings([[], ["Enabled"]])) == worker_module.EXIT_FENCED
    assert core.seen == []
    assert queue.visibilities == [("r1", 0)]


def test_a_worker_that_may_not_ask_lambda_ends_when_its_right_had_time_to_hold(environment, no_pause, caplog):
    queue = PolledQueue([[message(1)], []], StopRequest())
    mappings = Mappings([refusal("AccessDeniedException")])
    step = worker_module.PROPAGATION_SECONDS / 3
    assert run(environment, queue, PreparedCore(), mappings=mappings, step=step) == worker_module.EXIT_REFUSED
    assert queue.deleted == []
    assert "lambda:ListEventSourceMappings" in caplog.text


def test_what_lambda_does_not_say_is_not_taken_for_clear(environment, no_pause):
    queue = PolledQueue([[message(1)], []], StopRequest())
    mappings = Mappings([refusal("TooManyRequestsException"), refusal("TooManyRequestsException"), []])
    assert run(environment, queue, PreparedCore(), mappings=mappings) == 0
    assert queue.deleted == ["r1"]
    assert mappings.answers == [[]]


def test_the_fence_looks_again_only_after_a_while(environment):
    mappings = Mappings([[], ["Enabled"]])
    queue = PolledQueue([[message(number)] for number in range(5)] + [[]], StopRequest())
    assert run(environment, queue, PreparedCore(), mappings=mappings) == 0
    assert len(queue.deleted) == 5


class Agent:
    """ECS's agent: answers as prepared, and remembers what it was asked."""

    def __init__(self, answers: list[dict[str, Any]]) -> None:
        self.answers, self.asked = answers, []

    def open(self, request: Any, timeout: float) -> io.BytesIO:
        self.asked.append(json.loads(request.data)["ProtectionEnabled"])
        return io.BytesIO(json.dumps(self.answers.pop(0) if self.answers else {}).encode())


def test_a_task_that_is_busy_without_a_pause_learns_that_it_is_unwanted(monkeypatch):
    agent = Agent([{}, {}, {"failure": {"Reason": "DEPLOYMENT_BLOCKED"}}])
    monkeypatch.setattr("urllib.request.urlopen", agent.open)
    protection = TaskProtection("http://agent", clock=Clock(25.0))
    assert [protection.set(True) for _ in range(4)] == [True, True, True, False]
    assert agent.asked == [True, False, True]


def test_a_fault_of_the_queue_is_survived(environment, no_pause):
    queue = PolledQueue([refusal("InternalError"), [message(1)], []], StopRequest())
    assert run(environment, queue, PreparedCore()) == 0
    assert queue.deleted == ["r1"]


def test_a_signal_asks_for_a_stop_and_the_old_handlers_come_back():
    import signal

    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
    assert signal.getsignal(signal.SIGTERM) is before


def start(environment: WorkerEnvironment, queue: PolledQueue, core: PreparedCore) -> tuple[Any, list[Any]]:
    """Run the worker in a thread; its exit code is in the list when it has ended."""
    ended: list[Any] = []

    def work() -> None:
        ended.append(run(environment, queue, core))

    thread = threading.Thread(target=work)
    thread.start()
    return thread, ended


@pytest.mark.parametrize("stage", ["on_prepare", "on_embed", "on_write"])
def test_a_stop_in_any_stage_ends_the_receives_and_finishes_what_is_held(environment, stage):
    reached, go_on, stops = gate("m1")
    queue = PolledQueue([[message(1), message(2)], *([] for _ in range(99))], StopRequest(), poll_seconds=0.01)
    core = core_with(stage, stops)
    thread, ended = start(environment, queue, core)
    assert reached.wait(10)
    queue.stop.request()
    time.sleep(0.3)
    left = len(queue.receives)
    go_on.set()
    thread.join(10)
    assert ended == [0]
    assert sorted(queue.deleted) == ["r1", "r2"]
    assert len(queue.receives) == left, "nothing is received after a stop"
    assert queue.visibilities == []


@pytest.mark.parametrize("stage", ["on_prepare", "on_embed", "on_write"])
def test_a_heartbeat_that_dies_ends_the_worker_with_every_message_deleted_or_released(environment, stage, monkeypatch):
    """What was begun is finished, or released after the call that runs; never both, and never left hidden."""
    monkeypatch.setattr(held_module, "BEATS_PER_TIMEOUT", 6_000)
    reached, go_on, stops = gate("m1")
    queue = PolledQueue([[message(1)], *([] for _ in range(9_999))], StopRequest())
    queue.settle = 0.01
    thread, ended = start(environment, queue, core_with(stage, stops))
    assert reached.wait(10)
    queue.refuse_beats = True
    assert queue.refused.wait(10)
    go_on.set()
    thread.join(10)
    assert ended == [worker_module.EXIT_REFUSED]
    assert queue.receives, "it did not go on receiving"
    assert (queue.deleted, queue.visibilities) in ((["r1"], []), ([], [("r1", 0)]))
    assert stage != "on_write" or queue.deleted == ["r1"]


@pytest.mark.parametrize("stage", ["on_prepare", "on_embed", "on_write"])
def test_a_bug_in_a_stage_ends_the_worker_and_releases_what_it_holds(environment, stage):
    def bug(_: Any) -> None:
        raise ZeroDivisionError("a bug")

    queue = PolledQueue([[message(1), message(2)], *([] for _ in range(999))], StopRequest())
    thread, ended = start(environment, queue, core_with(stage, bug))
    thread.join(10)
    assert ended == [worker_module.EXIT_BROKEN]
    assert sorted(queue.visibilities) == [("r1", 0), ("r2", 0)]
    assert queue.deleted == []


STUCK_WORKER = """
import sys, threading
from pathlib import Path
from compaction_worker import worker
from compaction_worker.stopping import StopRequest
from tests.stages.anything import refusal
from tests.stages.polling_worker import PolledQueue, run, worker_environment
from tests.stages.prepared_core import core_with, message
from tests.stages.test_stages import gate

worker.STOP_MARGIN_SECONDS, worker.EXIT_MARGIN_SECONDS = 1.5, 0.5
stage, release = sys.argv[1:3]
queue = PolledQueue([[message(1)], []], StopRequest())
queue.on_release = {"works": None, "raises": refusal("AccessDenied"), "hangs": threading.Event()}[release]
core = core_with(stage, lambda ids: threading.Event().wait())
environment = worker_environment(Path(sys.argv[3])).model_copy(update={"stop_timeout_seconds": 2})
queue.on_released = lambda released: print(released, flush=True)
sys.exit(run(environment, queue, core))
"""


@pytest.mark.parametrize("release", ["works", "raises", "hangs"])
@pytest.mark.parametrize("stage", ["on_prepare", "on_embed", "on_write"])
def test_what_cannot_be_finished_in_the_stop_timeout_is_released_and_the_exit_code_says_so(stage, release, tmp_path):
    """The release itself may fail or hang: ECS must still see the exit code, and not a kill."""
    ended = subprocess.run(
        [sys.executable, "-c", STUCK_WORKER, stage, release, str(tmp_path)],
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == worker_module.EXIT_RELEASED
    assert ended.stdout == ("[('r1', 0)]\n" if release == "works" else "")


def test_an_empty_queue_is_asked_to_answer_at_once_only_while_something_waits_for_the_answer(environment):
    full = [message(number) for number in range(10)]
    queue = PolledQueue([[], full, [], [message(11)], [], []], StopRequest())
    queue.settle = 0.1
    assert run(environment, queue, PreparedCore()) == 0
    assert queue.waits == [5, 5, 0, 5, 5, 5]
    assert len(queue.deleted) == 11


def test_two_receives_of_a_full_queue_share_a_request(environment):
    receives = [[message(number) for number in range(start, start + 10)] for start in (0, 10)]
    core, queue = PreparedCore(), PolledQueue([*receives, [message(20)], []], StopRequest())
    assert run(environment, queue, core) == 0
    assert [len(request) for request in core.requests] == [21]


def test_a_task_that_ecs_does_not_want_gives_back_what_it_just_received(environment, monkeypatch):
    answers = iter([True, False])
    monkeypatch.setattr(TaskProtection, "set", lambda _, protected: next(answers) if protected else True)
    queue = PolledQueue([[message(1)], [message(2)], []], StopRequest())
    assert run(environment, queue, PreparedCore()) == worker_module.EXIT_REFUSED
    assert queue.deleted == ["r1"], "what it held before is finished"
    assert queue.visibilities == [("r2", 0)]


def test_a_health_file_that_finds_no_room_costs_no_message(environment, monkeypatch, caplog):
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "touch", full)
    queue = PolledQueue([[message(1)], []], StopRequest())
    assert run(environment, queue, PreparedCore()) == worker_module.EXIT_OK
    assert queue.deleted == ["r1"]
    assert any(record.error_code == "STORAGE_FULL" for record in caplog.records if hasattr(record, "error_code"))


def test_the_health_file_is_not_touched_while_a_message_is_held_for_too_long(environment, monkeypatch):
    monkeypatch.setattr(worker_module, "WEDGED_SECONDS", 0.2)
    reached, go_on, stops = gate("m1")
    queue = PolledQueue([[message(1)], *([] for _ in range(9_999))], StopRequest())
    queue.settle = 0.01
    thread, ended = start(environment, queue, PreparedCore(on_embed=stops))
    assert reached.wait(10)
    time.sleep(0.4)
    first = Path(environment.health_file).stat().st_mtime_ns
    time.sleep(0.2)
    assert Path(environment.health_file).stat().st_mtime_ns == first
    go_on.set()
    deadline = time.monotonic() + 10
    while Path(environment.health_file).stat().st_mtime_ns == first:
        assert time.monotonic() < deadline
    queue.stop.request()
    thread.join(10)
    assert ended == [0]
