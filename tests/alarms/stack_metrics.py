"""What a stack reports to CloudWatch while it works, rests or fails: samples a minute, by metric. Pure.

What is reported when, and what is not, is that of AWS's documents (docs/facts.md, "Alarms"): a queue at rest, a
function that is not invoked and a service without a task report nothing; an empty queue has no age.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

from tests.alarms.evaluator import Key, Metrics

STACK = "receipts-test-"
TABLE = f"{STACK}runs"
UPLOAD, EMBED, STREAM, MERGE = (
    f"{STACK}{name}"
    for name in ("upload-process-ocr-results", "embed-lambda", "compaction-stream-processor", "compaction-merge")
)
OCR, EMBED_QUEUE, LINES, WORDS = (
    f"{STACK}{name}" for name in ("upload-ocr-results", "embed.fifo", "compaction-lines.fifo", "compaction-words.fifo")
)
PICTURES, PICTURES_QUEUE = f"{STACK}upload-read-pictures", f"{STACK}upload-pictures"
TICK_MINUTES = 5
HEALTHY = {
    "FailedTicks": 0.0,
    "OldestUnfinishedRun": 0.0,
    "FailedRuns": 0.0,
    "StaleLease": 0.0,
    "OldestQueueRequest": 0.0,
}

Values = Callable[[float], float | None]
"""The value at a minute; None where nothing is reported."""


def key(namespace: str, metric: str, **dimensions: str) -> Key:
    return namespace, metric, frozenset(dimensions.items())


class StackMetrics:
    """Samples of one stack; what is set later replaces what was set before."""

    def __init__(self, minutes: int) -> None:
        self.minutes = minutes
        self._values: dict[Key, dict[float, float]] = defaultdict(dict)

    @property
    def metrics(self) -> Metrics:
        return {name: sorted(samples.items()) for name, samples in self._values.items()}

    def then_nothing(self, minutes: int) -> "StackMetrics":
        """The same, and after it nothing at all is reported."""
        silent = StackMetrics(self.minutes + minutes)
        silent._values = self._values
        return silent

    def report(self, name: Key, values: Values, at: Iterable[float]) -> None:
        for minute in at:
            self._values[name].pop(minute, None)
            if (value := values(minute)) is not None:
                self._values[name][minute] = value

    def ticks(self, at: Iterable[float] | None = None, **values: Values) -> "StackMetrics":
        """Ticks that end at these minutes, healthy but for what is given; each is an invocation of the merge."""
        moments = list(range(2, self.minutes, TICK_MINUTES) if at is None else at)
        for metric in HEALTHY:
            self.report(
                key("Receipts", metric, Table=TABLE), values.get(metric, lambda _, m=metric: HEALTHY[m]), moments
            )
        return self.function(MERGE, errors=values.get("FailedTicks", lambda _: 0.0), at=moments)

    def function(
        self,
        name: str,
        errors: Values = lambda _: 0.0,
        throttles: Values = lambda _: 0.0,
        at: Iterable[float] | None = None,
    ) -> "StackMetrics":
        moments = list(range(self.minutes) if at is None else at)
        self.report(key("AWS/Lambda", "Errors", FunctionName=name), errors, moments)
        self.report(key("AWS/Lambda", "Throttles", FunctionName=name), throttles, moments)
        return self

    def refused(self, at: Iterable[float]) -> "StackMetrics":
        """Publications that were refused for their recall."""
        self.report(key("Receipts", "LowRecall", Table=TABLE), lambda _: 1.0, at)
        return self

    def stream(self, age: Values = lambda _: 2_000.0, lost: Values = lambda _: None) -> "StackMetrics":
        self.report(key("AWS/Lambda", "IteratorAge", FunctionName=STREAM), age, range(self.minutes))
        self.report(key("AWS/Lambda", "DestinationDeliveryFailures", FunctionName=STREAM), lost, range(self.minutes))
        return self

    def queue(
        self, name: str, visible: Values = lambda _: 0.0, age: Values = lambda _: None, until: int | None = None
    ) -> "StackMetrics":
        """A queue that is in use until a minute, and reports for as long."""
        moments = range(self.minutes if until is None else until)
        self.report(key("AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName=name), visible, moments)
        self.report(key("AWS/SQS", "ApproximateAgeOfOldestMessage", QueueName=name), age, moments)
        return self

    def worker(self, tasks: Values = lambda _: 1.0) -> "StackMetrics":
        """A service whose running tasks report their share of the processor every minute."""
        name = key("AWS/ECS", "CPUUtilization", ClusterName=f"{STACK}worker", ServiceName=f"{STACK}worker")
        self.report(name, lambda minute: 12.0 if tasks(minute) else None, range(self.minutes))
        return self


def at_rest(minutes: int, ticks_until: int | None = None) -> StackMetrics:
    """Nobody uploads: nothing but ticks, which may stop coming at a minute."""
    return StackMetrics(minutes).ticks(at=range(2, minutes if ticks_until is None else ticks_until, TICK_MINUTES))


def at_work(minutes: int, ticks_until: int | None = None) -> StackMetrics:
    """Receipts come all the time, and each waits for some seconds."""
    stack = at_rest(minutes, ticks_until).stream().worker()
    for name in (PICTURES, UPLOAD, EMBED, STREAM, MERGE):
        stack.function(name)
    for name in (PICTURES_QUEUE, OCR, EMBED_QUEUE, LINES, WORDS):
        stack.queue(name, visible=lambda minute: minute % 3, age=lambda minute: 20.0 if minute % 3 else None)
    return stack
