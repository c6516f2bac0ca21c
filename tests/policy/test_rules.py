"""The rules over recorded programs, before and after ARNs are known; a rule that slips lets a second consumer in."""

import re

import pytest

from one_consumer.pack.codes import Code
from one_consumer.pack.consumers.mappings import MAPPING
from one_consumer.pack.graph import UNKNOWN, Graph
from one_consumer.pack.rules import RULES
from tests.policy.recorded import graph_of, judged, record
from tests.policy.test_graph import resource
from tests.program.engine import PROJECT, Recording, run_program

Found = set[tuple[str, str]]

COUNTS_OF_ZERO = (
    *("scaled", "scheduled", "scheduled-by-text", "ignored", "all", "unset"),
    *("daemon", "external", "foreign"),
)
BAD: dict[str, Found] = {
    "mapping_beside_the_components": {("ONE_CONSUMER", "embed-queue")},
    "service_beside_the_components": {("ONE_CONSUMER", "embed-queue")},
    "service_in_the_role_let_in": {("ONE_CONSUMER", "embed-queue")},
    "two_mappings": {("ONE_CONSUMER", "jobs"), ("ONE_CONSUMER", "ignored")},
    "pipe_beside_a_mapping": {("ONE_CONSUMER", "jobs")},
    "counts_of_zero": {("ONE_CONSUMER", name) for name in COUNTS_OF_ZERO},
    "rights_from_elsewhere": {
        ("ONE_CONSUMER", name)
        for name in (
            *("attached", "listed", "inline", "opened", "inlined", "hardly"),
            *("managed", "every", "others", "customer", "outside", "without"),
            *("public", "public-listed", "singled"),
            *("by-name", "by-bare-name", "exclusive", "exclusive-inline"),
        )
    },
    "locks_that_do_not_hold": {
        ("ONE_CONSUMER", name)
        for name in (
            *("lets-it-in", "lets-its-account-in", "lets-its-kind-in", "excepts-it"),
            *("another", "sending", "elsewhere", "sometimes", "one-of-two", "of-another-organization"),
        )
    }
    | {("ONE_CONSUMER_UNPROVEN", name) for name in ("by-user", "by-session", "tagged", "shown", "ignored-lock")},
    "names_in_containers": {
        ("ONE_CONSUMER", name)
        for name in (
            *("url", "url-in-json", "old-url", "endpoint", "local", "arn"),
            *("kind.fifo", "spoken", "argument", "option", "made"),
        )
    }
    | {("ONE_CONSUMER_UNPROVEN", name) for name in ("word", "outside-word")},
    "queues_by_text": {("ONE_CONSUMER", "outside-service"), ("ONE_CONSUMER", "own")},
    "limits": {
        ("FIFO_BATCHING_WINDOW", "window"),
        ("FIFO_BATCHING_WINDOW", "window-outside"),
        ("FIFO_BATCH_SIZE", "batch"),
        ("MAXIMUM_CONCURRENCY", "alone"),
        ("POLLERS_OR_CONCURRENCY", "pollers"),
    },
    "dead_letter_kinds": {("DEAD_LETTER_KIND", name) for name in ("fifo", "redrive", "to-queue", "to-topic")},
    "short_visibility": {
        ("VISIBILITY_BELOW_TIMEOUT", "below"),
        ("VISIBILITY_BELOW_TIMEOUT", "below-by-alias"),
        ("VISIBILITY_BELOW_ADVISED", "barely"),
        ("VISIBILITY_BELOW_ADVISED", "equal"),
    },
    "unreported_failures": {("FAILURES_REPORTED", "silent"), ("FAILURES_REPORTED", "empty")},
}
UNPROVEN: dict[str, set[str]] = {
    "service_beside_the_components": {"embed-queue"},
    "service_in_the_role_let_in": {"embed-queue"},
    "counts_of_zero": {*COUNTS_OF_ZERO},
    "rights_from_elsewhere": {"opened", "inlined", "singled"},
}
"""Queues whose second consumer shows itself by a policy's text, which a first preview does not know."""
SILENT: dict[str, set[str]] = {
    "rights_from_elsewhere": {
        *("attached", "listed", "inline", "hardly", "by-name", "by-bare-name", "exclusive"),
    },
}
"""The same where the service's containers can be read and do not name the queue: most such services only send."""
GOOD: dict[str, set[str]] = {
    "awkward_but_good": {"green", "north"},
    "names_alike": set(),
    "locks_that_hold": {
        *("its-own", "like-ours", "both-by-name", "whole-account"),
        *("but-others-by-pattern", "open-to-others"),
    },
    "service_that_the_lock_keeps_out": {"embed-queue"},
}
"""Good programs, and the queues of which a first preview cannot say so: a producer is not yet told from a consumer, nor
one queue from the other, nor is a lock read."""


def found(recording: Recording) -> Found:
    graph = graph_of(recording)
    return {(violation.code.name, graph.resources[violation.urn].name) for violation in judged(graph)}


def at_preview(program: str) -> Found:
    unproven = UNPROVEN.get(program, set())
    return {
        ("ONE_CONSUMER_UNPROVEN" if code == "ONE_CONSUMER" and name in unproven else code, name)
        for code, name in BAD[program]
        if name not in SILENT.get(program, set())
    }


@pytest.mark.parametrize("preview", [False, True], ids=["known", "preview"])
@pytest.mark.parametrize("consumer", ["lambda", "ecs", "hybrid", "none"])
def test_our_own_program_breaks_no_rule(consumer: str, preview: bool) -> None:
    recording = run_program({"embedConsumer": consumer}, preview=preview)
    assert len(recording.made) > 100
    assert found(recording) == set()


FEEDING = {
    # What a mapping says about its batches, and whether it is warned of.
    "several at once, by default": ({}, True),
    "ten at once": ({"batchSize": 10.0}, True),
    "one at once": ({"batchSize": 1.0}, False),
    "not yet known how many": ({"batchSize": UNKNOWN}, False),
    "failures are listed": ({"functionResponseTypes": ["ReportBatchItemFailures"]}, False),
    "whether they are is not yet known": ({"functionResponseTypes": UNKNOWN}, False),
    "none are listed": ({"functionResponseTypes": []}, True),
}


@pytest.mark.parametrize("feeding", FEEDING)
def test_a_batch_that_fails_as_a_whole_is_a_warning_that_says_what_happens(feeding: str) -> None:
    properties, warned = FEEDING[feeding]
    arn = "arn:aws:sqs:us-east-1:000000000000:jobs"
    mapping = resource(MAPPING, "m", properties={"eventSourceArn": arn, "functionName": "f", **properties})
    violations = judged(Graph([mapping]))
    assert [violation.code for violation in violations] == [Code.FAILURES_REPORTED] * warned
    for violation in violations:
        assert not violation.code.mandatory
        assert "all come back when the handler raises" in violation.message
        assert "batch_size=1" in violation.message


@pytest.mark.parametrize("program", BAD)
def test_a_bad_program_is_caught_with_its_codes_and_no_others(program: str) -> None:
    assert found(record(program)) == BAD[program]


@pytest.mark.parametrize("program", BAD)
def test_a_bad_program_is_caught_before_anything_is_made(program: str) -> None:
    assert found(record(program, preview=True)) == at_preview(program)


@pytest.mark.parametrize("program", GOOD)
def test_an_awkward_but_good_program_is_left_alone(program: str) -> None:
    assert found(record(program)) == set()


@pytest.mark.parametrize("program", GOOD)
def test_a_first_preview_stops_no_good_program(program: str) -> None:
    assert found(record(program, preview=True)) == {("ONE_CONSUMER_UNPROVEN", name) for name in GOOD[program]}


def test_every_program_is_tried_and_every_code_is_met() -> None:
    programs = {path.stem for path in (PROJECT / "tests" / "policy" / "programs").glob("[a-z]*.py")}
    assert programs == {*BAD, *GOOD}
    codes = {code for program in BAD for code, _ in BAD[program] | at_preview(program)}
    assert codes == {code.name for code in Code} - {"UNJUDGED"}


def test_every_code_belongs_to_one_rule_and_is_documented_with_its_level() -> None:
    elsewhere = {Code.ONE_CONSUMER, Code.ONE_CONSUMER_UNPROVEN, Code.UNJUDGED}
    assert sorted(code.name for codes in RULES.values() for code in codes) == sorted(
        code.name for code in set(Code) - elsewhere
    )
    table = re.findall(r"^\| `(\w+)` \| (\w+) \|", (PROJECT / "docs" / "policy.md").read_text(), re.MULTILINE)
    assert table == [(code.name, "mandatory" if code.mandatory else "advisory") for code in Code]
