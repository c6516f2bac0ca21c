"""A switch as AWS would live through it: alarms, scaling and tasks by their documented rules, fed with recordings.

Nothing of the program is copied here: what is declared is read from two recordings, and the update between them goes by
the second one's own edges and hooks. The rules are AWS's, each with its page (docs/facts.md, "Scaling a service to zero
and switching it"); what they may do at worst is chosen, so AWS's own pause of scaling in during a deployment is left
out. What no page says, how fast a metric arrives for example, is not here: docs/deploy.md, "The first day".
"""

import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compaction_worker.environment import METRIC, NAMESPACE
from ops.switching.checks import check_seconds
from ops.switching.plan import incoming
from stack.choice import EmbedConsumer, Host, consumers
from tests.program.engine import Made, Recording

SERVICE, TASK = "aws:ecs/service:Service", "aws:ecs/taskDefinition:TaskDefinition"
TARGET, POLICY = "aws:appautoscaling/target:Target", "aws:appautoscaling/policy:Policy"
ALARM, SCHEDULE = "aws:cloudwatch/metricAlarm:MetricAlarm", "aws:scheduler/schedule:Schedule"
FUNCTION, MAPPING = "aws:lambda/function:Function", "aws:lambda/eventSourceMapping:EventSourceMapping"
LOCK = "aws:sqs/queuePolicy:QueuePolicy"
QUEUES = ("embed", "embed-lambda", "embed-ecs")
TICK = 10
MESSAGES_A_TICK = {"lambda": 80, "ecs": 20}
"""A slow embedding API: eight messages a second by the function, two by a task."""
MINUTE = 60
RANGE_BEYOND = 2
"""Periods beyond those that are evaluated, in which real datapoints are looked for (Amazon CloudWatch user guide,
alarms-and-missing-data: 5 for 3 in its example)."""
ACTIVE_SECONDS, ACTIVATION_SECONDS = 6 * 3_600, 900
"""SQS reports a queue for six hours after anything used it, and needs up to 15 minutes to begin again (Amazon SQS
developer guide, monitoring-using-cloudwatch)."""
WAKE_SECONDS = 120
"""The longest time from a receipt's arrival until a worker at zero begins to start: this program's own promise."""
UPDATE_SECONDS = 2 * 3_600
SETTLED_SECONDS = 5 * MINUTE
"""After an update, until alarms have seen the last of what was before it."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What happens beside the switch.

    Attributes:
        backlog: messages that came a minute before it.
        start_seconds: until a task works: pulled, started, healthy.
        stop_seconds: until a task that is not wanted has gone.
        phase: when in a minute CloudWatch evaluates; the schedule comes at its beginning.
        silence: seconds without a message after the switch, before the last one.
    """

    backlog: int = 0
    start_seconds: int = 60
    stop_seconds: int = 30
    phase: int = 30
    silence: int = 45 * MINUTE


@dataclass
class _Task:
    queue: str
    ready: int
    gone: int | None = None


@dataclass
class _Alarm:
    state: str = "INSUFFICIENT_DATA"
    value: float | None = None


@dataclass
class ScaledAccount:
    """The account at one moment.

    Args:
        before: the program as it is deployed.
        scenario: what happens.
    """

    before: Recording
    scenario: Scenario
    now: int = 0
    desired: int = 0
    suspended: bool = False
    faults: list[str] = field(default_factory=list)
    calls: list[tuple[int, str]] = field(default_factory=list)
    """Each time that an alarm called a policy."""
    most: int = 0
    """The most tasks that scaling has asked for."""
    updated_at: int | None = None
    consumed: dict[str, int] = field(default_factory=dict)
    """Message to the moment of its consumption."""

    def __post_init__(self) -> None:
        self.live: dict[str, Made] = {}
        self.by_kind: dict[str, dict[str, Made]] = {}
        for made in self.before.made.values():
            self.set(made)
        self.queue = self._polled()
        self.queues: dict[str, list[tuple[int, str]]] = {queue: [] for queue in QUEUES}
        self.fell_at: dict[str, int] = {}
        self.tasks: list[_Task] = []
        self.alarms: dict[str, _Alarm] = {}
        self.reported: dict[str, dict[int, float]] = {}
        self.counted: dict[str, dict[int, float]] = {}
        self.used: dict[str, int] = {}
        self.active_from: dict[str, int] = {}
        self.disabled_at: dict[str, int] = {}
        self.scaled_at: int | None = None
        self.desired = int(self.one(SERVICE).inputs["desiredCount"])
        self.tasks = [_Task(queue=self.queue, ready=0) for _ in range(self.desired)]
        self.suspended = _suspended(self.one(TARGET))

    # What is declared now.

    def set(self, made: Made) -> None:
        """A resource is as it is declared."""
        self.live[made.urn] = made
        self.by_kind.setdefault(made.type, {})[made.urn] = made

    def end(self, after: Recording) -> None:
        """What is declared no more is deleted, last of all."""
        for urn in self.live.keys() - after.made.keys():
            del self.by_kind[self.live.pop(urn).type][urn]

    def _of(self, kind: str) -> list[Made]:
        return list(self.by_kind[kind].values())

    def one(self, kind: str) -> Made:
        """The only one of its kind."""
        (made,) = self._of(kind)
        return made

    def _polled(self) -> str:
        """The queue of the task definition that is declared."""
        (container,) = json.loads(self.one(TASK).inputs["containerDefinitions"])
        return _queue(next(item["value"] for item in container["environment"] if item["name"] == "EMBED_QUEUE_URL"))

    def receiver(self, queue: str) -> Host | None:
        """The role that the queue's lock admits, by the end of its name."""
        lock = next((made for made in self._of(LOCK) if made.name == f"{queue}-lock"), None)
        return _admitted(lock.inputs["policy"]) if lock else None

    def mapping_on(self, queue: str) -> bool:
        return any(
            made.name == f"embed-lambda-maps-{queue}" and made.inputs.get("enabled") is not False
            for made in self._of(MAPPING)
        )

    def on(self, queue: str) -> list[str]:
        """Who may receive from a queue, or still works on what it received."""
        found = ["lambda"] if self.mapping_on(queue) else []
        if (queue == self.queue and self.desired) or any(task.queue == queue for task in self.tasks):
            found.append("ecs")
        return found

    # One step of time.

    def step(self) -> None:
        """A tick."""
        self.now += TICK
        self._run_tasks()
        self._consume()
        if self.now % MINUTE == 0:
            self._count()
            self._report()
        if self.now % MINUTE == self.scenario.phase:
            self._evaluate()
        for queue in QUEUES:
            if len(self.on(queue)) > 1:
                self.fault(f"two consumers of {queue}")
            waiting = self.queues[queue]
            woken = queue == self.queue and self.receiver(queue) == "ecs" and self.updated_at is not None
            if woken and not self.desired and waiting:
                since = max(waiting[0][0], self.updated_at or 0)
                if self.now - since > WAKE_SECONDS:
                    self.fault("a message waits and no task is started")

    def fault(self, what: str) -> None:
        """Note what must not be, once."""
        if what not in self.faults:
            self.faults.append(what)

    def send(self, queue: str, message: str) -> None:
        """A message arrives."""
        self.queues[queue].append((self.now, message))
        self._use(queue)

    def deploy(self, desired: int) -> None:
        """A new deployment: tasks of the old one stop before new ones start, which poll what is declared now."""
        self.desired, self.queue = desired, self._polled()
        for task in self.tasks:
            task.gone = task.gone or self.now + self.scenario.stop_seconds

    def _run_tasks(self) -> None:
        wanted = [task for task in self.tasks if task.gone is None]
        for task in wanted[self.desired :]:
            task.gone = self.now + self.scenario.stop_seconds
        self.tasks = [task for task in self.tasks if task.gone is None or task.gone > self.now]
        for _ in range(self.desired - len(self.tasks)):
            self.tasks.append(_Task(queue=self.queue, ready=self.now + self.scenario.start_seconds))

    def steady(self) -> bool:
        """The service runs what is wanted, and nothing else (``wait_for_steady_state``)."""
        return len(self.tasks) == self.desired and all(task.ready <= self.now for task in self.tasks)

    def _consume(self) -> None:
        for queue, waiting in self.queues.items():
            room, receiver = 0, self.receiver(queue)
            if self.mapping_on(queue):
                self._use(queue)
                room += MESSAGES_A_TICK["lambda"] if receiver == "lambda" else 0
            at_work = sum(task.queue == queue and task.ready <= self.now and not task.gone for task in self.tasks)
            if at_work:
                self._use(queue)
                room += MESSAGES_A_TICK["ecs"] * at_work if receiver == "ecs" else 0
            if waiting and room:
                for _, message in waiting[:room]:
                    self.consumed[message] = self.now
                del waiting[:room]
                self.fell_at[queue] = self.now

    # Metrics.

    def _use(self, queue: str) -> None:
        if queue not in self.used or self.now - self.used[queue] > ACTIVE_SECONDS:
            # At the beginning of all this, queues are in use.
            self.active_from[queue] = self.now + (ACTIVATION_SECONDS if self.now else 0)
        self.used[queue] = self.now

    def _count(self) -> None:
        """SQS's own metrics, each minute while it takes the queue for active."""
        for queue in QUEUES:
            if self.queues[queue]:
                self._use(queue)
            recently = queue in self.used and self.now - self.used[queue] <= ACTIVE_SECONDS
            if recently and self.now >= self.active_from[queue]:
                self.counted.setdefault(queue, {})[self.now // MINUTE] = len(self.queues[queue])

    def _report(self) -> None:
        """The schedules that are on call their functions; one that reports what waits does so."""
        functions = {f":{made.inputs['name']}": made for made in self._of(FUNCTION)}
        for schedule in self._of(SCHEDULE):
            function = next(
                (made for end, made in functions.items() if schedule.inputs["target"]["arn"].endswith(end)), None
            )
            handler = function.inputs["imageConfig"]["commands"][0] if function else ""
            if handler != "compaction_worker.waiting.report" or schedule.inputs.get("state") == "DISABLED":
                continue
            assert function is not None
            assert schedule.inputs["scheduleExpression"] == "rate(1 minute)"
            assert function.inputs["environment"]["variables"]["METRIC_NAMESPACE"] == NAMESPACE
            queue = _queue(json.loads(schedule.inputs["target"]["input"])["queue_url"])
            self._use(queue)
            self.reported.setdefault(queue, {})[self.now // MINUTE] = len(self.queues[queue])

    # Alarms, and what they do (Amazon CloudWatch user guide, alarm-evaluation and alarms-and-missing-data).

    def _evaluate(self) -> None:
        for made in filter(scales, self._of(ALARM)):
            alarm = self.alarms.setdefault(made.urn, _Alarm())
            self._judge(made.inputs, alarm)
            # Of a scaling action CloudWatch is not content with the change of state: it calls each minute.
            if alarm.state == "ALARM" and made.inputs.get("actionsEnabled") is not False:
                for arn in made.inputs.get("alarmActions", []):
                    self._scale(arn.rsplit(":", 1)[-1], alarm.value, float(made.inputs["threshold"]))

    def _judge(self, inputs: Mapping[str, Any], alarm: _Alarm) -> None:
        periods = int(inputs["evaluationPeriods"])
        last = (self.now // MINUTE) - 1 if self.now % MINUTE == 0 else self.now // MINUTE
        values = [self._datapoint(inputs, last - back) for back in range(periods + RANGE_BEYOND)]
        real = [value for value in values if value is not None]
        breaching = _comparison(str(inputs["comparisonOperator"]), float(inputs["threshold"]))
        treatment = inputs.get("treatMissingData", "missing")
        if len(real) >= periods:
            judged = [breaching(value) for value in real[:periods]]
        elif treatment == "ignore":
            judged = []
        elif treatment == "missing":
            if not real:
                alarm.state, alarm.value = "INSUFFICIENT_DATA", None
                return
            judged = [breaching(value) for value in real]
        else:
            judged = [breaching(value) for value in real] + [treatment == "breaching"]
        if judged:
            alarm.state = "ALARM" if all(judged) else "OK"
            alarm.value = real[0] if real else None

    def _datapoint(self, inputs: Mapping[str, Any], minute: int) -> float | None:
        if "metricQueries" in inputs:
            metrics = [query["metric"] for query in inputs["metricQueries"] if "metric" in query]
            source, names = self.counted, {metric["dimensions"]["QueueName"] for metric in metrics}
            assert {metric["namespace"] for metric in metrics} == {"AWS/SQS"}
        else:
            assert inputs["period"] == MINUTE
            named = (inputs["namespace"], inputs["metricName"]) == (NAMESPACE, METRIC)
            source, names = self.reported if named else {}, {inputs["dimensions"]["QueueName"]}
        (name,) = names
        return source.get(_queue(name), {}).get(minute)

    # Application Auto Scaling (its user guide, step-scaling-policy-overview).

    def _scale(self, policy_name: str, value: float | None, threshold: float) -> None:
        policy = next(made.inputs for made in self._of(POLICY) if made.inputs["name"] == policy_name)
        self.calls.append((self.now, policy_name))
        target = self.one(TARGET).inputs
        configuration = policy["stepScalingPolicyConfiguration"]
        assert configuration["adjustmentType"] == "ExactCapacity"
        step = _step(configuration["stepAdjustments"], (value or 0.0) - threshold)
        if step is None:
            return
        wanted = min(max(step, int(target["minCapacity"])), int(target["maxCapacity"]))
        cooling = self.scaled_at is not None and self.now - self.scaled_at < int(configuration["cooldown"])
        if self.suspended or wanted == self.desired or (wanted < self.desired and cooling):
            return
        if wanted == 0:
            queue = self.queue
            if any(self.now - sent > WAKE_SECONDS for sent, _ in self.queues[queue]):
                self.fault("the last task is taken away while messages wait")
        self.desired, self.scaled_at = wanted, self.now
        self.most = max(self.most, wanted)

    def register(self, made: Made) -> None:
        """A target is registered: its capacity moves into the range (RegisterScalableTarget of the API reference)."""
        self.suspended = _suspended(made)
        self.desired = min(max(self.desired, int(made.inputs["minCapacity"])), int(made.inputs["maxCapacity"]))


class Update:
    """An update from one recording to the next: what changed, each after what it depends on and after its hooks."""

    def __init__(self, world: ScaledAccount, after: Recording) -> None:
        self.world, self.after = world, after
        old = world.before.made
        self.changed = {
            urn: made for urn, made in after.made.items() if urn not in old or old[urn].inputs != made.inputs
        }
        # A changed definition is a new revision, whose ARN a recording does not know.
        if any(made.type == TASK for made in self.changed.values()):
            self.changed |= {made.urn: made for made in after.of(SERVICE)}
        self.waits = {urn: set(_before(after, urn)) & self.changed.keys() for urn in self.changed}
        self.begun: dict[str, int] = {}
        self.done: set[str] = set()

    def step(self) -> bool:
        """Go on; true when everything is done."""
        world = self.world
        for urn, made in self.changed.items():
            if urn not in self.begun and self.waits[urn] <= self.done and self._may_begin(made):
                self.begun[urn] = world.now
                self._apply(made)
        for urn in self.begun.keys() - self.done:
            if self._is_done(self.changed[urn], world.now - self.begun[urn]):
                self.done.add(urn)
        if self.done == self.changed.keys():
            world.end(self.after)
            world.updated_at = world.now
        return world.updated_at is not None

    def _may_begin(self, made: Made) -> bool:
        hooks = made.hooks.get("before_update", ()) if made.urn in self.world.live else ()
        for hook in hooks:
            if hook.endswith("-is-drained") and not self._drained(made):
                return False
            if hook.endswith("-scaling-is-suspended"):
                self.world.suspended = True
        return True

    def _drained(self, lock: Made) -> bool:
        queue, winner = lock.name.removesuffix("-lock"), _admitted(lock.inputs["policy"])
        others = [host for host in self.world.on(queue) if host != winner]
        if winner != "ecs" and queue == self.world.queue:
            others += ["scaling"] if int(self.world.one(TARGET).inputs["maxCapacity"]) else []
        return not others

    def _apply(self, made: Made) -> None:
        world = self.world
        old = world.live.get(made.urn)
        world.set(made)
        if made.type == SERVICE:
            # The provider sends a desired count only when it is another one than it sent last.
            same = old is not None and old.inputs["desiredCount"] == made.inputs["desiredCount"]
            world.deploy(world.desired if same else int(made.inputs["desiredCount"]))
        if made.type == TARGET:
            world.register(made)

    def _is_done(self, made: Made, seconds: int) -> bool:
        if made.type != SERVICE:
            return seconds >= TICK
        if seconds > int(made.timeouts["update"].removesuffix("s")):
            self.world.fault("the update gives up before the service is steady")
            return True
        wanted = int(made.inputs["desiredCount"])
        if not wanted and self.world.desired:
            self.world.fault("scaling brings tasks back while the worker is turned off")
        if wanted and not self.world.desired and not int(self.world.before.of(SERVICE)[0].inputs["desiredCount"]):
            self.world.fault("scaling takes the new task away while the service starts")
        return seconds >= TICK and self.world.steady()


def switch(
    before: Recording, after: Recording, scenario: Scenario, *, old: EmbedConsumer, new: EmbedConsumer
) -> ScaledAccount:
    """Half an hour with the old consumer, the switch, the check's receipt, silence, one more receipt.

    Returns:
        The world as it is then, with its faults.
    """
    world = ScaledAccount(before, scenario)
    for queue in consumers(old):
        world._use(queue)
    _pass(world, 29 * MINUTE)
    for queue in _sent_to(old):
        for number in range(scenario.backlog):
            world.send(queue, f"backlog {number} of {queue}")
    _pass(world, MINUTE)
    update, began = Update(world, after), world.now
    while not update.step() and not world.faults:
        world.step()
        if world.now - began > UPDATE_SECONDS:
            world.fault("the update never ends")
    if not world.faults:
        _afterwards(world, old, new)
    return world


def _afterwards(world: ScaledAccount, old: EmbedConsumer, new: EmbedConsumer) -> None:
    """The check's receipt, silence, and one more receipt."""
    ended, fresh = world.now, "ecs" not in consumers(old).values()
    sent = [queue for queue, host in _sent_to(new).items() if host]
    for queue in sent:
        world.send(queue, _check_of(queue))
    _live(world, world.scenario.silence, new, ended, fresh=fresh)
    if "ecs" in consumers(new).values():
        if world.desired:
            world.fault("the idle worker keeps its tasks")
        world.send(world.queue, "after the silence")
        _live(world, world.scenario.start_seconds + 5 * MINUTE, new, ended, fresh=fresh)
        if "after the silence" not in world.consumed:
            world.fault("a receipt after the silence is not consumed")
    if any(_check_of(queue) not in world.consumed for queue in sent):
        world.fault("a receipt that came after the switch is not consumed")


def _live(world: ScaledAccount, seconds: int, new: EmbedConsumer, ended: int, *, fresh: bool) -> None:
    works = "ecs" in consumers(new).values()
    limit = check_seconds(new, on_fargate=True)
    # With hybrid the check's receipt is a small one.
    checks = [(queue, _check_of(queue)) for queue, host in _sent_to(new).items() if host and host == incoming(new)]
    end = world.now + seconds
    while world.now < end:
        world.step()
        if not works:
            if world.desired or world.tasks:
                world.fault("a task runs while the worker is off")
            if any(moment > ended for moment, _ in world.calls):
                world.fault("an alarm calls the scaling of a worker that is off")
        elif fresh and world.now - ended < SETTLED_SECONDS and not world.desired:
            world.fault("the new worker is set back to zero")
        for queue, check in checks:
            # While the queue falls there is progress, and the checks go on.
            if check not in world.consumed and world.now - max(ended, world.fell_at.get(queue, 0)) > limit:
                world.fault("a good switch fails its checks")


def _check_of(queue: str) -> str:
    return f"the check's receipt on {queue}"


def _sent_to(consumer: EmbedConsumer) -> Mapping[str, Host | None]:
    """The queues that get receipts, with their consumers; with hybrid nothing is sent to ``embed``."""
    return {queue: host for queue, host in consumers(consumer).items() if consumer != "hybrid" or queue != "embed"}


def _pass(world: ScaledAccount, seconds: int) -> None:
    end = world.now + seconds
    while world.now < end:
        world.step()


def scales(alarm: Made) -> bool:
    """Whether an alarm calls a scaling policy; others tell people."""
    return any(":appautoscaling:" in arn for arn in alarm.inputs.get("alarmActions") or ())


def _queue(text: str) -> str:
    return text.rsplit("/", 1)[-1].removeprefix("receipts-test-").removesuffix(".fifo")


@functools.cache
def _admitted(policy: str) -> Host | None:
    """Who may receive by a queue's lock."""
    statements = {item["Sid"]: item for item in json.loads(policy)["Statement"]}
    for arn in (
        statements["OnlyTheConsumerReceives"].get("Condition", {}).get("ArnNotLike", {}).get("aws:PrincipalArn", [])
    ):
        hosts: dict[str, Host] = {"worker-task": "ecs", "embed-lambda": "lambda"}
        return hosts[arn.rsplit("receipts-test-", 1)[-1]]
    return None


def _suspended(target: Made) -> bool:
    state = target.inputs.get("suspendedState") or {}
    return bool(state.get("dynamicScalingInSuspended")) and bool(state.get("dynamicScalingOutSuspended"))


def _comparison(operator: str, threshold: float) -> Any:
    return {
        "GreaterThanOrEqualToThreshold": lambda value: value >= threshold,
        "LessThanOrEqualToThreshold": lambda value: value <= threshold,
    }[operator]


def _step(steps: Sequence[Mapping[str, Any]], above: float) -> int | None:
    """The adjustment whose interval holds the breach; bounds are relative to the threshold."""
    for step in steps:
        low = float(step.get("metricIntervalLowerBound") or -math.inf)
        high = float(step.get("metricIntervalUpperBound") or math.inf)
        # Of negative intervals the upper bound belongs to the step, of positive ones the lower.
        if (low <= above < high) or (above <= 0 and low < above <= high) or (above == high == 0):
            return int(step["scalingAdjustment"])
    return None


def _before(recording: Recording, urn: str) -> Iterator[str]:
    """Everything that a resource comes after."""
    seen, waiting = set(), list(recording.made[urn].depends_on)
    while waiting:
        current = waiting.pop()
        if current in seen or current not in recording.made:
            continue
        seen.add(current)
        yield current
        waiting += recording.made[current].depends_on
