"""Each alarm rings in its incident and in no other, and none while the stack works, rests or is switched.

The alarms are those of the recorded program, the metrics are constructed. An alarm that does not ring is how 1,731 runs
came to wait for two months; one that rings for nothing is one that nobody reads any more.
"""

import json
import re
from collections.abc import Callable
from functools import cache

import pytest

from ops.logs.lines import STAGES
from pipeline.metrics import Measure
from stack.alarm_rules import ALARMS, SWITCH_SECONDS, longest_wait
from stack.alarms import FORECAST_PERCENT
from tests.alarms.evaluator import Alarm
from tests.alarms.stack_metrics import (
    EMBED,
    EMBED_QUEUE,
    LINES,
    MERGE,
    OCR,
    PICTURES,
    PICTURES_QUEUE,
    STACK,
    STREAM,
    TICK_MINUTES,
    UPLOAD,
    WORDS,
    StackMetrics,
    at_rest,
    at_work,
    key,
)
from tests.program.engine import ACCOUNT, PROJECT, Recording, run_program

ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
DAY, HOUR = 1_440, 60
FUNCTIONS = {"pictures": PICTURES, "upload": UPLOAD, "embed": EMBED, "stream": STREAM, "merge": MERGE}
WATCHED_BY_ITS_EFFECT = {f"{STACK}worker-waiting"}
"""No receipt passes through it: when it does not count, the worker is not started, and worker-absent rings."""
DEAD_LETTERS = {
    "upload-pictures": "upload-pictures-dead-letter",
    "upload-ocr-results": "upload-ocr-results-dead-letter",
    "embed": "embed-dead-letter.fifo",
    "compaction-lines": "compaction-lines-dead-letter.fifo",
    "compaction-words": "compaction-words-dead-letter.fifo",
    "compaction-stream-failures": "compaction-stream-failures",
}


@cache
def program(consumer: str) -> Recording:
    """With everything that is optional."""
    optional = {"ocr": "tesseract", "alarmAddress": "somebody@example.com", "monthlyBudget": "50"}
    return run_program({"embedConsumer": consumer, **optional})


def alarms(consumer: str = "ecs") -> dict[str, Alarm]:
    """The alarms that tell a person, by name without what they have in common; not those that scale."""
    recording = program(consumer)
    topic = recording.one("aws:sns/topic:Topic", "alarms-topic").properties["arn"]
    return {
        made.name.removeprefix("alarms-"): Alarm(made.inputs)
        for made in recording.of(ALARM)
        if made.inputs["alarmActions"] == [topic]
    }


def ringing(stack: StackMetrics, consumer: str = "ecs") -> set[str]:
    """The alarms that are in ALARM at the end."""
    metrics = stack.metrics
    return {name for name, alarm in alarms(consumer).items() if alarm.states(metrics, stack.minutes)[-1] == "ALARM"}


def rang(stack: StackMetrics, consumer: str = "ecs") -> set[str]:
    """The alarms that were in ALARM at any time after the stack's first hour."""
    periods, metrics = HOUR // TICK_MINUTES, stack.metrics
    return {
        name for name, alarm in alarms(consumer).items() if "ALARM" in alarm.states(metrics, stack.minutes)[periods:]
    }


def waiting(minute: float) -> float:
    return minute * 60


def from_hour(value: float, before: float = 0.0) -> Callable[[float], float]:
    """A value from the second hour on."""
    return lambda minute: value if minute >= HOUR else before


def working(hours: int = 2) -> StackMetrics:
    return at_work(hours * HOUR)


INCIDENTS: dict[str, tuple[StackMetrics, set[str]]] = {
    "runs stay PENDING while ticks run, for two months if nobody is told": (
        working(4).ticks(OldestUnfinishedRun=waiting),
        {"runs-unfinished"},
    ),
    "the schedule is disabled, or each tick is killed": (at_work(2 * HOUR, ticks_until=HOUR), {"tick-missing"}),
    "the same while nobody uploads": (at_rest(2 * HOUR, ticks_until=HOUR), {"tick-missing"}),
    "every tick fails": (working().ticks(FailedTicks=from_hour(1)), {"tick-failed"}),
    "a run is quarantined": (working().ticks(FailedRuns=from_hour(1)), {"runs-failed"}),
    "a lease is dated a year ahead": (working().ticks(StaleLease=from_hour(31_536_000)), {"lease-stale"}),
    "SQS refuses what the merge asks, at every try": (
        working(4).ticks(OldestQueueRequest=waiting),
        {"requests-open"},
    ),
    "no consumer of the OCR results": (
        working().queue(OCR, lambda m: m, waiting),
        {"messages-wait-upload-ocr-results"},
    ),
    "no consumer of the pictures": (
        working(8).queue(PICTURES_QUEUE, lambda m: m, waiting),
        {"messages-wait-upload-pictures"},
    ),
    "a consumer of embed that is too slow": (
        working().queue(EMBED_QUEUE, lambda m: m, waiting),
        {"messages-wait-embed"},
    ),
    "the mapping of lines was disabled by hand": (
        working(4).queue(LINES, lambda m: m, waiting),
        {"messages-wait-compaction-lines"},
    ),
    "the mapping of words was disabled by hand": (
        working(4).queue(WORDS, lambda m: m, waiting),
        {"messages-wait-compaction-words"},
    ),
    "the stream processor is too slow": (working().stream(age=lambda m: m * 60_000), {"stream-behind"}),
    "the failure queue was deleted": (working().stream(lost=lambda m: 1.0 if m == 118 else None), {"stream-losses"}),
    "merges run out of memory": (
        working().function(MERGE, errors=lambda m: 1.0 if m % 20 == 1 else 0.0, at=range(1, 120, 5)),
        {"merge-errors-merge"},
    ),
    "an index loses texts however strong it is": (working().refused(at=[117]), {"recall-low"}),
    "tasks end as soon as they start, and messages wait": (
        working().worker(from_hour(0, 1)).queue(EMBED_QUEUE, from_hour(40), lambda m: max(0, waiting(m - HOUR))),
        {"worker-absent"},
    ),
    **{
        f"a dead letter of {name}": (working().queue(f"{STACK}{queue}", from_hour(1)), {f"dead-letters-{name}"})
        for name, queue in DEAD_LETTERS.items()
    },
    **{
        f"{name} crashes": (
            working().function(function, errors=lambda m: 1.0 if m % 20 == 0 else 0.0),
            {f"function-errors-{name}"},
        )
        for name, function in {"pictures": PICTURES, "upload": UPLOAD, "embed": EMBED, "stream": STREAM}.items()
    },
    **{
        f"{name} is throttled": (working().function(function, throttles=from_hour(3)), {f"function-throttles-{name}"})
        for name, function in FUNCTIONS.items()
    },
}

CONSUMERS = ("lambda", "ecs", "hybrid", "none")


@pytest.mark.parametrize("incident", INCIDENTS)
def test_an_alarm_rings_in_its_incident_and_no_other_does(incident):
    stack, expected = INCIDENTS[incident]
    assert ringing(stack) == expected


@pytest.mark.parametrize("incident", INCIDENTS)
def test_an_alarm_ends_with_its_metric_but_for_what_only_a_person_ends(incident):
    """A metric that ends says nothing of dead letters and failed runs, and that no tick runs is said by its end."""
    stack, expected = INCIDENTS[incident]
    kept = {name for name in expected if name.startswith("dead-letters-") or name == "runs-failed"}
    assert ringing(stack.then_nothing(3 * HOUR)) == kept | {"tick-missing"}


def test_nothing_rings_for_what_is_nearly_too_much_or_too_much_for_a_moment():
    nearly = working(4).stream(age=lambda _: 800_000)
    nearly.ticks(OldestUnfinishedRun=lambda _: 3_800.0, StaleLease=lambda _: 850.0, OldestQueueRequest=lambda _: 850.0)
    for name in (OCR, EMBED_QUEUE, LINES, WORDS):
        nearly.queue(name, visible=lambda _: 5.0, age=lambda _: 3_500.0)
    assert rang(nearly) == set()
    briefly = working(4).stream(age=lambda m: 1e9 if m == 91 else 0.0)
    briefly.ticks(OldestUnfinishedRun=lambda m: 1e9 if m == 92 else 0.0, StaleLease=lambda m: 1e9 if m == 92 else 0.0)
    for name in (OCR, EMBED_QUEUE, LINES, WORDS):
        briefly.queue(name, age=lambda m: 1e5 if m == 91 else 5.0)
    assert rang(briefly) == set()


def test_every_alarm_of_the_stack_has_an_incident_of_its_own():
    assert {name for _, expected in INCIDENTS.values() for name in expected} == alarms().keys()
    assert all(len(expected) == 1 for _, expected in INCIDENTS.values())


def test_every_rule_is_an_alarm_of_the_stack():
    names = [rule.name for rule in ALARMS]
    assert len(set(names)) == len(names)
    for rule in ALARMS:
        assert any(name == rule.name or name.startswith(f"{rule.name}-") for name in alarms()), rule.name


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_nothing_rings_in_a_quiet_year(consumer):
    """Two days are a year: a stack at rest repeats itself every five minutes, and no alarm looks back for an hour."""
    assert rang(at_rest(2 * DAY), consumer) == set()


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_nothing_rings_while_a_stack_works_or_comes_to_rest_and_works_again(consumer):
    assert rang(working(6), consumer) == set()
    stack = at_rest(2 * DAY)
    for name in (OCR, EMBED_QUEUE, LINES, WORDS):
        # In use for an hour, seen for six more, then a day of nothing; and 15 blind minutes when it is used again.
        stack.queue(name, visible=lambda _: 1.0, age=lambda _: 30.0, until=HOUR)
        stack.report(
            key("AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName=name), lambda _: 0.0, range(60, 420)
        )
        stack.report(
            key("AWS/SQS", "ApproximateAgeOfOldestMessage", QueueName=name), lambda _: 900.0, range(DAY + 15, DAY + 16)
        )
    assert rang(stack, consumer) == set()


def test_nothing_rings_during_the_longest_good_switch():
    """Nobody consumes and no task runs until the new consumer is on, and the messages of that time are worked off."""
    gap = SWITCH_SECONDS // 60
    stack = working(4)
    stack.worker(lambda m: 0 if m < 100 + gap else 1)
    stack.queue(
        EMBED_QUEUE,
        visible=lambda m: 200.0 if 100 <= m < 105 + gap else 0.0,
        age=lambda m: (m - 100) * 60 if 100 <= m < 105 + gap else None,
    )
    for consumer in ("lambda", "ecs", "hybrid"):
        assert rang(stack, consumer) == set()


def test_nothing_rings_for_what_a_retry_mends():
    """One failed delivery, one crash, one throttled minute, one failed tick, one tick of 15 minutes, late log lines."""
    stack = working(4)
    stack.function(EMBED, errors=lambda m: 1.0 if m == 90 else 0.0, throttles=lambda m: 40.0 if m == 92 else 0.0)
    stack.queue(EMBED_QUEUE, age=lambda m: (m - 90) * 60 if 90 <= m < 122 else 5.0)
    stack.ticks(FailedTicks=lambda m: 1.0 if m == 152 else 0.0)
    assert rang(stack) == set()
    late = at_work(4 * HOUR, ticks_until=100).ticks(at=[118.9, *range(119, 4 * HOUR, TICK_MINUTES)])
    assert rang(late) == set()


def test_a_paused_queue_rings_when_half_of_the_retention_is_over():
    stack = StackMetrics(8 * DAY).ticks().queue(EMBED_QUEUE, lambda _: 3.0, waiting)
    assert rang(stack, "none") == {"messages-wait-embed"}
    states = alarms("none")["messages-wait-embed"].states(stack.metrics, stack.minutes)
    # SQS keeps a message for 14 days by default.
    assert 7 * DAY <= states.index("ALARM") * TICK_MINUTES <= 7 * DAY + 20


def test_dead_letters_ring_until_they_are_gone_also_while_their_queue_reports_nothing():
    name = f"{STACK}embed-dead-letter.fifo"
    stack = working(72).queue(name, lambda _: 2.0, until=7 * HOUR)
    assert ringing(stack) == {"dead-letters-embed"}
    stack.report(
        key("AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName=name), lambda _: 0.0, range(4_000, 4_020)
    )
    assert ringing(stack) == set()


def test_an_alarm_about_waiting_messages_ends_with_the_last_of_them():
    stack = working(6).queue(EMBED_QUEUE, age=lambda m: waiting(m) if m < 150 else None)
    assert "ALARM" in alarms()["messages-wait-embed"].states(stack.metrics, 150)
    assert ringing(stack) == set()


def test_what_lasts_rings_further_alarms_as_it_reaches_more():
    """Which alarms follow which; the first one is that of the cause."""
    absent = working(4).worker(from_hour(0, 1)).queue(EMBED_QUEUE, from_hour(40), lambda m: max(0, waiting(m - HOUR)))
    assert ringing(absent) == {"worker-absent", "messages-wait-embed"}
    assert ringing(absent, "lambda") == {"messages-wait-embed"}
    held = working(4).ticks(StaleLease=waiting, OldestUnfinishedRun=waiting)
    assert ringing(held) == {"lease-stale", "runs-unfinished"}
    blocked = working().stream(age=waiting_milliseconds).function(STREAM, errors=lambda _: 1.0)
    assert ringing(blocked) == {"stream-behind", "function-errors-stream"}


def waiting_milliseconds(minute: float) -> float:
    return minute * 60_000


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_every_queue_and_every_function_of_the_stack_is_watched(consumer):
    """A stage that is added without alarms is one whose receipts get lost in silence."""
    watched = {
        (rule, value)
        for name, alarm in alarms(consumer).items()
        for rule in [rule.name for rule in ALARMS if name == rule.name or name.startswith(f"{rule.name}-")]
        for _, _, dimensions in alarm.metrics_read()
        for _, value in dimensions
    }
    for queue in program(consumer).of("aws:sqs/queue:Queue"):
        rule = "messages-wait" if "redrivePolicy" in queue.inputs else "dead-letters"
        assert (rule, queue.inputs["name"]) in watched
    for function in program(consumer).of("aws:lambda/function:Function"):
        name = function.inputs["name"]
        if name in WATCHED_BY_ITS_EFFECT:
            continue
        assert {("function-errors", name), ("merge-errors", name)} & watched
        assert ("function-throttles", name) in watched


def test_a_switch_changes_alarms_and_makes_and_removes_none():
    assert alarms("lambda").keys() == alarms("ecs").keys() == alarms("none").keys()
    assert alarms("hybrid").keys() > alarms("ecs").keys()


def test_no_alarm_is_to_be_met_by_a_queue_that_only_retries():
    """A message that is delivered twice waits for its visibility timeout once; no threshold is below that."""
    recording = program("hybrid")
    queues = {made.inputs["name"]: made.inputs for made in recording.of("aws:sqs/queue:Queue")}
    found = {name: alarm for name, alarm in alarms("hybrid").items() if name.startswith("messages-wait-")}
    assert len(found) == 7
    for alarm in found.values():
        queue = queues[alarm.inputs["dimensions"]["QueueName"]]
        assert alarm.inputs["threshold"] > queue["visibilityTimeoutSeconds"]
        assert alarm.inputs["threshold"] < queue["messageRetentionSeconds"]


def test_every_alarm_watches_something_that_the_stack_has_and_tells_a_person_what_to_do():
    recording = program("hybrid")
    names = {str(made.inputs.get("name")) for made in recording.made.values()}
    for name, alarm in alarms("hybrid").items():
        # Amazon CloudWatch API reference, PutMetricAlarm: 1,024 characters, and a day for all periods.
        assert len(alarm.inputs["alarmDescription"]) <= 1_024
        assert alarm.inputs["alarmDescription"].endswith(" --stack test"), name
        assert alarm.inputs["evaluationPeriods"] * alarm.period_minutes <= DAY
        assert alarm.inputs["okActions"] == alarm.inputs["alarmActions"]
        assert len(alarm.metrics_read()) <= 10
        for namespace, metric, dimensions in alarm.metrics_read():
            assert {value for _, value in dimensions} <= names, name
            if namespace == "Receipts":
                assert metric in set(Measure)


def test_the_topic_takes_messages_of_this_accounts_alarms_and_budgets_alone_and_none_in_the_clear():
    recording = program("ecs")
    topic = recording.one("aws:sns/topic:Topic", "alarms-topic")
    (policy,) = recording.of("aws:sns/topicPolicy:TopicPolicy")
    statements = {item["Sid"]: item for item in json.loads(policy.inputs["policy"])["Statement"]}
    refused = statements.pop("RefuseWithoutTls")
    assert (refused["Effect"], refused["Principal"], refused["Action"]) == ("Deny", "*", ["sns:Publish"])
    assert {item["Principal"]["Service"] for item in statements.values()} == {
        "cloudwatch.amazonaws.com",
        "budgets.amazonaws.com",
    }
    for item in statements.values():
        assert (item["Action"], item["Resource"]) == ("sns:Publish", topic.properties["arn"])
        assert item["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    # CloudWatch may not use the key alias/aws/sns: such a topic would be told nothing.
    assert "kmsMasterKeyId" not in topic.inputs
    for alarm in recording.of(ALARM):
        if alarm.name.startswith("alarms-"):
            assert recording.reaches(alarm.urn, policy.urn)


@pytest.mark.parametrize(
    ("address", "protocol"), [("somebody@example.com", "email"), ("https://example.com/hook", "https")]
)
def test_an_address_is_subscribed_and_without_one_nobody_is(address, protocol):
    kind = "aws:sns/topicSubscription:TopicSubscription"
    (subscription,) = run_program({"alarmAddress": address}).of(kind)
    assert (subscription.inputs["protocol"], subscription.inputs["endpoint"]) == (protocol, address)
    nobody = run_program({})
    assert nobody.of(kind) == []
    assert nobody.of("aws:budgets/budget:Budget") == []


def test_a_budget_is_written_with_all_its_digits():
    for told, amount in (("1234567", "1234567"), ("50.25", "50.25")):
        recording = run_program({"monthlyBudget": told, "alarmAddress": "a@example.com"})
        (budget,) = recording.of("aws:budgets/budget:Budget")
        assert budget.inputs["limitAmount"] == amount


def test_a_budget_tells_the_topic_before_it_is_spent():
    recording = program("ecs")
    (budget,) = recording.of("aws:budgets/budget:Budget")
    assert (budget.inputs["limitAmount"], budget.inputs["limitUnit"], budget.inputs["timeUnit"]) == (
        "50",
        "USD",
        "MONTHLY",
    )
    told = {item["notificationType"]: item for item in budget.inputs["notifications"]}
    assert told["FORECASTED"]["threshold"] == FORECAST_PERCENT
    for item in told.values():
        assert item["subscriberSnsTopicArns"] == [
            recording.one("aws:sns/topic:Topic", "alarms-topic").properties["arn"]
        ]


def test_a_switch_is_never_longer_than_messages_may_wait():
    from stack.alarm_rules import Subject
    from stack.loading import load

    queue = Subject(kind="queue", name="embed", names={}, visibility_seconds=1_800)
    for handover in (900, 3_600):
        settings = load({"handover": {"timeoutSeconds": handover}})
        assert longest_wait(settings, queue) >= handover + SWITCH_SECONDS


def test_what_the_alarms_cost_is_told():
    """CloudWatch charges each metric of an alarm."""
    counts = {
        consumer: sum(len(alarm.metrics_read()) for name, alarm in alarms(consumer).items() if "pictures" not in name)
        for consumer in CONSUMERS
    }
    told = (PROJECT / "docs" / "operations.md").read_text()
    assert set(counts.values()) == {counts["lambda"], counts["hybrid"]}
    assert f"{counts['lambda']} metrics, with two queues (`hybrid`) {counts['hybrid']}." in told
    assert len(Measure) == 6
    assert "Six metrics of our own" in told


def test_the_log_that_an_alarm_names_is_one_that_the_command_reads():
    named = {
        stage for alarm in alarms().values() for stage in re.findall(r"--stage (\S+)", alarm.inputs["alarmDescription"])
    }
    assert named == STAGES.keys()
