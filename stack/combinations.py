"""Settings that AWS, or this program, does not take together, as pure functions; each gives every refusal it finds.

The range of a single setting is with its field in ``stack/settings.py``; rules of resources are in ``stack/rules.py``.

Longer than most modules: it is a list of rules.
"""

import ipaddress
import re

from stack.errors import Refusal, RefusalCode
from stack.limits import (
    FARGATE_MEMORY_MB,
    LOG_RETENTION_DAYS,
    NETWORK_PREFIX_MAXIMUM,
    NETWORK_PREFIX_MINIMUM,
    RESERVED_ADDRESSES,
    SECONDS_PER_DAY,
    SUBNET_BITS,
    VISIBILITY_MAXIMUM,
    VISIBILITY_TIMES,
    partition_of,
)
from stack.settings import Settings

IMAGE_BY_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
ZONE = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d[a-z]")
OPENAI_DIMENSIONS = {"text-embedding-3-small": 1_536, "text-embedding-3-large": 3_072, "text-embedding-ada-002": 1_536}
"""The most dimensions of OpenAI's models (OpenAI API guide, embeddings); the two newer ones can be shortened."""
EMBEDDING_DEFAULTS = {
    "openai": ("text-embedding-3-small", 1_536),
    "minilm": ("all-MiniLM-L6-v2", 384),
    "hashing": ("hashing-char-ngrams-v1", 256),
}
FIXED_INTERFACES = 2
"""Network interfaces of a zone beside the tasks': the mount target's and the merge function's. Gateways have none."""


def combination_refusals(settings: Settings) -> list[Refusal]:
    """What is wrong with these settings together."""
    return [
        *_consumer(settings),
        *_handover(settings),
        *_queue(settings),
        *_embedding(settings),
        *_sizes(settings),
        *_network(settings),
    ]


def deployment_refusals(settings: Settings, *, region: str | None, emulated: bool) -> list[Refusal]:
    """What is wrong with these settings where they are to be deployed.

    Args:
        settings: they go together.
        region: ``aws:region``; None when it is not set.
        emulated: the stack is on an emulator, and its functions are processes of this machine.
    """
    refusals = []
    zones = ", ".join(settings.network.zones)
    if not region:
        refusals.append(
            Refusal(
                code=RefusalCode.REGION_UNSET,
                value=f"aws:region is not set, the zones are {zones}",
                rule="the region is part of the stack: one from a shell or a profile changes with the person",
                way_out=f"pulumi config set aws:region {settings.region}",
            )
        )
    elif region != settings.region:
        refusals.append(
            Refusal(
                code=RefusalCode.ZONE_OUTSIDE_REGION,
                value=f"aws:region {region}, zones {zones}",
                rule="the zones are of the region that is deployed to",
                way_out=f"set receipts:network.zones to, for example, [{region}a, {region}b]",
            )
        )
    if settings.embedder == "minilm" and not emulated:
        refusals.append(
            Refusal(
                code=RefusalCode.EMBEDDER_LOCAL_ONLY,
                value="receipts:embedder = minilm",
                rule="its model is not in the image, and no host on AWS may write where it would be downloaded to",
                way_out="set receipts:embedder to openai or hashing; minilm is for the stack on one machine",
            )
        )
    return refusals


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
    visibility, stop = settings.visibility_timeout_seconds, settings.stop_timeout_seconds
    refusals = []
    if visibility < timeout:
        refusals.append(
            Refusal(
                code=RefusalCode.VISIBILITY_BELOW_TIMEOUT,
                value=f"receipts:queue.visibilityTimeoutSeconds = {visibility}, "
                f"receipts:lambda.timeoutSeconds = {timeout}",
                rule="a message stays hidden at least as long as the function may run; AWS advises six times",
                way_out="remove receipts:queue.visibilityTimeoutSeconds, then it is "
                f"{min(VISIBILITY_TIMES * timeout, VISIBILITY_MAXIMUM)}",
            )
        )
    if visibility < stop:
        refusals.append(
            Refusal(
                code=RefusalCode.VISIBILITY_BELOW_STOP,
                value=f"receipts:queue.visibilityTimeoutSeconds = {visibility}, the worker's stop timeout is {stop}",
                rule="a task that is stopped works on what it holds until its stop timeout is over, and nobody else "
                "may have that meanwhile, also when the task's heartbeat has ended",
                way_out=f"set receipts:ecs.stopTimeoutSeconds to {visibility} or less, or raise "
                "receipts:queue.visibilityTimeoutSeconds",
            )
        )
    spent = visibility * queue.max_receive_count
    if queue.retention_days * SECONDS_PER_DAY <= spent:
        refusals.append(
            Refusal(
                code=RefusalCode.DEAD_LETTER_UNREACHABLE,
                value=f"receipts:queue.retentionDays = {queue.retention_days}, all receives take {spent} s",
                rule="a message must not expire before its receives are used up, or it never is dead-lettered",
                way_out="lower receipts:queue.maxReceiveCount or visibilityTimeoutSeconds, or raise retentionDays",
            )
        )
    if stop > settings.ecs.job_seconds:
        refusals.append(
            Refusal(
                code=RefusalCode.STOP_BEYOND_JOB,
                value=f"receipts:ecs.stopTimeoutSeconds = {stop}, receipts:ecs.jobSeconds = {settings.ecs.job_seconds}",
                rule="no work takes longer than a job, so a task that still works then hangs, and is only waited for",
                way_out="remove receipts:ecs.stopTimeoutSeconds, then it follows receipts:ecs.jobSeconds",
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
    elif (places := task_places(prefix, len(network.zones))) < settings.ecs.maximum_tasks:
        refusals.append(
            Refusal(
                code=RefusalCode.NETWORK_TOO_SMALL,
                value=f"receipts:network.cidr = {network.cidr!r}, zones {', '.join(network.zones)}, "
                f"receipts:ecs.maximumTasks = {settings.ecs.maximum_tasks}",
                rule=f"each task has an address of its own, and these subnets have {places} for tasks",
                way_out="lower receipts:ecs.maximumTasks, or, before the first update, set receipts:network.cidr to a "
                "larger network",
            )
        )
    zones = network.zones
    if len(set(zones)) != len(zones) or any(not ZONE.fullmatch(zone) for zone in zones):
        rule = "zones are named in full and once each"
    elif len({zone[:-1] for zone in zones}) > 1:
        rule = "all zones are of one region"
    elif (partition := partition_of(settings.region)) != "aws":
        return [
            *refusals,
            Refusal(
                code=RefusalCode.PARTITION_UNSUPPORTED,
                value=f"receipts:network.zones = {list(zones)}, of the partition {partition}",
                rule="names of services, endpoints and limits are those of the partition aws",
                way_out="deploy to a region of the partition aws, for example us-east-1",
            ),
        ]
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


def task_places(prefix: int, zones: int) -> int:
    """How many tasks have an address, when ECS spreads them over the zones.

    Args:
        prefix: of the whole network.
        zones: their number; each has a subnet of a sixteenth.
    """
    addresses = 2 ** (32 - prefix - SUBNET_BITS) - RESERVED_ADDRESSES
    return zones * max(0, addresses - FIXED_INTERFACES)
