"""Stage 2 as a whole: its queues, who consumes which, the order of a switch, and what both hosts are given alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import pulumi

from one_consumer.claim.handover import Handover, drained_hook
from one_consumer.live.access import AwsAccess
from one_consumer.live.observation import Identity
from stack.choice import Host, consumers
from stack.handover import emptied_hook, scaling_hooks
from stack.limits import SECONDS_PER_DAY
from stack.naming import QUEUE_NAME_LIMIT, physical_name
from stack.permissions import Statement, read_objects, send_to, statement, use_table, write_objects
from stack.queues import DeadLetterQueue, Queue, QueueArgs
from stack.settings import Settings
from stack.storage import Storage

FUNCTION_NAME, WORKER_NAME = "embed-lambda", "worker"
"""The hosts' names: of their components, and of what AWS shows."""


class EmbedQueues(pulumi.ComponentResource):
    """``embed``, and with ``hybrid`` one more queue a host; all share one dead letter queue.

    Attributes:
        main: the queue whose consumer the setting chooses.
        dead_letter: of all of them.
    """

    main: Queue
    dead_letter: DeadLetterQueue

    def __init__(
        self, name: str, settings: Settings, access: AwsAccess, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("receipts:stack:EmbedQueues", name, None, opts)
        self._settings, self._access = settings, access
        self.dead_letter = DeadLetterQueue(f"{name}-dead-letter", fifo=True, opts=pulumi.ResourceOptions(parent=self))
        self._consumers = consumers(settings.embed_consumer)
        # Registered whatever is chosen: a queue that is not declared any more is deleted after its hook has run.
        main_name = _queue_name("embed")
        self._emptied = {
            queue: emptied_hook(_queue_name(queue), main_name, access, settings.handover)
            for queue in consumers("hybrid")
            if queue != "embed"
        }
        self._queues: dict[str, Queue] = {}
        for queue in self._consumers:
            self._queues[queue] = self._queue(queue)
        self.main = self._queues["embed"]
        self.dead_letter.serve(list(self._queues.values()))
        self.register_outputs({"url": self.main.url, "dead_letter_url": self.dead_letter.url})

    def _queue(self, name: str) -> Queue:
        queue = self._settings.queue
        # Those of hybrid give their messages to `embed` when they go, so they go before it.
        first = [] if name == "embed" else [self._queues["embed"].queue]
        return Queue(
            name,
            QueueArgs(
                fifo=True,
                visibility_timeout_seconds=self._settings.visibility_timeout_seconds,
                max_receive_count=queue.max_receive_count,
                retention_seconds=queue.retention_days * SECONDS_PER_DAY,
                dead_letter=self.dead_letter,
                before_delete=self._emptied.get(name),
                consumer=self._settings.embed_consumer if name == "embed" else None,
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=first),
        )

    def of(self, host: Host) -> list[tuple[Queue, bool]]:
        """The queues that a host claims, and whether it is on there.

        Either host may come to consume ``embed``, so both claim it; with a queue for each, each claims its own.
        """
        return [
            (self._queues[name], consumer == host)
            for name, consumer in self._consumers.items()
            if consumer == host or len(self._consumers) == 1
        ]

    def polled_by(self, host: Host) -> Queue:
        """The queue that a host which polls one queue polls: its own where it has one."""
        return self.of(host)[-1][0]

    @property
    def routes(self) -> dict[str, Any]:
        """Where stage 1 sends: values of ``ProcessOcrResultsEnvironment``."""
        if self._settings.embed_consumer != "hybrid":
            return {"embed_queue_url": self.main.url}
        return {
            "embed_queue_url": self._queues["embed-lambda"].url,
            "large_receipt_queue_url": self._queues["embed-ecs"].url,
            "large_receipt_rows": self._settings.hybrid.large_receipt_rows,
        }

    @property
    def all(self) -> Sequence[Queue]:
        """Every queue of stage 2."""
        return list(self._queues.values())

    @property
    def urls(self) -> dict[str, pulumi.Output[str]]:
        """Name to address."""
        return {name: queue.url for name, queue in self._queues.items()}

    @property
    def chosen(self) -> Host | None:
        """The consumer of ``main``."""
        return self._consumers["embed"]

    def scaling_hooks(self, *, on: bool) -> pulumi.ResourceHookBinding:
        """What an update of the worker's service is done between."""
        return scaling_hooks(physical_name(WORKER_NAME), self._access, on=on)

    def handover(self, off: Sequence[pulumi.Resource]) -> Handover:
        """How ``main`` goes to its consumer.

        Args:
            off: what turns everybody else off.
        """
        worker = physical_name(WORKER_NAME)
        winners = {
            "lambda": Identity(kind="mapping", name=physical_name(FUNCTION_NAME)),
            # The worker's cluster has its name.
            "ecs": Identity(kind="service", name=worker, cluster=worker),
            None: None,
        }
        winner = winners[self.chosen]
        hook = drained_hook(
            f"{self.main.physical_name}-is-drained",
            self._access,
            winner=winner,
            timeout_seconds=self._settings.handover.timeout_seconds,
            poll_seconds=self._settings.handover.poll_seconds,
        )
        return Handover(after=off, drained=hook)


def _queue_name(name: str) -> str:
    return physical_name(name, limit=QUEUE_NAME_LIMIT, suffix=".fifo")


def embedding_values(settings: Settings, storage: Storage, queues: EmbedQueues) -> dict[str, Any]:
    """Values of the fields of ``EmbeddingEnvironment``."""
    return {
        "table_name": storage.table.name,
        "artifacts_bucket": storage.artifacts.bucket,
        "vectors_bucket": storage.vectors.bucket,
        "embed_dead_letter_queue_url": queues.dead_letter.url,
        "embedder": settings.embedder,
        "embedding_model": settings.embedding_model,
        "embedding_dimensions": settings.embedding_dimensions,
        "delta_precision": settings.delta_precision,
        "openai_api_key_secret_arn": storage.secret_arn,
        "openai_base_url": settings.openai_base_url,
    }


def embedding_statements(storage: Storage, queues: EmbedQueues) -> list[Statement]:
    """What embedding needs; receiving is not among it."""
    statements = [
        *read_objects("Artifacts", storage.artifacts, "receipts/*"),
        *read_objects("DeltasAndSnapshots", storage.vectors, "lines/*", "words/*"),
        write_objects("Deltas", storage.vectors, "lines/delta/*", "words/delta/*"),
        use_table("RecordRuns", storage.table, "GetItem", "Query", "PutItem", "UpdateItem"),
        send_to("ParkBadMessages", queues.dead_letter.arn),
    ]
    if storage.secret_arn is not None:
        statements.append(statement("ReadTheKey", ["secretsmanager:GetSecretValue"], [storage.secret_arn]))
    return statements


@dataclass(frozen=True, kw_only=True)
class HostArgs:
    """What a host of the embedding core needs.

    Attributes:
        queues: it claims those that are its own.
        handover: how it comes to consume ``queues.main``; None when it does not.
    """

    settings: Settings
    image_uri: pulumi.Input[str]
    storage: Storage
    queues: EmbedQueues
    handover: Handover | None


class _Host(Protocol):
    @property
    def switches(self) -> Sequence[pulumi.Resource]:
        """What turns the host off for ``main``."""
        ...


FunctionHost = TypeVar("FunctionHost", bound=_Host)
WorkerHost = TypeVar("WorkerHost", bound=_Host)


def outgoing_first(
    queues: EmbedQueues,
    function: Callable[[Handover | None], FunctionHost],
    worker: Callable[[Handover | None], WorkerHost],
) -> tuple[FunctionHost, WorkerHost]:
    """Build both hosts; the chosen one takes over after everything that turns the other one off.

    A switch is then break before make, in one update; the gap without a consumer is its price, and messages wait.
    """
    if queues.chosen == "lambda":
        worker_host = worker(None)
        return function(queues.handover(worker_host.switches)), worker_host
    function_host = function(None)
    worker_host = worker(queues.handover(function_host.switches) if queues.chosen == "ecs" else None)
    if queues.chosen is None:
        queues.main.pause(queues.handover([*function_host.switches, *worker_host.switches]))
    return function_host, worker_host
