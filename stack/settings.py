"""The settings: read once, from one place, into a frozen, closed and cross-checked object. Nothing else reads config.

``load`` is pure and collects every problem; AWS accepts or refuses some of these only half way through an update.
"""

import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

import pulumi
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from pipeline.consumers.access import AssumedRole, AwsAccess
from pipeline.contracts.identifiers import Precision
from pipeline.embedding.environment import EmbedderName
from stack.choice import EmbedConsumer
from stack.errors import Refusal, RefusalCode, SettingsRefused

NAMESPACE = "receipts"

FIFO_BATCH_MAXIMUM = 10
"""AWS Lambda developer guide, services-sqs-parameters: a FIFO queue's batch is 1 to 10, without a window."""
CONCURRENCY_MINIMUM, CONCURRENCY_MAXIMUM = 2, 1_000
"""AWS Lambda developer guide, services-sqs-scaling: ScalingConfig.MaximumConcurrency; it can never be 1."""
FUNCTION_TIMEOUT_MAXIMUM = 900
"""Seconds; AWS Lambda developer guide, gettingstarted-limits; also the memory and /tmp sizes below, in MB."""
FUNCTION_MEMORY_MINIMUM, FUNCTION_MEMORY_MAXIMUM = 128, 10_240
FUNCTION_DISK_MINIMUM, FUNCTION_DISK_MAXIMUM = 512, 10_240
VISIBILITY_MAXIMUM = 43_200
"""Seconds; Amazon SQS developer guide, quotas-messages; also the longest retention."""
RETENTION_DAYS_MAXIMUM = 14
RECEIVE_COUNT_MAXIMUM = 1_000
"""Amazon SQS API reference, SetQueueAttributes: maxReceiveCount of a redrive policy."""
STOP_TIMEOUT_MINIMUM, STOP_TIMEOUT_MAXIMUM = 2, 120
"""Seconds on Fargate; Amazon ECS API reference, ContainerDefinition."""
SECONDS_PER_DAY = 86_400
FARGATE_MEMORY_MB: Mapping[int, tuple[int, ...]] = {
    256: (512, 1_024, 2_048),
    512: tuple(range(1_024, 4_096 + 1, 1_024)),
    1_024: tuple(range(2_048, 8_192 + 1, 1_024)),
    2_048: tuple(range(4_096, 16_384 + 1, 1_024)),
    4_096: tuple(range(8_192, 30_720 + 1, 1_024)),
    8_192: tuple(range(16_384, 61_440 + 1, 4_096)),
    16_384: tuple(range(32_768, 122_880 + 1, 8_192)),
}
"""CPU units to memory; Amazon ECS API reference, RegisterTaskDefinition: the table of Fargate sizes is closed."""
LOG_RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288)
"""Amazon CloudWatch Logs API reference, PutRetentionPolicy."""
SUBNET_BITS = 4
"""A zone's subnet is a sixteenth of the network; AWS allows /16 to /28 for either (VPC user guide, subnet-sizing)."""
NETWORK_PREFIX_MINIMUM, NETWORK_PREFIX_MAXIMUM = 16, 24
IMAGE_BY_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
OPENAI_DIMENSIONS = {"text-embedding-3-small": 1_536, "text-embedding-3-large": 3_072, "text-embedding-ada-002": 1_536}
"""The most dimensions of OpenAI's models (OpenAI API guide, embeddings); the two newer ones can be shortened."""
EMBEDDING_DEFAULTS: Mapping[str, tuple[str, int]] = {
    "openai": ("text-embedding-3-small", 1_536),
    "minilm": ("all-MiniLM-L6-v2", 384),
    "hashing": ("hashing-char-ngrams-v1", 256),
}


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
    timeout_seconds: Annotated[int, Field(ge=1, le=FUNCTION_TIMEOUT_MAXIMUM)] = 300
    batch_size: Annotated[int, Field(ge=1, le=FIFO_BATCH_MAXIMUM)] = 10
    maximum_concurrency: Annotated[int, Field(ge=CONCURRENCY_MINIMUM, le=CONCURRENCY_MAXIMUM)] = 4


class EcsSettings(_Section):
    """The worker; ``desired_count`` is its size at a deployment, between which scaling decides."""

    cpu: int = 1_024
    memory_mb: int = 4_096
    desired_count: Annotated[int, Field(ge=0)] | None = None
    maximum_tasks: Annotated[int, Field(ge=1, le=50)] = 4
    stop_timeout_seconds: Annotated[int, Field(ge=STOP_TIMEOUT_MINIMUM, le=STOP_TIMEOUT_MAXIMUM)] = 120


class QueueSettings(_Section):
    """The embed queue."""

    visibility_timeout_seconds: Annotated[int, Field(ge=1, le=VISIBILITY_MAXIMUM)] = 1_800
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

    memory_mb: Annotated[int, Field(ge=FUNCTION_MEMORY_MINIMUM, le=FUNCTION_MEMORY_MAXIMUM)] = 4_096
    timeout_seconds: Annotated[int, Field(ge=1, le=FUNCTION_TIMEOUT_MAXIMUM)] = 900
    ephemeral_storage_mb: Annotated[int, Field(ge=FUNCTION_DISK_MINIMUM, le=FUNCTION_DISK_MAXIMUM)] = 10_240
    publish_every_seconds: Annotated[int, Field(ge=0, le=86_400)] = 300
    lease_seconds: Annotated[int, Field(ge=30, le=900)] = 120
    versions_kept_seconds: Annotated[int, Field(ge=0, le=86_400)] = 900


class NetworkSettings(_Section):
    """The VPC; zones are named, so that a zone that AWS opens moves no subnet."""

    cidr: str = "10.42.0.0/16"
    zones: Annotated[tuple[str, ...], Field(min_length=1, max_length=6)] = ("us-east-1a", "us-east-1b")


class Settings(_Section):
    """Every setting of the stack; the names in ``Pulumi.<stack>.yaml`` are these in camel case."""

    embed_consumer: EmbedConsumer = "lambda"
    embedder: EmbedderName = "openai"
    embedding_model: str
    embedding_dimensions: Annotated[int, Field(ge=1, le=4_096)]
    openai_base_url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
    delta_precision: Precision = "float32"
    image_uri: str | None = None
    lambda_: LambdaSettings = Field(default=LambdaSettings(), alias="lambda")
    ecs: EcsSettings = EcsSettings()
    queue: QueueSettings = QueueSettings()
    hybrid: HybridSettings = HybridSettings()
    handover: HandoverSettings = HandoverSettings()
    merge: MergeSettings = MergeSettings()
    network: NetworkSettings = NetworkSettings()
    bootstrap_collections: bool = False
    log_retention_days: int = 30
    protect_data: bool = True

    @property
    def region(self) -> str:
        """The region of the named zones."""
        return self.network.zones[0][:-1]

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
    """
    # Pulumi's Config object cannot list its keys, and an unknown key must be refused, so the table behind it is read.
    # Under the CLI it is in the process's environment; in-process it is set.
    table = {**pulumi.runtime.config.get_config_env(), **pulumi.runtime.config.CONFIG.get()}
    prefix = NAMESPACE + ":"
    settings = load({key.removeprefix(prefix): value for key, value in table.items() if key.startswith(prefix)})
    region = pulumi.Config("aws").get("region")
    if region and region != settings.region:
        raise SettingsRefused(
            [
                Refusal(
                    code=RefusalCode.ZONE_OUTSIDE_REGION,
                    value=f"aws:region {region}, zones {', '.join(settings.network.zones)}",
                    rule="the zones are of the region that is deployed to",
                    way_out=f"set receipts:network.zones to, for example, [{region}a, {region}b]",
                )
            ]
        )
    return settings


def read_access(settings: Settings) -> AwsAccess:
    """How Pulumi's AWS provider is told to reach AWS, for the hooks, which must reach the same account."""
    provider = pulumi.Config("aws")
    endpoints = {name: url for block in provider.get_object("endpoints") or [] for name, url in block.items()}
    roles = provider.get_object("assumeRoles") or [provider.get_object("assumeRole") or {}]
    return AwsAccess(
        region=settings.region,
        profile=provider.get("profile"),
        endpoint=endpoints.get("sqs"),
        access_key=provider.get("accessKey"),
        secret_key=provider.get("secretKey"),
        session_token=provider.get("token"),
        assumed_roles=[
            AssumedRole(arn=role["roleArn"], external_id=role.get("externalId"))
            for role in roles
            if role.get("roleArn")
        ],
    )


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
    refusals += _cross_checks(settings)
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
    return Refusal(
        code=code,
        value=f"{name} = {fault['input']!r}",
        rule=fault["msg"][0].lower() + fault["msg"][1:],
        way_out=f"set {name} to, for example, {example}",
    )


def _cross_checks(settings: Settings) -> list[Refusal]:
    return [
        *_consumer(settings),
        *_handover(settings),
        *_queue(settings),
        *_embedding(settings),
        *_sizes(settings),
        *_network(settings),
    ]


def _consumer(settings: Settings) -> list[Refusal]:
    chosen, count = settings.embed_consumer, settings.ecs.desired_count
    if chosen not in ("ecs", "hybrid") and count:
        return [
            Refusal(
                code=RefusalCode.CONSUMER_CONTRADICTION,
                value=f"receipts:embedConsumer = {chosen} with receipts:ecs.desiredCount = {count}",
                rule="one queue, one consumer: the worker runs only when it is the consumer",
                way_out="set receipts:embedConsumer to ecs or hybrid, or remove receipts:ecs.desiredCount",
            )
        ]
    if chosen in ("ecs", "hybrid") and count is not None and not 1 <= count <= settings.ecs.maximum_tasks:
        return [
            Refusal(
                code=RefusalCode.CONSUMER_CONTRADICTION,
                value=f"receipts:embedConsumer = {chosen} with receipts:ecs.desiredCount = {count}",
                rule=f"the chosen consumer runs: 1 to receipts:ecs.maximumTasks ({settings.ecs.maximum_tasks}) tasks",
                way_out="set a count in that range, or receipts:embedConsumer to none to pause",
            )
        ]
    return []


def _handover(settings: Settings) -> list[Refusal]:
    given = settings.handover.timeout_seconds
    waits = {
        "receipts:lambda.timeoutSeconds": (
            settings.lambda_.timeout_seconds,
            "the handover waits for a disabled mapping's last invocations, which may take the function's timeout",
        ),
        "receipts:handover.quietSeconds": (
            settings.handover.quiet_seconds,
            "a queue of hybrid is deleted when it has been empty for so long, within the handover's timeout",
        ),
    }
    return [
        Refusal(
            code=RefusalCode.HANDOVER_TOO_SHORT,
            value=f"receipts:handover.timeoutSeconds = {given}, {name} = {needed:g}",
            rule=rule,
            way_out=f"set receipts:handover.timeoutSeconds to {min(2 * needed, 3_600):.0f}",
        )
        for name, (needed, rule) in waits.items()
        if given <= needed
    ]


def _queue(settings: Settings) -> list[Refusal]:
    queue, timeout = settings.queue, settings.lambda_.timeout_seconds
    refusals = []
    if queue.visibility_timeout_seconds < timeout:
        refusals.append(
            Refusal(
                code=RefusalCode.VISIBILITY_BELOW_TIMEOUT,
                value=f"receipts:queue.visibilityTimeoutSeconds = {queue.visibility_timeout_seconds}, "
                f"receipts:lambda.timeoutSeconds = {timeout}",
                rule="a message stays hidden at least as long as the function may run; AWS advises six times",
                way_out=f"set receipts:queue.visibilityTimeoutSeconds to {min(6 * timeout, VISIBILITY_MAXIMUM)}",
            )
        )
    spent = queue.visibility_timeout_seconds * queue.max_receive_count
    if queue.retention_days * SECONDS_PER_DAY <= spent:
        refusals.append(
            Refusal(
                code=RefusalCode.DEAD_LETTER_UNREACHABLE,
                value=f"receipts:queue.retentionDays = {queue.retention_days}, all receives take {spent} s",
                rule="a message must not expire before its receives are used up, or it never is dead-lettered",
                way_out="lower receipts:queue.maxReceiveCount or visibilityTimeoutSeconds, or raise retentionDays",
            )
        )
    return refusals


def _embedding(settings: Settings) -> list[Refusal]:
    embedder, model, dimensions = settings.embedder, settings.embedding_model, settings.embedding_dimensions
    default_model, default_dimensions = EMBEDDING_DEFAULTS[embedder]
    rule = None
    if embedder == "minilm" and (model, dimensions) != (default_model, default_dimensions):
        rule = f"minilm is {default_model} with {default_dimensions} dimensions, nothing else"
    elif embedder == "hashing" and model != default_model:
        rule = f"hashing is {default_model}, of any size"
    elif embedder == "openai" and dimensions > OPENAI_DIMENSIONS.get(model, dimensions):
        rule = f"{model} has at most {OPENAI_DIMENSIONS[model]} dimensions"
    elif embedder != "openai" and settings.openai_base_url is not None:
        rule = "receipts:openaiBaseUrl is only for the embedder openai"
    if rule is None:
        return []
    return [
        Refusal(
            code=RefusalCode.EMBEDDING_MISMATCH,
            value=f"embedder {embedder}, model {model}, {dimensions} dimensions, "
            f"openaiBaseUrl {settings.openai_base_url or 'unset'}",
            rule=rule,
            way_out="remove receipts:embeddingModel, embeddingDimensions and openaiBaseUrl to get the defaults, "
            "or choose the embedder that has them",
        )
    ]


def _sizes(settings: Settings) -> list[Refusal]:
    refusals = []
    cpu, memory = settings.ecs.cpu, settings.ecs.memory_mb
    if memory not in FARGATE_MEMORY_MB.get(cpu, ()):
        allowed = FARGATE_MEMORY_MB.get(cpu)
        refusals.append(
            Refusal(
                code=RefusalCode.FARGATE_SIZE_IMPOSSIBLE,
                value=f"receipts:ecs.cpu = {cpu}, receipts:ecs.memoryMb = {memory}",
                rule=f"Fargate sells {', '.join(map(str, allowed))} MB with {cpu} units"
                if allowed
                else f"Fargate sells {', '.join(map(str, FARGATE_MEMORY_MB))} CPU units",
                way_out="set, for example, cpu 1024 and memoryMb 4096",
            )
        )
    if settings.log_retention_days not in LOG_RETENTION_DAYS:
        refusals.append(
            Refusal(
                code=RefusalCode.OUT_OF_RANGE,
                value=f"receipts:logRetentionDays = {settings.log_retention_days}",
                rule=f"CloudWatch Logs knows {', '.join(map(str, LOG_RETENTION_DAYS))} days",
                way_out="set receipts:logRetentionDays to, for example, 30",
            )
        )
    if settings.image_uri is not None and not IMAGE_BY_DIGEST.fullmatch(settings.image_uri):
        refusals.append(
            Refusal(
                code=RefusalCode.IMAGE_NOT_BY_DIGEST,
                value=f"receipts:imageUri = {settings.image_uri!r}",
                rule="an image is named by digest: a tag can move under a running stack",
                way_out="set receipts:imageUri to <repository>@sha256:<64 hex digits>, or remove it to build one",
            )
        )
    return refusals


def _network(settings: Settings) -> list[Refusal]:
    network = settings.network
    refusals = []
    try:
        prefix = ipaddress.IPv4Network(network.cidr).prefixlen
    except ValueError:
        prefix = 0
    if not NETWORK_PREFIX_MINIMUM <= prefix <= NETWORK_PREFIX_MAXIMUM:
        refusals.append(
            Refusal(
                code=RefusalCode.NETWORK_TOO_SMALL,
                value=f"receipts:network.cidr = {network.cidr!r}",
                rule=f"an IPv4 network of /{NETWORK_PREFIX_MINIMUM} to /{NETWORK_PREFIX_MAXIMUM}, "
                "a sixteenth of it for each zone",
                way_out="set receipts:network.cidr to, for example, 10.42.0.0/16",
            )
        )
    zones = network.zones
    if len(set(zones)) != len(zones) or any(not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d[a-z]", zone) for zone in zones):
        rule = "zones are named in full and once each"
    elif len({zone[:-1] for zone in zones}) > 1:
        rule = "all zones are of one region"
    else:
        return refusals
    return [
        *refusals,
        Refusal(
            code=RefusalCode.ZONE_OUTSIDE_REGION,
            value=f"receipts:network.zones = {list(zones)}",
            rule=rule,
            way_out="set receipts:network.zones to, for example, [us-east-1a, us-east-1b]",
        ),
    ]
