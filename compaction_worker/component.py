"""Stage 2 hosted by ECS, as it is deployed: public address, nothing comes in, published snapshots from EFS."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from compaction_worker.environment import WorkerEnvironment
from one_consumer.claim.consumers import ServiceConsumer
from one_consumer.claim.handover import AT_ONCE
from stack import aws
from stack.embedding import HostArgs, embedding_statements, embedding_values
from stack.functions import environment_variables
from stack.image import repository_arn
from stack.naming import physical_name, tags
from stack.network import Network
from stack.permissions import create_role, statement
from stack.scaling import scaling_steps
from stack.storage import COLLECTIONS_USER

COLLECTIONS_DIRECTORY = "/mnt/collections"
PRIVATE_DIRECTORY = "/var/lib/receipts"
HEALTH_FILE = f"{PRIVATE_DIRECTORY}/alive"
HEALTH_AGE_SECONDS = 900
"""The loop touches the file before every receive, unless a message is held for over a minute; work on one may take as
long as a function's."""
HEALTH_CHECK = f"import os,sys,time; sys.exit(time.time() - os.path.getmtime({HEALTH_FILE!r}) > {HEALTH_AGE_SECONDS})"
START_SECONDS = 600
"""For the image to be pulled and the task to be healthy."""
MESSAGES_PER_TASK = 200
"""Messages, visible or in flight, for which one more task is worth its start."""
IDLE_MINUTES = 10


@dataclass(frozen=True, kw_only=True)
class ChromaCompactionWorkerArgs(HostArgs):
    """What the host needs beside what both hosts need."""

    network: Network


class ChromaCompactionWorker(pulumi.ComponentResource):
    """Cluster, task, service and scaling; all of it at zero unless the worker is a consumer.

    Attributes:
        switches: what turns the worker off for ``queues.main``.
    """

    cluster: aws.ecs.Cluster
    role: aws.iam.Role
    service: aws.ecs.Service
    switches: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: ChromaCompactionWorkerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("receipts:stage:ChromaCompactionWorker", name, None, opts)
        self._name, self._args = name, args
        settings = args.settings
        desired_count = settings.worker_count
        capacity = settings.ecs.maximum_tasks if desired_count else 0
        child = pulumi.ResourceOptions(parent=self)
        self.cluster = aws.ecs.Cluster(f"{name}-cluster", name=physical_name(name), tags=tags(), opts=child)
        logs = aws.cloudwatch.LogGroup(
            f"{name}-logs",
            name=f"/ecs/{physical_name(name)}",
            retention_in_days=settings.log_retention_days,
            tags=tags(),
            opts=child,
        )
        self.role, rights = create_role(
            f"{name}-task", service="ecs-tasks.amazonaws.com", statements=self._statements(), parent=self
        )
        execution, start_rights = self._execution_role(logs)
        claims = [
            queue.consume_with(
                ServiceConsumer(
                    claimant=name,
                    role_arn=self.role.arn,
                    desired_count=desired_count if on else 0,
                    maximum_capacity=capacity if on else 0,
                ),
                self.role,
                parent=self,
                handover=(args.handover if queue is args.queues.main else None) or AT_ONCE,
            )
            for queue, on in args.queues.of("ecs")
        ]
        ready = [resource for claim in claims for resource in (claim.rights, claim.lock) if resource is not None]
        # An old task may finish what it holds, then has its stop timeout; a new one must start.
        steady = f"{HEALTH_AGE_SECONDS + settings.ecs.stop_timeout_seconds + START_SECONDS}s"
        self.service = aws.ecs.Service(
            f"{name}-service",
            name=physical_name(name),
            cluster=self.cluster.arn,
            task_definition=self._task(logs, execution).arn,
            # Nothing is ignored: with ignore_changes a 0 here would turn nothing off.
            desired_count=desired_count,
            launch_type="FARGATE",
            wait_for_steady_state=True,
            deployment_minimum_healthy_percent=0,
            deployment_maximum_percent=100,
            deployment_circuit_breaker=aws.ecs.ServiceDeploymentCircuitBreakerArgs(enable=True, rollback=True),
            network_configuration=aws.ecs.ServiceNetworkConfigurationArgs(
                subnets=[subnet.id for subnet in args.network.subnets.values()],
                security_groups=[args.network.worker.group.id],
                assign_public_ip=True,
            ),
            propagate_tags="SERVICE",
            tags=tags(),
            opts=pulumi.ResourceOptions(
                parent=self,
                # What a task needs from its start until it has stopped.
                depends_on=[*ready, rights, start_rights, *args.network.worker.ready, *args.storage.mount_targets],
                custom_timeouts=pulumi.CustomTimeouts(create=steady, update=steady, delete=steady),
            ),
        )
        target = aws.appautoscaling.Target(
            f"{name}-scaling",
            service_namespace="ecs",
            scalable_dimension="ecs:service:DesiredCount",
            resource_id=pulumi.Output.concat("service/", self.cluster.name, "/", self.service.name),
            min_capacity=0,
            max_capacity=capacity,
            tags=tags(),
            opts=pulumi.ResourceOptions(parent=self, depends_on=ready),
        )
        self._scale(target)
        self.switches = [self.service, target]
        self.register_outputs({"cluster_name": self.cluster.name, "service_name": self.service.name})

    def _statements(self) -> list[dict[str, Any]]:
        storage = self._args.storage
        return [
            *embedding_statements(storage, self._args.queues),
            # AWS offers no resource level for listing mappings.
            statement("LookForMappings", ["lambda:ListEventSourceMappings"], ["*"]),
            statement(
                "ProtectOwnTasks",
                ["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"],
                [self.cluster.arn.apply(lambda arn: arn.replace(":cluster/", ":task/") + "/*")],
            ),
            statement(
                "ReadPublishedCollections",
                ["elasticfilesystem:ClientMount"],
                [storage.file_system.arn],
                Condition={"StringEquals": {"elasticfilesystem:AccessPointArn": storage.access_point.arn}},
            ),
        ]

    def _execution_role(self, logs: aws.cloudwatch.LogGroup) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
        """What ECS itself may do to start a task."""
        return create_role(
            f"{self._name}-start",
            service="ecs-tasks.amazonaws.com",
            statements=[
                # AWS offers no resource level for a registry token.
                statement("LogInToTheRegistry", ["ecr:GetAuthorizationToken"], ["*"]),
                statement(
                    "PullTheImage",
                    ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"],
                    [repository_arn(self._args.image_uri, self._args.settings.region)],
                ),
                statement(
                    "WriteOwnLogs",
                    ["logs:CreateLogStream", "logs:PutLogEvents"],
                    [pulumi.Output.concat(logs.arn, ":*")],
                ),
            ],
            parent=self,
        )

    def _task(self, logs: aws.cloudwatch.LogGroup, execution: aws.iam.Role) -> aws.ecs.TaskDefinition:
        name, args, settings = self._name, self._args, self._args.settings
        queue = args.queues.polled_by("ecs")
        variables = environment_variables(
            WorkerEnvironment,
            {
                **embedding_values(settings, args.storage, args.queues),
                "embed_queue_url": queue.url,
                "embed_queue_arn": queue.arn,
                "collections_directory": COLLECTIONS_DIRECTORY,
                "private_directory": PRIVATE_DIRECTORY,
                "visibility_timeout_seconds": settings.queue.visibility_timeout_seconds,
                "stop_timeout_seconds": settings.ecs.stop_timeout_seconds,
                "health_file": HEALTH_FILE,
            },
        )
        # AWS sets the region of a function, not of a task.
        variables["AWS_REGION"] = variables["AWS_DEFAULT_REGION"] = settings.region

        def containers(resolved: dict[str, Any]) -> str:
            container = {
                "name": "worker",
                "image": resolved["image"],
                "essential": True,
                # The image's own entry point is Lambda's.
                "entryPoint": ["python", "-m", "compaction_worker"],
                "command": [],
                "user": f"{COLLECTIONS_USER}:{COLLECTIONS_USER}",
                "readonlyRootFilesystem": True,
                "stopTimeout": settings.ecs.stop_timeout_seconds,
                "environment": [{"name": key, "value": value} for key, value in sorted(resolved["variables"].items())],
                "mountPoints": [
                    {"sourceVolume": "collections", "containerPath": COLLECTIONS_DIRECTORY, "readOnly": True},
                    {"sourceVolume": "private", "containerPath": PRIVATE_DIRECTORY, "readOnly": False},
                    {"sourceVolume": "temporary", "containerPath": "/tmp", "readOnly": False},  # noqa: S108 - a volume
                ],
                "healthCheck": {
                    "command": ["CMD", "python", "-c", HEALTH_CHECK],
                    "interval": 60,
                    "timeout": 10,
                    "retries": 3,
                    "startPeriod": 120,
                },
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": resolved["logs"],
                        "awslogs-region": settings.region,
                        "awslogs-stream-prefix": "worker",
                    },
                },
            }
            return json.dumps([container])

        return aws.ecs.TaskDefinition(
            f"{name}-task",
            family=physical_name(name),
            requires_compatibilities=["FARGATE"],
            network_mode="awsvpc",
            cpu=str(settings.ecs.cpu),
            memory=str(settings.ecs.memory_mb),
            runtime_platform=aws.ecs.TaskDefinitionRuntimePlatformArgs(
                operating_system_family="LINUX", cpu_architecture="X86_64"
            ),
            execution_role_arn=execution.arn,
            task_role_arn=self.role.arn,
            container_definitions=pulumi.Output.all(image=args.image_uri, variables=variables, logs=logs.name).apply(
                containers
            ),
            volumes=[
                aws.ecs.TaskDefinitionVolumeArgs(
                    name="collections",
                    efs_volume_configuration=aws.ecs.TaskDefinitionVolumeEfsVolumeConfigurationArgs(
                        file_system_id=args.storage.file_system.id,
                        transit_encryption="ENABLED",
                        authorization_config=aws.ecs.TaskDefinitionVolumeEfsVolumeConfigurationAuthorizationConfigArgs(
                            access_point_id=args.storage.access_point.id, iam="ENABLED"
                        ),
                    ),
                ),
                aws.ecs.TaskDefinitionVolumeArgs(name="private"),
                aws.ecs.TaskDefinitionVolumeArgs(name="temporary"),
            ],
            tags=tags(),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _scale(self, target: aws.appautoscaling.Target) -> None:
        """One task for the first message, more for every MESSAGES_PER_TASK, none when nothing is left."""
        name, maximum = self._name, self._args.settings.ecs.maximum_tasks
        steps = [
            aws.appautoscaling.PolicyStepScalingPolicyConfigurationStepAdjustmentArgs(
                scaling_adjustment=step.tasks,
                metric_interval_lower_bound=str(step.above),
                metric_interval_upper_bound=None if step.below is None else str(step.below),
            )
            for step in scaling_steps(maximum, MESSAGES_PER_TASK)
        ]
        idle = [
            aws.appautoscaling.PolicyStepScalingPolicyConfigurationStepAdjustmentArgs(
                scaling_adjustment=0, metric_interval_upper_bound="0"
            )
        ]
        plans: list[tuple[str, list[Any], str, int, int]] = [
            ("busy", steps, "GreaterThanOrEqualToThreshold", 1, 1),
            ("idle", idle, "LessThanOrEqualToThreshold", 0, IDLE_MINUTES),
        ]
        for part, adjustments, comparison, threshold, minutes in plans:
            policy = aws.appautoscaling.Policy(
                f"{name}-{part}",
                name=physical_name(f"{name}-{part}"),
                policy_type="StepScaling",
                service_namespace=target.service_namespace,
                scalable_dimension=target.scalable_dimension,
                resource_id=target.resource_id,
                step_scaling_policy_configuration=aws.appautoscaling.PolicyStepScalingPolicyConfigurationArgs(
                    adjustment_type="ExactCapacity",
                    cooldown=60,
                    metric_aggregation_type="Maximum",
                    step_adjustments=adjustments,
                ),
                opts=pulumi.ResourceOptions(parent=self),
            )
            aws.cloudwatch.MetricAlarm(
                f"{name}-{part}-alarm",
                name=physical_name(f"{name}-{part}"),
                comparison_operator=comparison,
                threshold=threshold,
                evaluation_periods=minutes,
                metric_queries=self._messages(),
                alarm_actions=[policy.arn],
                tags=tags(),
                opts=pulumi.ResourceOptions(parent=self),
            )

    def _messages(self) -> list[aws.cloudwatch.MetricAlarmMetricQueryArgs]:
        """Visible and in flight: a task that holds the last message must not be taken away."""
        metrics = {"visible": "ApproximateNumberOfMessagesVisible", "flight": "ApproximateNumberOfMessagesNotVisible"}
        return [
            *(
                aws.cloudwatch.MetricAlarmMetricQueryArgs(
                    id=key,
                    metric=aws.cloudwatch.MetricAlarmMetricQueryMetricArgs(
                        namespace="AWS/SQS",
                        metric_name=metric,
                        period=60,
                        stat="Maximum",
                        dimensions={"QueueName": self._args.queues.polled_by("ecs").queue.name},
                    ),
                )
                for key, metric in metrics.items()
            ),
            aws.cloudwatch.MetricAlarmMetricQueryArgs(
                id="total", expression="visible + flight", label="messages", return_data=True
            ),
        ]
