"""What of a stack costs money, read from the recorded program's own resources. Pure.

Nothing is taken from the settings: a resource that somebody adds to the program is priced, or refused as unknown.

Longer than most modules: it lists every resource type.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ops.cost.recording import Resource
from ops.errors import OperatorError

COSTS_NOTHING = frozenset(
    {
        "aws:appautoscaling/policy:Policy",
        "aws:budgets/budget:Budget",
        "aws:sns/topic:Topic",
        "aws:sns/topicPolicy:TopicPolicy",
        "aws:sns/topicSubscription:TopicSubscription",
        "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders",
        "aws:appautoscaling/target:Target",
        "aws:cloudwatch/logGroup:LogGroup",
        "aws:ec2/internetGateway:InternetGateway",
        "aws:ec2/routeTable:RouteTable",
        "aws:ec2/routeTableAssociation:RouteTableAssociation",
        "aws:ec2/securityGroup:SecurityGroup",
        "aws:ec2/subnet:Subnet",
        "aws:ec2/vpc:Vpc",
        "aws:ecr/lifecyclePolicy:LifecyclePolicy",
        "aws:ecs/cluster:Cluster",
        "aws:ecs/service:Service",
        "aws:efs/accessPoint:AccessPoint",
        "aws:efs/fileSystemPolicy:FileSystemPolicy",
        "aws:efs/mountTarget:MountTarget",
        "aws:iam/role:Role",
        "aws:iam/rolePolicy:RolePolicy",
        "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig",
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        "aws:s3/bucketNotification:BucketNotification",
        "aws:s3/bucketPolicy:BucketPolicy",
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "aws:s3/bucketVersioning:BucketVersioning",
        "aws:sqs/queuePolicy:QueuePolicy",
        "aws:sqs/redriveAllowPolicy:RedriveAllowPolicy",
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        "docker-build:index:Image",
    }
)
"""Types that are not billed by themselves: what they cause is billed as calls, bytes or time of others."""
PRICED = frozenset(
    {
        "aws:cloudwatch/dashboard:Dashboard",
        "aws:cloudwatch/metricAlarm:MetricAlarm",
        "aws:dynamodb/table:Table",
        "aws:ec2/natGateway:NatGateway",
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        "aws:ecr/repository:Repository",
        "aws:ecs/taskDefinition:TaskDefinition",
        "aws:efs/fileSystem:FileSystem",
        "aws:lambda/eventSourceMapping:EventSourceMapping",
        "aws:lambda/function:Function",
        "aws:s3/bucket:Bucket",
        "aws:scheduler/schedule:Schedule",
        "aws:secretsmanager/secret:Secret",
        "aws:sqs/queue:Queue",
    }
)
FUNCTIONS = {
    "upload": "upload-process-ocr-results-function",
    "embed": "embed-lambda-function",
    "stream": "compaction-stream-processor-function",
    "merge": "compaction-merge-function",
}
PICTURES = "upload-read-pictures-function"
"""Stage 0: it is made where ``receipts:ocr`` is not none."""
WAITING = "worker-waiting-function"
"""Says once a minute how many messages wait for the worker (``compaction_worker/waiting.py``)."""
OWN_NAMESPACE = "Receipts"
"""Of the metrics that the program's own functions write."""
MB_A_GB = 1_024
FREE_DISK_MB = 512
"""Of every function (aws.amazon.com/lambda/pricing)."""


@dataclass(frozen=True, kw_only=True)
class FunctionSize:
    """A function's memory, and its disk beyond what is free, in GB."""

    memory_gb: float
    paid_disk_gb: float


@dataclass(frozen=True, kw_only=True)
class Mapping_:  # noqa: N801 - collections.abc has the plain name
    """A mapping from a queue that is on."""

    queue: str
    is_fifo: bool
    batch_size: int
    maximum_concurrency: int


@dataclass(frozen=True, kw_only=True)
class Task:
    """The worker's tasks.

    Attributes:
        least: tasks that always run; most: what scaling may reach, 0 when the worker is off.
        messages_per_task: backlog for which scaling adds one.
        idle_minutes: without a message before the last one stops.
        is_spot: all of them are of spare capacity.
    """

    vcpu: float
    memory_gb: float
    has_public_address: bool
    least: int
    most: int
    messages_per_task: int
    idle_minutes: int
    is_spot: bool = False


@dataclass(frozen=True, kw_only=True)
class PricedStack:
    """All that is billed, or decides how much is.

    Attributes:
        consumer: ``receipts:embedConsumer``.
        embed: the embed queue's mapping; None when the function is off.
        waiting: size of the function that reports what waits; None where nothing calls it.
        waiting_minutes: between two of its calls.
        endpoint_zones: interface endpoints times their zones.
        custom_metrics: of the program's own that its alarms name.
        old_version_days: how long S3 keeps a collection's version after it was deleted.
        delta_days: how long deltas are kept.
        pictures: size of the function that reads pictures; None with ``receipts:ocr`` none.
        other_functions: names of functions that no load here reaches.
    """

    consumer: str
    functions: Mapping[str, FunctionSize]
    mappings: tuple[Mapping_, ...]
    embed: Mapping_ | None
    upload_concurrency: int
    task: Task
    tick_minutes: float
    stream_window_seconds: float
    publish_every_seconds: float
    versions_kept_seconds: float
    endpoint_zones: int
    nat_gateways: int
    secrets: int
    alarm_metrics: int
    custom_metrics: int
    dashboards: int
    waiting: FunctionSize | None
    waiting_minutes: float
    old_version_days: int
    delta_days: int
    dimensions: int
    has_billed_key: bool
    has_elastic_throughput: bool
    pictures: FunctionSize | None = None
    other_functions: tuple[str, ...] = ()


def read_stack(resources: Iterable[Resource], *, consumer: str) -> PricedStack:
    """Read what is billed from a recorded program.

    Raises:
        OperatorError: COST_UNKNOWN for a type without a price.
    """
    made = list(resources)
    if unknown := sorted({item.type for item in made} - COSTS_NOTHING - PRICED):
        raise OperatorError(
            "COST_UNKNOWN",
            f"the program declares {', '.join(unknown)}, which no price is known of",
            "add the type to ops/cost/stack.py, and its price to ops/cost/prices.py",
        )
    one = {item.name: item.inputs for item in made}
    mappings = {
        item.name: _mapping(item.inputs)
        for item in made
        if item.type.endswith(":EventSourceMapping") and ":sqs:" in item.inputs["eventSourceArn"]
    }
    is_on = {item.name: item.inputs.get("enabled") is not False for item in made if item.name in mappings}
    merge = one[FUNCTIONS["merge"]]["environment"]["variables"]
    embeds = [mapping for name, mapping in mappings.items() if name.startswith("embed-lambda-maps-") and is_on[name]]
    return PricedStack(
        consumer=consumer,
        functions={key: _size(one[name]) for key, name in FUNCTIONS.items()},
        mappings=tuple(mapping for name, mapping in mappings.items() if is_on[name]),
        embed=embeds[0] if embeds else None,
        upload_concurrency=mappings["upload-process-ocr-results-maps-upload-ocr-results"].maximum_concurrency,
        task=_task(one),
        tick_minutes=_minutes(one["compaction-tick-schedule"]["scheduleExpression"]),
        stream_window_seconds=one["compaction-stream-processor-maps-stream"]["maximumBatchingWindowInSeconds"],
        publish_every_seconds=float(merge["PUBLISH_EVERY_SECONDS"]),
        versions_kept_seconds=float(merge["VERSIONS_KEPT_SECONDS"]),
        endpoint_zones=sum(
            len(item.inputs["subnetIds"])
            for item in made
            if item.type.endswith(":VpcEndpoint") and item.inputs.get("vpcEndpointType") == "Interface"
        ),
        nat_gateways=sum(item.type.endswith(":NatGateway") for item in made),
        secrets=sum(item.type.endswith(":Secret") for item in made),
        custom_metrics=len(_own_metrics(made)),
        dashboards=sum(item.type.endswith(":Dashboard") for item in made),
        waiting=_size(one[WAITING]) if _is_scheduled(one, "worker-waiting-schedule") else None,
        waiting_minutes=_minutes(one["worker-waiting-schedule"]["scheduleExpression"]),
        alarm_metrics=sum(_metrics(item.inputs) for item in made if item.type.endswith(":MetricAlarm")),
        old_version_days=_old_days(one["storage-vectors-lifecycle"], "lines/versions/"),
        delta_days=int(
            next(
                rule["expiration"]["days"]
                for rule in one["storage-vectors-lifecycle"]["rules"]
                if rule["filter"]["prefix"] == "lines/delta/"
            )
        ),
        dimensions=int(merge["EMBEDDING_DIMENSIONS"]),
        has_billed_key=bool(one["storage-table"].get("serverSideEncryption")),
        pictures=_size(one[PICTURES]) if PICTURES in one else None,
        other_functions=tuple(
            sorted(
                item.name
                for item in made
                if item.type.endswith(":Function") and item.name not in {*FUNCTIONS.values(), PICTURES, WAITING}
            )
        ),
        has_elastic_throughput=one["storage-collections"].get("throughputMode") == "elastic",
    )


def _size(function: Mapping[str, Any]) -> FunctionSize:
    return FunctionSize(
        memory_gb=function["memorySize"] / MB_A_GB,
        paid_disk_gb=(function["ephemeralStorage"]["size"] - FREE_DISK_MB) / MB_A_GB,
    )


def _mapping(mapping: Mapping[str, Any]) -> Mapping_:
    queue = mapping["eventSourceArn"].rsplit(":", 1)[-1]
    return Mapping_(
        queue=queue,
        is_fifo=queue.endswith(".fifo"),
        batch_size=int(mapping["batchSize"]),
        maximum_concurrency=int(mapping["scalingConfig"]["maximumConcurrency"]),
    )


def _task(one: Mapping[str, Mapping[str, Any]]) -> Task:
    task, service, target = one["worker-task"], one["worker-service"], one["worker-scaling"]
    steps = one["worker-busy"]["stepScalingPolicyConfiguration"]["stepAdjustments"]
    bounds = [int(step["metricIntervalUpperBound"]) for step in steps if step.get("metricIntervalUpperBound")]
    return Task(
        vcpu=int(task["cpu"]) / 1_024,
        memory_gb=int(task["memory"]) / MB_A_GB,
        has_public_address=bool(service["networkConfiguration"]["assignPublicIp"]),
        least=int(target["minCapacity"]),
        most=int(target["maxCapacity"]),
        messages_per_task=min(bounds, default=1),
        idle_minutes=int(one["worker-idle-alarm"]["evaluationPeriods"]),
        is_spot={item["capacityProvider"] for item in service.get("capacityProviderStrategies", ())}
        == {"FARGATE_SPOT"},
    )


def _minutes(expression: str) -> float:
    found = re.fullmatch(r"rate\((\d+) minutes?\)", expression)
    if found is None:
        raise OperatorError("COST_UNKNOWN", f"the schedule {expression!r}", "teach ops/cost/stack.py to read it")
    return float(found[1])


def _is_scheduled(one: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    return one[name].get("state", "ENABLED") == "ENABLED"


def _own_metrics(made: Iterable[Resource]) -> set[str]:
    """Names and dimensions of the program's own metrics."""
    found: set[str] = set()
    for item in made:
        if item.type.endswith(":MetricAlarm"):
            inputs = item.inputs
            queries = [query["metric"] for query in inputs.get("metricQueries", ()) if "metric" in query]
            for metric in [*queries, *([inputs] if "metricName" in inputs else [])]:
                if metric["namespace"] == OWN_NAMESPACE:
                    found.add(f"{metric['metricName']} {sorted(metric.get('dimensions', {}).items())}")
    return found


def _metrics(alarm: Mapping[str, Any]) -> int:
    queries = alarm.get("metricQueries")
    return sum("metric" in query for query in queries) if queries else 1


def _old_days(lifecycle: Mapping[str, Any], prefix: str) -> int:
    """Of rules that overlap S3 follows the shorter (Amazon S3 user guide, lifecycle-conflicts)."""
    return int(
        min(
            rule["noncurrentVersionExpiration"]["noncurrentDays"]
            for rule in lifecycle["rules"]
            if "noncurrentVersionExpiration" in rule and prefix.startswith(rule["filter"]["prefix"])
        )
    )
