"""The alarms as one table: what is measured, when it is too much and why, and what a person does then. Pure data.

Resources (``alarms.py``) and docs/operations.md (``make docs``) are made from this table; tests feed each alarm
with the metrics of incidents. Facts about CloudWatch: docs/facts.md, "Alarms".

Longer than most modules: it is a table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.metrics import DIMENSION, NAMESPACE, Measure
from stack.limits import SECONDS_PER_DAY
from stack.settings import Settings

PERIOD_SECONDS = 300
"""A tick comes at least this often, and every alarm has time: the shortest wait for a person is minutes."""
HOUR = 3_600
SWITCH_SECONDS = 1_920
"""Without a consumer in a good switch to a worker that had been at rest: docs/runbook.md, "Switch"."""

Statistic = Literal["Maximum", "Minimum", "Sum", "SampleCount"]
Missing = Literal["notBreaching", "breaching", "ignore"]
Kind = Literal["queue", "dead letter queue", "function", "merge", "worker", "stack"]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What an alarm watches.

    Attributes:
        name: part of the alarm's name; empty for the stack as a whole.
        names: the physical names that readings are filled with, by the keys that they use; may be outputs.
        visibility_seconds: of a queue.
        is_paused: an operator decided that no consumer is on.
    """

    kind: Kind
    name: str
    names: Mapping[str, Any]
    visibility_seconds: int = 0
    is_paused: bool = False


Threshold = Callable[[Settings, Subject], float]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One metric of CloudWatch.

    Attributes:
        dimensions: name of the dimension to the key of ``Subject.names`` that it is filled with.
    """

    namespace: str
    metric: str
    statistic: Statistic
    dimensions: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class AlarmRule:
    """One alarm for each subject of a kind.

    Attributes:
        name: the alarm's name is this and the subject's.
        kinds: of the subjects that there is one alarm for each of.
        readings: by the name that ``expression`` has for it; a single one without an expression.
        expression: metric math over the readings.
        is_low: rings below the threshold instead of above.
        threshold: what is still right.
        limit: the threshold in words.
        periods: of PERIOD_SECONDS that are looked at.
        breaching: of these, how many must be beyond the threshold.
        missing: what a period without data counts as.
        why: why this threshold, these periods, and what missing data means.
        meaning: what has happened, in a sentence.
        action: what to do, in a sentence or two.
        command: what shows more; ``{subject}`` is the subject's name.
    """

    name: str
    kinds: tuple[Kind, ...]
    readings: Mapping[str, Reading]
    expression: str | None = None
    is_low: bool = False
    threshold: Threshold
    limit: str
    periods: int
    breaching: int
    missing: Missing
    why: str
    meaning: str
    action: str
    command: str

    def description(self, subject: Subject, stack: str) -> str:
        """What the alarm itself says: meaning, action, command."""
        return f"{self.meaning} {self.action} More: {self.command.format(subject=subject.name)} --stack {stack}"


def _queue(metric: str, statistic: Statistic) -> Reading:
    return Reading(namespace="AWS/SQS", metric=metric, statistic=statistic, dimensions={"QueueName": "queue"})


def _function(metric: str, statistic: Statistic) -> Reading:
    return Reading(namespace="AWS/Lambda", metric=metric, statistic=statistic, dimensions={"FunctionName": "function"})


def _own(measure: Measure, statistic: Statistic) -> Reading:
    return Reading(namespace=NAMESPACE, metric=measure, statistic=statistic, dimensions={DIMENSION: "table"})


def _above_zero(settings: Settings, subject: Subject) -> float:
    del settings, subject
    return 0


def _without_a_task(settings: Settings, subject: Subject) -> float:
    """Of an expression that is 1 at most: 1 where the worker is no consumer, so that nothing is above it."""
    del subject
    return 0 if settings.worker_count else 1


def longest_wait(settings: Settings, queue: Subject) -> float:
    """Seconds that a message may wait on a queue although everything works; when paused, half of what SQS keeps it."""
    if queue.is_paused:
        return settings.queue.retention_days * SECONDS_PER_DAY / 2
    return max(HOUR, 2 * queue.visibility_seconds, settings.handover.timeout_seconds + SWITCH_SECONDS)


ALARMS: tuple[AlarmRule, ...] = (
    AlarmRule(
        name="messages-wait",
        kinds=("queue",),
        readings={"age": _queue("ApproximateAgeOfOldestMessage", "Maximum")},
        threshold=longest_wait,
        limit="an hour, twice the queue's visibility timeout, or the longest good switch, whichever is most; while "
        "`embedConsumer` is `none`, half of `queue.retentionDays` on `embed`",
        periods=3,
        breaching=3,
        missing="notBreaching",
        why="A message that failed once comes back after the visibility timeout, and a switch leaves the queue without "
        "a consumer for a while. An empty queue has no age: missing data is good. A queue that nobody has used for six "
        "hours reports nothing either; the alarm has rung long before.",
        meaning="Messages wait on this queue for longer than retries or a switch explain: nobody consumes it, or its "
        "consumer is too slow or fails.",
        action="See who consumes it; if nobody does, switch to a consumer. If somebody does, read that consumer's log.",
        command="receipts audit",
    ),
    AlarmRule(
        name="dead-letters",
        kinds=("dead letter queue",),
        readings={"messages": _queue("ApproximateNumberOfMessagesVisible", "Maximum")},
        threshold=_above_zero,
        limit="0 messages",
        periods=1,
        breaching=1,
        missing="ignore",
        why="Every dead letter is a receipt that is not searchable. A queue that nobody has used for six hours reports "
        "nothing, whatever it holds, so missing data changes nothing: the alarm goes on until the queue reports 0.",
        meaning="Messages could not be processed and were put aside.",
        action="See why each of them is there, mend the cause, then retry them; SQS deletes them after 14 days.",
        command="receipts dead-letters list",
    ),
    AlarmRule(
        name="function-errors",
        kinds=("function",),
        readings={"errors": _function("Errors", "Sum")},
        threshold=_above_zero,
        limit="0 errors",
        periods=12,
        breaching=3,
        missing="notBreaching",
        why="One failed invocation is retried and no news. A crash that comes back with the retries does so every few "
        "minutes, or every visibility timeout: three periods of the last hour. A function that is not invoked reports "
        "nothing: missing data is good.",
        meaning="Invocations of this function end with an error: it crashes, runs out of time or memory, or cannot "
        "start.",
        action="Read its log: a message that fails is named there; an error that names memory or time is mended by the "
        "function's settings.",
        command="receipts logs --stage {subject}",
    ),
    AlarmRule(
        name="merge-errors",
        kinds=("merge",),
        readings={"errors": _function("Errors", "Sum"), "ticks": _own(Measure.FAILED_TICKS, "Sum")},
        # A tick that fails is an error of the function as well. Arithmetic takes a missing value for 0.
        expression="errors - ticks",
        threshold=_above_zero,
        limit="0 errors beside failed ticks",
        periods=12,
        breaching=3,
        missing="notBreaching",
        why="As for the other functions; failed ticks have an alarm of their own. A merge that fails in good order "
        "answers with the messages that come back, which is no error of the function.",
        meaning="The merge function crashes, or runs out of time or memory.",
        action="Read its log. Runs that it was writing are tried again in smaller portions and given up at the fifth "
        "time; for memory or time, raise the settings of receipts:merge.",
        command="receipts logs --stage merge",
    ),
    AlarmRule(
        name="function-throttles",
        kinds=("function", "merge"),
        readings={"throttles": _function("Throttles", "Sum")},
        threshold=_above_zero,
        limit="0 throttled invocations",
        periods=3,
        breaching=2,
        missing="notBreaching",
        why="A throttled delivery counts as a receive, so healthy messages become dead letters. A moment at the begin "
        "of a burst is normal: two of three periods are not. A function that is not invoked reports nothing: missing "
        "data is good.",
        meaning="The account has too few concurrent executions for this function, and healthy messages use up their "
        "receives.",
        action="Ask AWS for more concurrency, or lower the settings named maximumConcurrency.",
        command="receipts preflight",
    ),
    AlarmRule(
        name="stream-behind",
        kinds=("stack",),
        readings={
            "age": Reading(
                namespace="AWS/Lambda",
                metric="IteratorAge",
                statistic="Maximum",
                dimensions={"FunctionName": "stream processor"},
            )
        },
        threshold=lambda *_: 900_000,
        limit="15 minutes",
        periods=3,
        breaching=3,
        missing="notBreaching",
        why="Records are dropped to the failure queue after six hours, and the tick merges runs whose record is late. "
        "A table without changes invokes nothing and reports nothing: missing data is good.",
        meaning="Changes of the table reach the merge queues late: the stream processor fails or is too slow.",
        action="Read the stream processor's log; it names the record that blocks its shard.",
        command="receipts logs --stage stream",
    ),
    AlarmRule(
        name="stream-losses",
        kinds=("stack",),
        readings={
            "lost": Reading(
                namespace="AWS/Lambda",
                metric="DestinationDeliveryFailures",
                statistic="Sum",
                dimensions={"FunctionName": "stream processor"},
            )
        },
        threshold=_above_zero,
        limit="0 records",
        periods=1,
        breaching=1,
        missing="notBreaching",
        why="A record that neither the function nor the failure queue took is gone from the stream. Nothing is "
        "reported unless it happens: missing data is good.",
        meaning="Lambda could not put a record that failed on the failure queue.",
        action="Compare the runs with the collections and drive again what was lost; look whether the queue exists.",
        command="receipts reconcile",
    ),
    AlarmRule(
        name="tick-missing",
        kinds=("stack",),
        readings={"ticks": _own(Measure.FAILED_TICKS, "SampleCount")},
        is_low=True,
        threshold=lambda *_: 1,
        limit="1 tick",
        periods=4,
        breaching=4,
        missing="breaching",
        why="The schedule starts a tick at least every five minutes, and one may take 15. A tick that is killed or "
        "never starts writes nothing: missing data is the fault itself. A new stack rings once, before its first tick.",
        meaning="No tick of the merge function has ended for 20 minutes: runs whose message was lost wait, and nothing "
        "watches the runs.",
        action="Look whether the schedule is enabled, and in the merge function's log for a timeout or the end of its "
        "memory.",
        command="receipts logs --stage merge",
    ),
    AlarmRule(
        name="tick-failed",
        kinds=("stack",),
        readings={"failed": _own(Measure.FAILED_TICKS, "Sum")},
        threshold=_above_zero,
        limit="0 failed ticks",
        periods=4,
        breaching=3,
        missing="notBreaching",
        why="A tick that fails for a passing reason is followed by one that does not. Missing ticks have an alarm of "
        "their own: missing data is good here.",
        meaning="Tick after tick fails: a collection cannot be merged, published or measured.",
        action="Read the merge function's log: `error_code` says what fails, and operations.md what to do.",
        command="receipts logs --stage merge",
    ),
    AlarmRule(
        name="runs-unfinished",
        kinds=("stack",),
        readings={"age": _own(Measure.OLDEST_RUN, "Maximum")},
        threshold=lambda settings, _: HOUR + settings.merge.publish_every_seconds,
        limit="an hour and `merge.publishEverySeconds`",
        periods=3,
        breaching=3,
        missing="notBreaching",
        why="A run is merged within seconds, by the tick after five minutes when its message was lost, and published "
        "at most `publishEverySeconds` later. A tick that did not run has an alarm of its own: missing data is good.",
        meaning="Runs are PENDING or MERGED for so long that nobody will merge them: their receipts are not "
        "searchable.",
        action="See which runs and since when; the log of the merge function says why they are not merged.",
        command="receipts reconcile",
    ),
    AlarmRule(
        name="runs-failed",
        kinds=("stack",),
        readings={"runs": _own(Measure.FAILED_RUNS, "Maximum")},
        threshold=_above_zero,
        limit="0 runs",
        periods=1,
        breaching=1,
        missing="ignore",
        why="A failed run is given up until a person drives it again. When no tick runs, nobody knows: missing data "
        "changes nothing.",
        meaning="Runs were given up: their receipts are not searchable, or not as they were last uploaded.",
        action="See the reason of each; mend it, then drive the runs again with receipts reconcile --repair.",
        command="receipts reconcile",
    ),
    AlarmRule(
        name="recall-low",
        kinds=("stack",),
        readings={"refused": _own(Measure.LOW_RECALL, "Sum")},
        threshold=_above_zero,
        limit="the missed texts that a version may name, and 0.98 of the ten nearest",
        periods=1,
        breaching=1,
        missing="notBreaching",
        why="The index was already built with the strongest parameters. The metric is only written when that happens: "
        "missing data is good.",
        meaning="A publication was refused because the index misses too many of its texts; readers keep the version "
        "before.",
        action="When it goes on, build the collection again from its deltas: receipts rebuild --from-deltas.",
        command="receipts reconcile",
    ),
    AlarmRule(
        name="lease-stale",
        kinds=("stack",),
        readings={"seconds": _own(Measure.STALE_LEASE, "Maximum")},
        threshold=lambda *_: 900,
        limit="15 minutes",
        periods=3,
        breaching=3,
        missing="notBreaching",
        why="A holder that was killed is followed by the next tick, within five minutes. A tick that did not run has "
        "an alarm of its own: missing data is good here.",
        meaning="Runs wait for a collection whose lease belongs to nobody who lives, and nobody can take it over.",
        action="Look at `expires` of the item COLLECTION#<name>, LEASE in the table; a date far ahead was written by "
        "hand or by a wrong clock: set it to 0.",
        command="receipts status",
    ),
    AlarmRule(
        name="requests-open",
        kinds=("stack",),
        readings={"age": _own(Measure.OLDEST_REQUEST, "Maximum")},
        threshold=lambda *_: 900,
        limit="15 minutes",
        periods=3,
        breaching=3,
        missing="notBreaching",
        why="A request is performed within seconds, or asked for again by every tick. A tick that did not run has an "
        "alarm of its own: missing data is good here.",
        meaning="What the merge asked of SQS is not performed: dead letters are missing from their queue, or messages "
        "come back late.",
        action="Read the stream processor's log for `a request to SQS stays open`: its `error_code` and reason tell "
        "what to mend. The next tick asks again; a request is removed after 14 days.",
        command="receipts logs --stage stream",
    ),
    AlarmRule(
        name="worker-absent",
        kinds=("worker",),
        readings={
            "visible": _queue("ApproximateNumberOfMessagesVisible", "Minimum"),
            "tasks": Reading(
                namespace="AWS/ECS",
                metric="CPUUtilization",
                statistic="SampleCount",
                dimensions={"ClusterName": "cluster", "ServiceName": "service"},
            ),
        },
        # Arithmetic takes a missing value for 0, and a service without a running task reports nothing.
        expression="(visible > 0) - (tasks > 0)",
        threshold=_without_a_task,
        limit="a backlog without a task",
        periods=8,
        breaching=8,
        missing="notBreaching",
        why="After six idle hours CloudWatch may need 15 minutes to see the queue, the scaling alarm 2 and a task 10: "
        "27 minutes of the 40. Without a backlog, or on a queue at rest, both report nothing: missing data is good. "
        "Where the worker is no consumer, the threshold is out of reach: a switch only changes it.",
        meaning="Messages wait on the worker's queue and no task runs.",
        action="Look why its tasks stop or do not start: the service's events, then the worker's log; meanwhile switch "
        "to the function.",
        command="receipts audit",
    ),
)
