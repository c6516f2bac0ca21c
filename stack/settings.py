"""The settings: every name with its type, range and default, in a frozen model that takes no other names.

It reads nothing: ``loading.py`` builds the model from Pulumi's configuration. What does not go together is refused by
``combinations.py``.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel

from pipeline.contracts.identifiers import Precision
from pipeline.embedding.environment import EmbedderName
from stack.choice import EmbedConsumer, OcrEngine
from stack.limits import (
    CONCURRENCY_MAXIMUM,
    CONCURRENCY_MINIMUM,
    FIFO_BATCH_MAXIMUM,
    FUNCTION_DISK_MAXIMUM,
    FUNCTION_DISK_MINIMUM,
    FUNCTION_MEMORY_MAXIMUM,
    FUNCTION_MEMORY_MINIMUM,
    FUNCTION_TIMEOUT_MAXIMUM,
    NEW_ACCOUNT_FUNCTION_MEMORY,
    RECEIVE_COUNT_MAXIMUM,
    RETENTION_DAYS_MAXIMUM,
    STOP_TIMEOUT_MAXIMUM,
    STOP_TIMEOUT_MINIMUM,
    VISIBILITY_MAXIMUM,
    VISIBILITY_TIMES,
)

NAMESPACE = "receipts"
MAXIMUM_TASKS = 50
"""This program's own bound: beyond it the queue's number of active groups, not of tasks, decides the speed."""

FunctionTimeout = Annotated[
    int,
    Field(
        ge=1,
        le=FUNCTION_TIMEOUT_MAXIMUM,
        description="the pinned pulumi-aws refuses more; AWS itself takes 1800 since November 2026",
    ),
]


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, str_min_length=1, protected_namespaces=()
    )

    @field_validator("*", mode="before")
    @classmethod
    def _require_a_number_to_be_one(cls, value: Any, info: ValidationInfo) -> Any:
        # Pydantic takes true for 1.
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is not bool:
            raise ValueError("true and false are no value of this setting")
        return value


class LambdaSettings(_Section):
    """The embed function and its mapping."""

    memory_mb: Annotated[int, Field(ge=FUNCTION_MEMORY_MINIMUM, le=FUNCTION_MEMORY_MAXIMUM)] = 1_024
    timeout_seconds: FunctionTimeout = 300
    batch_size: Annotated[int, Field(ge=1, le=FIFO_BATCH_MAXIMUM)] = 10
    maximum_concurrency: Annotated[int, Field(ge=CONCURRENCY_MINIMUM, le=CONCURRENCY_MAXIMUM)] = 4


class UploadSettings(_Section):
    """Stage 1's function."""

    maximum_concurrency: Annotated[int, Field(ge=CONCURRENCY_MINIMUM, le=CONCURRENCY_MAXIMUM)] = 10


class EcsSettings(_Section):
    """The worker.

    Attributes:
        desired_count: tasks at a deployment, between which scaling decides.
        job_seconds: the longest work on what a task holds. The health check gives it so long without a sign of life, an
            update waits so long for a task that goes, and the stop timeout is as long as it where AWS allows that. A
            task's protection lasts an hour (``compaction_worker/protection.py``).
        stop_timeout_seconds: between SIGTERM and SIGKILL; unset it follows ``job_seconds``.
        capacity: ``spot`` costs less, may have none, and takes tasks back with two minutes' notice.
        allow_exec: a shell in a running task (ECS Exec), for which the root file system is writable.
    """

    cpu: int = 1_024
    memory_mb: int = 4_096
    desired_count: Annotated[int, Field(ge=0)] | None = None
    maximum_tasks: Annotated[int, Field(ge=1, le=MAXIMUM_TASKS)] = 4
    job_seconds: Annotated[int, Field(ge=10, le=3_600)] = 900
    stop_timeout_seconds: Annotated[int, Field(ge=STOP_TIMEOUT_MINIMUM, le=STOP_TIMEOUT_MAXIMUM)] | None = None
    capacity: Literal["on-demand", "spot"] = "on-demand"
    allow_exec: bool = False


class QueueSettings(_Section):
    """The embed queue; an unset visibility timeout is six times the embed function's timeout."""

    visibility_timeout_seconds: Annotated[int, Field(ge=1, le=VISIBILITY_MAXIMUM)] | None = None
    max_receive_count: Annotated[int, Field(ge=1, le=RECEIVE_COUNT_MAXIMUM)] = 5
    retention_days: Annotated[int, Field(ge=1, le=RETENTION_DAYS_MAXIMUM)] = 14


class HybridSettings(_Section):
    """With two queues: who gets which receipt.

    Attributes:
        large_receipt_rows: a receipt of more lines and words than this goes to the worker. 95 of 100 receipts of SROIE
            (ICDAR 2019, task 1) have fewer than 263.
    """

    large_receipt_rows: Annotated[int, Field(ge=0)] = 300


class HandoverSettings(_Section):
    """The wait between turning one consumer off and letting the next receive.

    Attributes:
        timeout_seconds: then the update fails, with no consumer.
        poll_seconds: between two looks.
        quiet_seconds: how long a queue that is deleted must have been empty. SQS's counts are right a minute after the
            last send (Amazon SQS API reference, GetQueueAttributes), and stage 1 may send for two after its update.
    """

    timeout_seconds: Annotated[int, Field(ge=1, le=3_600)] = 900
    poll_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    quiet_seconds: Annotated[float, Field(ge=0, le=900)] = 120.0


class MergeSettings(_Section):
    """The merge function."""

    memory_mb: Annotated[int, Field(ge=FUNCTION_MEMORY_MINIMUM, le=FUNCTION_MEMORY_MAXIMUM)] = (
        NEW_ACCOUNT_FUNCTION_MEMORY
    )
    timeout_seconds: FunctionTimeout = 900
    ephemeral_storage_mb: Annotated[int, Field(ge=FUNCTION_DISK_MINIMUM, le=FUNCTION_DISK_MAXIMUM)] = 10_240
    publish_every_seconds: Annotated[int, Field(ge=0, le=86_400)] = 300
    lease_seconds: Annotated[int, Field(ge=30, le=900)] = 120
    versions_kept_seconds: Annotated[int, Field(ge=0, le=86_400)] = 900


class NetworkSettings(_Section):
    """The VPC; zones are named, so that a zone that AWS opens moves no subnet."""

    cidr: str = "10.42.0.0/16"
    zones: Annotated[tuple[str, ...], Field(min_length=1, max_length=6)] = ("us-east-1a", "us-east-1b")


class Settings(_Section):
    """Every setting of the stack; the names in ``Pulumi.<stack>.yaml`` are these in camel case.

    Attributes:
        alarm_address: an e-mail address or an https URL that every alarm is sent to; None sends nothing.
        monthly_budget: US dollars that the account may cost in a month; None makes no budget.
    """

    embed_consumer: EmbedConsumer = "lambda"
    embedder: EmbedderName = "openai"
    embedding_model: str
    embedding_dimensions: Annotated[int, Field(ge=1, le=4_096)]
    openai_base_url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
    delta_precision: Precision = "float32"
    image_uri: str | None = None
    ocr: OcrEngine = "none"
    upload: UploadSettings = UploadSettings()
    lambda_: LambdaSettings = Field(default=LambdaSettings(), alias="lambda")
    ecs: EcsSettings = EcsSettings()
    queue: QueueSettings = QueueSettings()
    hybrid: HybridSettings = HybridSettings()
    handover: HandoverSettings = HandoverSettings()
    merge: MergeSettings = MergeSettings()
    network: NetworkSettings = NetworkSettings()
    bootstrap_collections: bool = False
    log_retention_days: int = 30
    alarm_address: Annotated[str, Field(pattern=r"^([^@\s]+@[^@\s]+\.[^@\s]+|https://\S+)$")] | None = None
    monthly_budget: Annotated[float, Field(ge=0.01, le=1_000_000_000)] | None = None
    protect_data: bool = True

    @property
    def region(self) -> str:
        """The region of the named zones."""
        return self.network.zones[0][:-1]

    @property
    def visibility_timeout_seconds(self) -> int:
        """Of the embed queue: as set, or what AWS advises for a function's queue (Lambda guide, with-sqs)."""
        told = self.queue.visibility_timeout_seconds
        return VISIBILITY_TIMES * self.lambda_.timeout_seconds if told is None else told

    @property
    def stop_timeout_seconds(self) -> int:
        """Of a task: as set, or the job's length where AWS allows that."""
        told = self.ecs.stop_timeout_seconds
        return min(self.ecs.job_seconds, STOP_TIMEOUT_MAXIMUM) if told is None else told

    @property
    def worker_count(self) -> int:
        """Tasks at a deployment; 0 unless the worker is a consumer."""
        if self.embed_consumer not in ("ecs", "hybrid"):
            return 0
        return 1 if self.ecs.desired_count is None else self.ecs.desired_count
