"""Stage 2 hosted by ECS, as it is deployed: public address, nothing comes in, published snapshots from EFS.

Longer than most modules: a task definition is long, and everything in it belongs to the one worker.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from compaction_worker.container import (
    COLLECTIONS_DIRECTORY,
    HEALTH_FILE,
    PRIVATE_DIRECTORY,
    ContainerLimits,
    container_definition,
)
from compaction_worker.environment import METRIC, NAMESPACE, WaitingEnvironment, WorkerEnvironment
from one_consumer.claim.consumers import ServiceConsumer
from one_consumer.claim.handover import AT_ONCE
from stack import aws
from stack.backlog import BacklogMetric, BacklogScalingArgs, scale_by_backlog
from stack.embedding import HostArgs, embedding_statements, embedding_values
from stack.functions import ImageFunction, ImageFunctionArgs, call_each, environment_variables
from stack.image import repository_arn
from stack.naming import physical_name, tags
from stack.network import Network
from stack.permissions import create_role, statement
from stack.storage import COLLECTIONS_USER

PROVIDERS = {"on-demand": "FARGATE", "spot": "FARGATE_SPOT"}
"""The setting to the cluster's capacity provider (Amazon ECS developer guide, fargate-capacity-providers)."""
START_SECONDS = 600
"""For the image to be pulled and the task to be healthy."""
WAITING_MEMORY_MB, WAITING_TIMEOUT_SECONDS = 256, 30


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
        child = pulumi.ResourceOptions(parent=self)
        self.cluster = aws.ecs.Cluster(f"{name}-cluster", name=physical_name(name), tags=tags(), opts=child)
        providers = aws.ecs.ClusterCapacityProviders(
            f"{name}-capacity",
            cluster_name=self.cluster.name,
            capacity_providers=list(PROVIDERS.values()),
            opts=child,
        )
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
                    maximum_capacity=settings.ecs.maximum_tasks if on and desired_count else 0,
                ),
                self.role,
                parent=self,
                handover=(args.handover if queue is args.queues.main else None) or AT_ONCE,
            )
            for queue, on in args.queues.of("ecs")
        ]
        ready = [resource for claim in claims for resource in (claim.rights, claim.lock) if resource is not None]
        # An old task may finish what it holds, then has its stop timeout; a new one must start.
        steady = f"{settings.ecs.job_seconds + settings.stop_timeout_seconds + START_SECONDS}s"
        self.service = aws.ecs.Service(
            f"{name}-service",
            name=physical_name(name),
            cluster=self.cluster.arn,
            task_definition=self._task(logs, execution).arn,
            # Nothing is ignored: with ignore_changes a 0 here would turn nothing off.
            desired_count=desired_count,
            capacity_provider_strategies=[
                aws.ecs.ServiceCapacityProviderStrategyArgs(
                    capacity_provider=PROVIDERS[settings.ecs.capacity], weight=1
                )
            ],
            enable_execute_command=settings.ecs.allow_exec,
            wait_for_steady_state=True,
            # Of a count that changes alone ECS makes no deployment, and its circuit breaker watches deployments only.
            force_new_deployment=True,
            deployment_minimum_healthy_percent=0,
            deployment_maximum_percent=100,
            # Without a rollback: the update would be reported as a success while another image is at work.
            deployment_circuit_breaker=aws.ecs.ServiceDeploymentCircuitBreakerArgs(enable=True, rollback=False),
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
                depends_on=[
                    *ready,
                    providers,
                    rights,
                    start_rights,
                    *args.network.worker.ready,
                    *args.storage.mount_targets,
                ],
                custom_timeouts=pulumi.CustomTimeouts(create=steady, update=steady, delete=steady),
                hooks=args.queues.scaling_hooks(on=desired_count > 0),
            ),
        )
        target = scale_by_backlog(
            name,
            BacklogScalingArgs(
                cluster=self.cluster,
                service=self.service,
                metric=BacklogMetric(
                    namespace=NAMESPACE, name=METRIC, queue_name=args.queues.polled_by("ecs").queue.name
                ),
                maximum_tasks=settings.ecs.maximum_tasks,
                on=desired_count > 0,
                after=ready,
            ),
            parent=self,
        )
        self._report_what_waits(target, on=desired_count > 0)
        self.switches = [self.service, target]
        self.register_outputs({"cluster_name": self.cluster.name, "service_name": self.service.name})

    def _statements(self) -> list[dict[str, Any]]:
        storage = self._args.storage
        # AWS offers no resource level for these four either (the same page).
        channels = [f"ssmmessages:{verb}{kind}Channel" for verb in ("Create", "Open") for kind in ("Control", "Data")]
        shell = [statement("OpenAShell", channels, ["*"])] if self._args.settings.ecs.allow_exec else []
        return [
            *shell,
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
                "visibility_timeout_seconds": settings.visibility_timeout_seconds,
                "stop_timeout_seconds": settings.stop_timeout_seconds,
                "health_file": HEALTH_FILE,
            },
        )
        # AWS sets the region of a function, not of a task.
        variables["AWS_REGION"] = variables["AWS_DEFAULT_REGION"] = settings.region

        limits = ContainerLimits(
            region=settings.region,
            user=COLLECTIONS_USER,
            stop_timeout_seconds=settings.stop_timeout_seconds,
            job_seconds=settings.ecs.job_seconds,
            allow_exec=settings.ecs.allow_exec,
        )

        def containers(resolved: dict[str, Any]) -> str:
            return json.dumps([container_definition(limits, **resolved)])

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
            container_definitions=pulumi.Output.all(
                image=args.image_uri, variables=variables, log_group=logs.name
            ).apply(containers),
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

    def _report_what_waits(self, target: aws.appautoscaling.Target, *, on: bool) -> None:
        """The metric of the scaling: a function outside the VPC, each minute while the worker is a consumer.

        It begins after all else, so that a worker that starts slowly is not idle before it has started.
        """
        name, settings, queue = f"{self._name}-waiting", self._args.settings, self._args.queues.polled_by("ecs")
        function = ImageFunction(
            name,
            ImageFunctionArgs(
                image_uri=self._args.image_uri,
                handler="compaction_worker.waiting.report",
                variables=environment_variables(WaitingEnvironment, {"metric_namespace": NAMESPACE}),
                statements=[
                    statement("CountWhatWaits", ["sqs:GetQueueAttributes"], [queue.arn]),
                    # AWS offers no resource level for a datapoint, but its namespace as a condition.
                    statement(
                        "PublishTheCount",
                        ["cloudwatch:PutMetricData"],
                        ["*"],
                        Condition={"StringEquals": {"cloudwatch:namespace": NAMESPACE}},
                    ),
                ],
                memory_mb=WAITING_MEMORY_MB,
                timeout_seconds=WAITING_TIMEOUT_SECONDS,
                log_retention_days=settings.log_retention_days,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        call_each(
            name,
            function.function,
            minutes=1,
            # The function's own configuration does not name the queue: it is no consumer, and does not look like one.
            event=pulumi.Output.json_dumps({"queue_url": queue.url}),
            enabled=on,
            parent=self,
            after=[target] if on else [],
        )
