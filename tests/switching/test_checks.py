"""Each of the six checks, shown and not shown, on a stack that is made of answers; and what a look that raises becomes.

A check that cannot fail would call every switch good.
"""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ops.switching import checks
from ops.switching.checks import CHECK_TITLES, CheckState, SwitchChecks, check_seconds, drains, messages
from ops.target import OperatorError
from pipeline.contracts.identifiers import COLLECTIONS, delta_key
from tests.switching.fakes import NOW, FakeStack

UPLOADED, DRAINS, LOGS, IDLE, DELTAS, RUN = CHECK_TITLES


@pytest.fixture
def stack() -> FakeStack:
    return FakeStack("ecs")


def switch_checks(stack: FakeStack, wanted: Any = "ecs", backlog: int = 0) -> SwitchChecks:
    return SwitchChecks(stack=stack, wanted=wanted, since=NOW, backlog=backlog)


def look(run: SwitchChecks, title: str) -> tuple[bool, str]:
    """The look of one check, after the upload that the others are about."""
    found = {check.title: check.look for check in run.checks()}
    if title != UPLOADED:
        found[UPLOADED]()
    return found[title]()


def test_a_receipt_is_uploaded_when_stage_1_has_taken_it(stack):
    run = switch_checks(stack)
    shows, told = look(run, UPLOADED)
    assert not shows
    assert "stage 1 has not made its artifacts" in told
    stack.export()
    assert look(run, UPLOADED)[0]
    assert len(stack.uploads()) == 1


def test_an_upload_that_is_tried_again_is_the_same_receipt(stack):
    run = switch_checks(stack)
    stack.put_fails = OperatorError("NO", "no", "none")
    with pytest.raises(OperatorError):
        look(run, UPLOADED)
    first = run.document
    stack.put_fails = None
    look(run, UPLOADED)
    assert stack.uploads() == [first]


@pytest.mark.parametrize(
    ("counts", "backlog", "expected"),
    [
        ([0], 0, True),
        ([5], 5, True),
        ([2], 0, False),
        ([2, 2, 2], 0, False),
        ([3, 2, 2], 0, False),
        ([3, 6, 9], 2, False),
        ([6, 3], 0, True),
        ([4, 6, 4], 0, True),
        ([1_000, 990], 900, True),
    ],
)
def test_a_queue_drains_that_holds_no_more_than_before_or_falls_by_more_than_the_checks_own(counts, backlog, expected):
    assert drains(counts, backlog) is expected


def test_the_queue_does_not_drain_before_the_checks_own_message_is_consumed(stack):
    run = switch_checks(stack, backlog=5)
    stack.waiting["embed"] = 0
    assert not look(run, DRAINS)[0]
    stack.waiting["embed"] = 2
    assert not look(run, DRAINS)[0]
    stack.record(run, "ecs")
    assert look(run, DRAINS)[0]


def test_messages_that_stand_still_are_not_a_queue_that_drains(stack):
    run = switch_checks(stack, backlog=0)
    look(run, UPLOADED)
    stack.record(run, "ecs")
    for waiting, expected in ((3, False), (2, False), (2, False), (5, False), (2, True)):
        stack.waiting["embed"] = waiting
        assert look(run, DRAINS)[0] is expected


def test_dead_letters_do_not_wait_for_stage_2(stack):
    stack.waiting |= {"embed": 2, "dead": 5}
    assert messages(stack.target()) == 2


def test_the_winner_works_when_its_log_names_the_run(stack):
    run = switch_checks(stack)
    stack.lines["ecs"] = ["a task started", "an error"]
    assert not look(run, LOGS)[0]
    stack.lines["lambda"] = [f"embedded {run.reference.run_id}"]
    assert not look(run, LOGS)[0]
    stack.lines["ecs"].append(f"embedded {run.reference.run_id}")
    assert look(run, LOGS)[0]


def test_the_loser_is_not_idle_when_it_logs(stack):
    run = switch_checks(stack)
    assert look(run, IDLE)[0]
    stack.lines["lambda"] = ["START"]
    shows, told = look(run, IDLE)
    assert not shows
    assert "START" in told


def test_the_loser_is_not_idle_when_the_audit_finds_somebody(stack):
    run = switch_checks(stack)
    stack.mapping = "Enabled"
    shows, told = look(run, IDLE)
    assert not shows
    assert "TWO_CONSUMERS on embed" in told


def test_deltas_appear_when_both_collections_have_theirs(stack):
    run = switch_checks(stack)
    assert not look(run, DELTAS)[0]
    stack.record(run, "ecs")
    lines, words = (delta_key(name, run.reference.run_id, "0" * 64) for name in COLLECTIONS)
    stack.objects["vectors", lines] = b""
    shows, told = look(run, DELTAS)
    assert not shows
    assert "words/delta" in told
    stack.objects["vectors", words] = b""
    assert look(run, DELTAS)[0]


def test_a_run_counts_when_the_winner_recorded_it(stack):
    run = switch_checks(stack)
    assert not look(run, RUN)[0]
    stack.record(run, "lambda")
    assert not look(run, RUN)[0]
    stack.record(run, "ecs")
    assert look(run, RUN)[0]


def states(found: list[checks.Check]) -> dict[str, CheckState]:
    return {check.title: check.state for check in found}


@pytest.fixture
def all_shows(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> Callable[[], SwitchChecks]:
    """Checks of a stack on which everything goes well."""
    monkeypatch.setattr(checks, "POLL_SECONDS", 0.01)

    def make() -> SwitchChecks:
        run = switch_checks(stack)
        look(run, UPLOADED)
        stack.work(run)
        return run

    return make


def test_all_six_show_on_a_stack_that_works(all_shows):
    found = all_shows().run(5, lambda _: None)
    assert [check.title for check in found] == list(CHECK_TITLES)
    assert set(states(found).values()) == {CheckState.PASSED}, found


def test_the_loser_must_be_idle_until_the_others_have_passed(all_shows, stack):
    run = all_shows()
    recorded, stack.run = stack.run, None

    def on_change(found: list[checks.Check]) -> None:
        # It wakes up after a first look that found it idle.
        stack.lines["lambda"] = ["START"]
        stack.run = recorded

    found = run.run(0.2, on_change)
    assert states(found) == dict.fromkeys(CHECK_TITLES, CheckState.PASSED) | {IDLE: CheckState.FAILED}


def test_what_holds_until_the_end_is_not_called_failed_because_another_failed(all_shows, stack):
    run = all_shows()
    stack.run = None
    found = states(run.run(0.1, lambda _: None))
    assert found[IDLE] is CheckState.PASSED
    assert found[RUN] is found[DRAINS] is CheckState.FAILED


@pytest.mark.parametrize(
    "error",
    [
        OperatorError("LOGS_UNREADABLE", "log group g", "the operator needs logs:FilterLogEvents"),
        ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "FilterLogEvents"),
        ZeroDivisionError("a bug"),
    ],
)
def test_a_look_that_raises_has_not_shown_and_says_why(all_shows, stack, error):
    run = all_shows()
    stack.logs_fail = error
    found = run.run(0.1, lambda _: None)
    assert states(found)[LOGS] is CheckState.FAILED
    assert states(found)[RUN] is CheckState.PASSED
    (logs,) = (check for check in found if check.title == LOGS)
    assert logs.detail.startswith("not yet: ")
    assert str(error) in logs.detail


def test_a_look_that_raises_once_may_show_later(all_shows, stack):
    run = all_shows()
    stack.logs_fail = OperatorError("LOGS_UNREADABLE", "log group g", "wait")

    def on_change(found: list[checks.Check]) -> None:
        stack.logs_fail = None

    assert set(states(run.run(5, on_change)).values()) == {CheckState.PASSED}


def test_an_upload_that_fails_fails_what_follows_from_it_with_that_reason(stack, monkeypatch):
    monkeypatch.setattr(checks, "POLL_SECONDS", 0.01)
    stack.put_fails = OperatorError("DENIED", "s3:PutObject", "ask for it")
    found = {check.title: check for check in switch_checks(stack).run(0.1, lambda _: None)}
    assert found[UPLOADED].detail == f"not yet: {stack.put_fails}"
    assert "NOT_UPLOADED" in found[RUN].detail
    assert states(list(found.values())) == dict.fromkeys(CHECK_TITLES, CheckState.FAILED) | {IDLE: CheckState.PASSED}


class Clock:
    """Time that passes only by waiting; ``events`` are what happens at a moment."""

    def __init__(self, events: dict[float, Callable[[], None]]) -> None:
        self.now, self.events = 0.0, events

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for moment in [moment for moment in self.events if moment <= self.now]:
            self.events.pop(moment)()


FROM_ZERO = checks.COUNT_SECONDS + checks.ALARM_SECONDS + checks.WORKER_START_SECONDS


@pytest.mark.parametrize(("on_fargate", "passes"), [(True, True), (False, False)])
def test_a_worker_that_starts_from_zero_on_fargate_is_waited_for(stack, monkeypatch, on_fargate, passes):
    run = switch_checks(stack)
    clock = Clock({FROM_ZERO: lambda: stack.work(run)})
    monkeypatch.setattr(checks, "time", clock)
    monkeypatch.setattr(checks, "POLL_SECONDS", 30.0)
    found = run.run(check_seconds("ecs", on_fargate=on_fargate), lambda _: None)
    assert (set(states(found).values()) == {CheckState.PASSED}) is passes


@pytest.mark.parametrize("wanted", ["lambda", "hybrid", "none"])
def test_nobody_waits_for_a_worker_that_is_not_chosen(wanted):
    assert check_seconds(wanted, on_fargate=True) == check_seconds("ecs", on_fargate=False) == checks.CHECK_SECONDS


def test_the_numbers_are_those_of_the_program_and_the_worker():
    from compaction_worker import component, worker

    assert component.START_SECONDS == checks.WORKER_START_SECONDS
    assert worker.PROPAGATION_SECONDS < checks.CHECK_SECONDS


def test_without_a_winner_only_idleness_is_looked_for():
    assert [check.title for check in switch_checks(FakeStack("none"), "none").checks()] == [IDLE]
