"""The settings: read once, from one place, into a frozen, closed and cross-checked object. Nothing else reads config.

``load`` is pure and collects every problem; AWS accepts or refuses some of these only half way through an update.

Longer than most modules: it is the list of all settings.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pulumi
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from one_consumer.live.access import AwsAccess, access_from, endpoint_of
from pipeline.contracts.identifiers import Precision
from pipeline.embedding.environment import EmbedderName
from stack.choice import EmbedConsumer, OcrEngine
from stack.combinations import EMBEDDING_DEFAULTS, combination_refusals, deployment_refusals
from stack.errors import Refusal, RefusalCode, SettingsRefused
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
from stack.naming import check_stack_name

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
        alarm_address: an e-mail address or an https URL that every alarm is sent to; None sends it to nobody.
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
        """Of the embed queue: as told, or what AWS advises for a function's queue (Lambda guide, with-sqs)."""
        told = self.queue.visibility_timeout_seconds
        return VISIBILITY_TIMES * self.lambda_.timeout_seconds if told is None else told

    @property
    def stop_timeout_seconds(self) -> int:
        """Of a task: as told, or the job's length where AWS allows that."""
        told = self.ecs.stop_timeout_seconds
        return min(self.ecs.job_seconds, STOP_TIMEOUT_MAXIMUM) if told is None else told

    @property
    def worker_count(self) -> int:
        """Tasks at a deployment; 0 unless the worker is a consumer."""
        if self.embed_consumer not in ("ecs", "hybrid"):
            return 0
        return 1 if self.ecs.desired_count is None else self.ecs.desired_count


def read() -> Settings:
    """The settings of the running stack.

    Raises:
        SettingsRefused: with everything that is wrong.
        StackRefusal: NAME_INVALID or NAME_TOO_LONG, of the stack's name.
    """
    check_stack_name(pulumi.get_project(), pulumi.get_stack())
    # Pulumi's Config object cannot list its keys, and an unknown key must be refused, so the table behind it is read.
    # Under the CLI it is in the process's environment; in-process it is set.
    table = {**pulumi.runtime.config.get_config_env(), **pulumi.runtime.config.CONFIG.get()}
    prefix = NAMESPACE + ":"
    settings = load({key.removeprefix(prefix): value for key, value in table.items() if key.startswith(prefix)})
    provider = pulumi.Config("aws")
    emulated = endpoint_of(provider.get) is not None
    if refusals := deployment_refusals(settings, region=provider.get("region"), emulated=emulated):
        raise SettingsRefused(refusals)
    return settings


def read_access(settings: Settings) -> AwsAccess:
    """How Pulumi's AWS provider is told to reach AWS, for the hooks, which must reach the same account."""
    return access_from(pulumi.Config("aws").get, settings.region)


def load(mapping: Mapping[str, Any]) -> Settings:
    """Check and build.

    Args:
        mapping: setting to value, as Pulumi has them: scalars may be strings, objects may be JSON.

    Raises:
        SettingsRefused: with everything that is wrong, not only the first.
    """
    raw = {key: _decoded(value) for key, value in mapping.items()}
    refusals: list[Refusal] = []
    model, dimensions = EMBEDDING_DEFAULTS.get(str(raw.get("embedder", "openai")), EMBEDDING_DEFAULTS["openai"])
    raw.setdefault("embeddingModel", model)
    raw.setdefault("embeddingDimensions", dimensions)
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        refusals = [_refusal(fault) for fault in error.errors()]
        for fault in error.errors():
            _drop(raw, fault["loc"])
        raw.setdefault("embeddingModel", model)
        raw.setdefault("embeddingDimensions", dimensions)
        # What is left is checked against the defaults of what was dropped: one run shows every problem.
        settings = Settings.model_validate(raw)
    refusals += combination_refusals(settings)
    if refusals:
        raise SettingsRefused(refusals)
    return settings


def _decoded(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _drop(raw: dict[str, Any], location: tuple[int | str, ...]) -> None:
    head, *rest = location
    section = raw.get(str(head))
    if rest and isinstance(section, Mapping) and rest[0] in section:
        raw[str(head)] = {key: value for key, value in section.items() if key != rest[0]}
    else:
        raw.pop(str(head), None)


def _field(location: tuple[int | str, ...]) -> FieldInfo | None:
    model: type[BaseModel] | None = Settings
    found: FieldInfo | None = None
    for part in location:
        if model is None:
            break
        found = next((field for field in model.model_fields.values() if field.alias == part), None)
        annotation = found.annotation if found else None
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return found


def _refusal(fault: Any) -> Refusal:
    name = f"{NAMESPACE}:" + ".".join(str(part) for part in fault["loc"])
    kind = fault["type"]
    field = _field(fault["loc"])
    if kind == "extra_forbidden":
        code, rule = RefusalCode.SETTING_UNKNOWN, "only the settings that Pulumi.yaml documents exist"
        way_out = "remove it or correct its name; Pulumi.yaml lists them all"
        return Refusal(code=code, value=f"{name} = {fault['input']!r}", rule=rule, way_out=way_out)
    code = {
        "literal_error": RefusalCode.CHOICE_UNKNOWN,
        "enum": RefusalCode.CHOICE_UNKNOWN,
        "greater_than": RefusalCode.OUT_OF_RANGE,
        "greater_than_equal": RefusalCode.OUT_OF_RANGE,
        "less_than_equal": RefusalCode.OUT_OF_RANGE,
    }.get(kind, RefusalCode.SETTING_INVALID)
    example = "a value that fits"
    if field is not None and not field.is_required() and field.default is not None:
        default = field.default
        example = str(default.model_dump(by_alias=True) if isinstance(default, BaseModel) else default)
    rule = fault["msg"][0].lower() + fault["msg"][1:]
    if code is RefusalCode.OUT_OF_RANGE and field is not None and field.description is not None:
        rule += f" ({field.description})"
    return Refusal(
        code=code,
        value=f"{name} = {fault['input']!r}",
        rule=rule,
        way_out=f"set {name} to, for example, {example}",
    )
