"""The alarms, the topic that they notify, the budget, from ``alarm_rules.py``; the dashboard is in ``dashboard.py``.

An alarm whose topic refuses it fails without a message, so the topic's policy names who may publish, and it is not
encrypted with the key ``alias/aws/sns``, which CloudWatch may not use (docs/facts.md, "Alarms").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from stack import aws
from stack.alarm_rules import ALARMS, PERIOD_SECONDS, AlarmRule, Reading, Subject
from stack.dashboard import dashboard_body
from stack.embedding import EmbedQueues
from stack.naming import ALARM_NAME_LIMIT, physical_name, tags
from stack.permissions import Statement, account_id, document, refuse_without_tls
from stack.queues import DeadLetterQueue, Queue
from stack.settings import Settings
from stack.storage import Storage

ACTUAL_PERCENT, FORECAST_PERCENT = 80, 100
"""Of the budget: what is spent, and what the month is expected to cost."""


@dataclass(frozen=True, kw_only=True)
class AlarmsArgs:
    """What is watched; ``stack`` does not know the stages' types, so theirs are duck-typed."""

    settings: Settings
    storage: Storage
    embed_queues: EmbedQueues
    upload: Any
    embed: Any
    worker: Any
    compaction: Any


class Alarms(pulumi.ComponentResource):
    """One topic, an alarm for each rule and subject, a dashboard, and a budget where one is set."""

    topic: aws.sns.Topic
    dashboard: aws.cloudwatch.Dashboard

    def __init__(self, name: str, args: AlarmsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("receipts:stack:Alarms", name, None, opts)
        self._name, self._args = name, args
        child = pulumi.ResourceOptions(parent=self)
        self.topic = aws.sns.Topic(f"{name}-topic", name=physical_name(name), tags=tags(), opts=child)
        policy = aws.sns.TopicPolicy(
            f"{name}-policy", arn=self.topic.arn, policy=document(self._publishers()), opts=child
        )
        address = args.settings.alarm_address
        if address is not None:
            aws.sns.TopicSubscription(
                f"{name}-subscription",
                topic=self.topic.arn,
                protocol="https" if address.startswith("https:") else "email",
                endpoint=address,
                opts=child,
            )
        self._told = pulumi.ResourceOptions(parent=self, depends_on=[policy])
        watched = subjects(args)
        made = [self._alarm(rule, subject) for rule in ALARMS for subject in watched if subject.kind in rule.kinds]
        self.dashboard = aws.cloudwatch.Dashboard(
            f"{name}-dashboard",
            dashboard_name=physical_name(name),
            dashboard_body=pulumi.Output.json_dumps(
                dashboard_body(watched, [alarm.arn for alarm in made], region=args.settings.region)
            ),
            opts=child,
        )
        if args.settings.monthly_budget is not None:
            self._budget(args.settings.monthly_budget)
        self.register_outputs({"topic_arn": self.topic.arn})

    def _publishers(self) -> list[Statement]:
        """Who may publish: alarms and budgets of this account, and nobody in the clear."""
        services = {"cloudwatch": "AlarmsOfThisAccount", "budgets": "BudgetsOfThisAccount"}
        return [
            *(
                {
                    "Sid": sid,
                    "Effect": "Allow",
                    "Principal": {"Service": f"{service}.amazonaws.com"},
                    "Action": "sns:Publish",
                    "Resource": self.topic.arn,
                    "Condition": {"StringEquals": {"aws:SourceAccount": account_id()}},
                }
                for service, sid in services.items()
            ),
            refuse_without_tls("sns", ["Publish"], [self.topic.arn]),
        ]

    def _alarm(self, rule: AlarmRule, subject: Subject) -> aws.cloudwatch.MetricAlarm:
        name = f"{self._name}-{rule.name}" + (f"-{subject.name}" if subject.name else "")
        low, high = "LessThanThreshold", "GreaterThanThreshold"
        return aws.cloudwatch.MetricAlarm(
            name,
            name=physical_name(name, limit=ALARM_NAME_LIMIT),
            alarm_description=rule.description(subject, pulumi.get_stack()),
            comparison_operator=low if rule.is_low else high,
            threshold=rule.threshold(self._args.settings, subject),
            evaluation_periods=rule.periods,
            datapoints_to_alarm=rule.breaching,
            treat_missing_data=rule.missing,
            alarm_actions=[self.topic.arn],
            ok_actions=[self.topic.arn],
            tags=tags(),
            opts=self._told,
            **_measured(rule, subject),
        )

    def _budget(self, amount: float) -> None:
        """The account's whole cost: a cost that is found by a tag is 0 until somebody activates the tag."""
        spent = {"ACTUAL": ACTUAL_PERCENT, "FORECASTED": FORECAST_PERCENT}
        aws.budgets.Budget(
            f"{self._name}-budget",
            name=physical_name(self._name),
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=f"{amount:.2f}".removesuffix(".00"),
            limit_unit="USD",
            notifications=[
                aws.budgets.BudgetNotificationArgs(
                    comparison_operator="GREATER_THAN",
                    notification_type=kind,
                    threshold=percent,
                    threshold_type="PERCENTAGE",
                    subscriber_sns_topic_arns=[self.topic.arn],
                )
                for kind, percent in spent.items()
            ],
            tags=tags(),
            opts=self._told,
        )


def subjects(args: AlarmsArgs) -> Sequence[Subject]:
    """Everything that is watched, in the order in which a receipt meets it."""
    settings, upload, compaction = args.settings, args.upload, args.compaction
    table = {"table": args.storage.table.name}
    merge = compaction.merge.function.name
    worker_queue = args.embed_queues.polled_by("ecs")
    worker = Subject(
        kind="worker",
        name="",
        names={
            "queue": worker_queue.queue.name,
            "cluster": args.worker.cluster.name,
            "service": args.worker.service.name,
        },
    )
    pictures = upload.pictures
    return [
        *([_queue(pictures.queue), _dead_letters(pictures.queue.dead_letter)] if pictures else []),
        *([_function("pictures", pictures.function.function.name)] if pictures else []),
        _queue(upload.queue),
        _dead_letters(upload.queue.dead_letter),
        _function("upload", upload.function.function.name),
        *(
            _queue(queue, is_paused=settings.embed_consumer == "none" and queue is args.embed_queues.main)
            for queue in args.embed_queues.all
        ),
        _dead_letters(args.embed_queues.dead_letter),
        _function("embed", args.embed.function.function.name),
        worker,
        Subject(kind="stack", name="", names={**table, "stream processor": compaction.stream_processor.function.name}),
        _function("stream", compaction.stream_processor.function.name),
        _dead_letters(compaction.stream_failures),
        *(
            subject
            for queue in compaction.queues.values()
            for subject in (_queue(queue), _dead_letters(queue.dead_letter))
        ),
        Subject(kind="merge", name="merge", names={**table, "function": merge}),
    ]


def _queue(queue: Queue, *, is_paused: bool = False) -> Subject:
    return Subject(
        kind="queue",
        name=queue.name,
        names={"queue": queue.queue.name},
        visibility_seconds=queue.visibility_timeout_seconds,
        is_paused=is_paused,
    )


def _dead_letters(queue: DeadLetterQueue) -> Subject:
    return Subject(
        kind="dead letter queue", name=queue.name.removesuffix("-dead-letter"), names={"queue": queue.queue.name}
    )


def _function(name: str, function: pulumi.Input[str]) -> Subject:
    return Subject(kind="function", name=name, names={"function": function})


def _dimensions(reading: Reading, subject: Subject) -> dict[str, Any]:
    return {dimension: subject.names[key] for dimension, key in reading.dimensions.items()}


def _measured(rule: AlarmRule, subject: Subject) -> Mapping[str, Any]:
    """The arguments of an alarm that say what it watches: one metric, or metric math."""
    if rule.expression is None:
        (reading,) = rule.readings.values()
        return {
            "namespace": reading.namespace,
            "metric_name": reading.metric,
            "statistic": reading.statistic,
            "period": PERIOD_SECONDS,
            "dimensions": _dimensions(reading, subject),
        }
    queries = [
        aws.cloudwatch.MetricAlarmMetricQueryArgs(
            id=key,
            metric=aws.cloudwatch.MetricAlarmMetricQueryMetricArgs(
                namespace=reading.namespace,
                metric_name=reading.metric,
                period=PERIOD_SECONDS,
                stat=reading.statistic,
                dimensions=_dimensions(reading, subject),
            ),
        )
        for key, reading in rule.readings.items()
    ]
    watched = aws.cloudwatch.MetricAlarmMetricQueryArgs(
        id="watched", expression=rule.expression, label=rule.name, return_data=True
    )
    return {"metric_queries": [*queries, watched]}
