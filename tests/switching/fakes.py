"""A stack that is made of answers, for what the procedure and its checks decide; nothing runs, nothing is waited for.

Its queues, mapping and service are numbers that a test sets; an update sets those of its consumer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from one_consumer.live.observation import QueueObservation, SeenMapping, SeenService
from ops.auditing import DEAD_LETTERS
from ops.local.control import ControlError
from ops.switching.checks import SwitchChecks
from ops.target import OperatorError
from pipeline.contracts.identifiers import COLLECTIONS, delta_key
from pipeline.contracts.run import CollectionProgress, CompactionRun
from pipeline.runs.items import run_to_item
from stack.loading import load
from stack.settings import Settings

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def url(name: str) -> str:
    return f"https://sqs/1/{name}"


def seen_mapping(function: str = "f", state: str = "Enabled") -> SeenMapping:
    return SeenMapping(
        identifier=f"mapping of {function}", function=function, state=state, changed_at=NOW, function_timeout_seconds=1
    )


def seen_service(name: str = "s", cluster: str = "c", count: int = 1) -> SeenService:
    return SeenService(cluster=cluster, name=name, desired_count=count, tasks=count, refers=True, maximum_capacity=0)


@dataclass
class FakeStack:
    """Implements ``SwitchableStack``, and is its own target and clients."""

    consumer: str
    given: dict[str, Any] = field(default_factory=dict)
    mapping: str = ""
    count: int = -1
    more: dict[str, Any] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=lambda: {"lambda": [], "ecs": []})
    run: dict[str, Any] | None = None
    put_fails: Exception | None = None
    logs_fail: BaseException | None = None
    update_fails: list[BaseException | None] = field(default_factory=list)
    preview_fails: Exception | None = None
    updated: list[str] = field(default_factory=list)
    never_begins: bool = False
    missing: str = ""
    colleague: str | None = None
    on_fargate: bool = False
    ecs: Any = None
    unfinished: str | None = None
    chosen: str | None = None

    def __post_init__(self) -> None:
        self._turn(self.consumer)

    def _turn(self, consumer: str) -> None:
        self.mapping = "Enabled" if consumer in ("lambda", "hybrid") else "Disabled"
        self.count = 1 if consumer in ("ecs", "hybrid") else 0

    # What the procedure asks of a stack.

    def target(self) -> Any:
        return self

    def settings(self, consumer: str) -> Settings:
        return load({**self.given, "embedConsumer": consumer})

    def preview(self, consumer: str, say: Any) -> None:
        if self.preview_fails:
            raise self.preview_fails
        say(f"would become {consumer} [/nothing]")

    def command(self, consumer: str) -> str:
        return f"receipts switch {consumer} --stack fake"

    def require_free(self) -> None:
        pass

    def flag(self) -> str:
        return self.updated[-1] if self.updated else self.chosen or self.consumer

    def updates(self) -> int:
        return len(self.updated)

    def update(self, consumer: str, say: Any, *, after: int, on_begin: Any) -> None:
        """An update that fails has turned the loser off and the winner on, and has not come to the outputs.

        A colleague's comes right after it.
        """
        if after != self.updates():
            raise OperatorError("UPDATE_OVERTAKEN", "somebody else was first", "look again")
        if self.never_begins:
            raise ControlError("STACK_BUSY: somebody else is changing the stack")
        on_begin()
        self.updated.append(consumer)
        say(f"to {consumer} [/nothing]")
        self._turn(consumer)
        error = self.update_fails.pop(0) if self.update_fails else None
        if not error:
            self.consumer = consumer
        if self.colleague:
            self.consumer, colleague, self.colleague = self.colleague, self.colleague, None
            self.updated.append(colleague)
            self._turn(colleague)
        if error:
            raise error

    def logs(self, host: str, since: datetime) -> list[str]:
        if self.logs_fail:
            raise self.logs_fail
        return list(self.lines[host])

    # What a target is asked for.

    @property
    def outputs(self) -> Mapping[str, Any]:
        return {
            "embedConsumer": self.consumer,
            "embedFunctionName": "f",
            "serviceName": "s",
            "clusterName": "c",
            "uploadFunctionName": "upload",
            "mergeFunctionName": "merge",
            "embedQueueUrls": {"embed": url("embed")},
            "embedQueueUrl": url("embed"),
            **{f"{name}QueueUrl": url(name) for name in ("ocrResults", "lines", "words")},
            **dict.fromkeys(DEAD_LETTERS.values(), url("dead")),
            "artifactsBucket": "artifacts",
            "vectorsBucket": "vectors",
            "tableName": "table",
            "embeddingModel": "model",
            "embeddingDimensions": 3,
        }

    def client(self, service: str) -> Any:
        assert service == "ecs"
        return self.ecs

    @property
    def s3(self) -> Any:
        return SimpleNamespace(put_object=self._put, head_object=self._head, list_objects_v2=self._list)

    @property
    def sqs(self) -> Any:
        return SimpleNamespace(get_queue_attributes=self._attributes)

    @property
    def dynamodb(self) -> Any:
        return SimpleNamespace(get_item=lambda **_: {} if self.run is None else {"Item": self.run})

    def consumer_observer(self, *, scheduled: bool) -> Any:
        return SimpleNamespace(observe_each=lambda addresses: map(self._observe, addresses))

    def _observe(self, address: str) -> QueueObservation | None:
        name = address.rsplit("/", 1)[-1]
        if name == self.missing:
            return None
        found: dict[str, Any] = {
            "ocrResults": {"mappings": (seen_mapping("upload"),)},
            "lines": {"mappings": (seen_mapping("merge"),)},
            "words": {"mappings": (seen_mapping("merge"),)},
            "embed": {
                "mappings": (seen_mapping(state=self.mapping), *self.more.get("mappings", ())),
                "services": (seen_service(count=self.count), *self.more.get("services", ())),
            },
        }.get(name, {})
        return QueueObservation(url=address, arn="a", visible=self.waiting.get(name, 0), in_flight=0, **found)

    def _attributes(self, QueueUrl: str, AttributeNames: list[str]) -> Any:
        waiting = self.waiting.get(QueueUrl.rsplit("/", 1)[-1], 0)
        counts = {"ApproximateNumberOfMessages": str(waiting), "ApproximateNumberOfMessagesNotVisible": "0"}
        return {"Attributes": counts}

    def _put(self, Bucket: str, Key: str, Body: bytes, **_: Any) -> Any:
        if self.put_fails:
            raise self.put_fails
        self.objects[Bucket, Key] = Body
        return {"ResponseMetadata": {"HTTPHeaders": {"date": format_datetime(NOW, usegmt=True)}}}

    def _head(self, Bucket: str, Key: str, **_: Any) -> dict[str, Any]:
        if (Bucket, Key) not in self.objects:
            raise ClientError({"Error": {"Code": "404", "Message": "no"}}, "HeadObject")
        return {}

    def _list(self, Bucket: str, Prefix: str) -> Any:
        return {
            "Contents": [{"Key": key} for bucket, key in self.objects if bucket == Bucket and key.startswith(Prefix)]
        }

    # What a test makes happen.

    def uploads(self) -> list[bytes]:
        return [content for (bucket, key), content in self.objects.items() if key.startswith("ocr/")]

    def export(self) -> None:
        """Stage 1 makes the artifacts of what was uploaded."""
        images = [key.removeprefix("ocr/").removesuffix(".json") for bucket, key in self.objects if key[:4] == "ocr/"]
        for image in images:
            self.objects["artifacts", f"receipts/{image}/receipt-00001/digest/manifest.json"] = b""

    def record(self, checks: SwitchChecks, consumer: str) -> None:
        """Somebody records the run of the check's receipt."""
        progress = CollectionProgress(expected_count=1, delta_sha256="0" * 64)
        run = CompactionRun(
            **checks.reference.model_dump(),
            embedding_model="model",
            dimensions=3,
            delta_bucket="vectors",
            lines=progress,
            words=progress,
            merchant_source="none",
            consumer=consumer,
            created_at=NOW,
            updated_at=NOW,
        )
        self.run = run_to_item(run)

    def work(self, checks: SwitchChecks) -> None:
        """The worker does all that is looked for."""
        self.export()
        self.record(checks, "ecs")
        self.lines["ecs"].append(f"embedded {checks.reference.run_id}")
        for collection in COLLECTIONS:
            self.objects["vectors", delta_key(collection, checks.reference.run_id, "0" * 64)] = b""
