"""The embedding core: embed messages in, one outcome a message out. It knows no host and deletes no message.

Three stages, so that a host may overlap them: ``prepare`` reads (S3, the table), ``embed`` asks the model, ``write``
writes and records (S3, the table) and settles every message. ``process`` is the three of them, one after the other.
A run is recorded last, after both deltas are uploaded and verified, so a crash anywhere before repeats work and never
leaves a run without its deltas.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from pipeline.aws import AwsClient
from pipeline.contracts.artifacts import LineRow, WordRow, decode_rows
from pipeline.contracts.identifiers import content_digest, run_id
from pipeline.contracts.messages import EmbedMessage, parse_message, require_own_artifacts
from pipeline.contracts.versions import DELTA_VERSION
from pipeline.embedding.embedders.base import PartlyEmbeddedError
from pipeline.embedding.environment import EmbeddingEnvironment
from pipeline.embedding.pauses import pause_seconds
from pipeline.embedding.recording import Consumer, RunRecorder
from pipeline.embedding.work import Disposition, IncomingMessage, Outcome, Receipt, TextVectors, Work
from pipeline.errors import PermanentError, PipelineError, RetryableError, in_the_tree
from pipeline.merchants.resolution import Merchant, MerchantResolver
from pipeline.objects import ObjectStore
from pipeline.queues import park
from pipeline.runs.repository import RunRepository

if TYPE_CHECKING:
    from pipeline.embedding.embedders.base import Embedder

logger = logging.getLogger(__name__)

GROUPS_AT_ONCE = 8
"""Message groups that ``prepare`` and ``write`` work on at once: nearly all of their time is waiting for S3 and
DynamoDB. Below the ten connections of a boto3 client."""

Item = TypeVar("Item", IncomingMessage, Work)
Result = TypeVar("Result", Work, Outcome)


@dataclass(frozen=True, kw_only=True)
class EmbeddingCore:
    """Stage 2 with its adapters; a host's bootstrap builds the real ones, a test passes others.

    Its methods may be called from several threads, if messages of one group are given to one thread.
    """

    environment: EmbeddingEnvironment
    consumer: Consumer
    objects: ObjectStore
    runs: RunRepository
    sqs_client: AwsClient
    embedder: "Embedder"
    merchants: MerchantResolver
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    merchant_lock: threading.Lock = field(default_factory=threading.Lock)
    """A snapshot is closed when a newer one is opened, so one thread at a time may ask it."""

    def process(self, batch: Sequence[IncomingMessage]) -> list[Outcome]:
        """Embed a batch.

        Returns:
            One outcome a message, in the order of the batch. After a RETRY every later message of the same group is
            RETRY as well: versions of a receipt stay in order.
        """
        return self.write(self.embed(self.prepare(batch)))

    def prepare(self, batch: Sequence[IncomingMessage]) -> list[Work]:
        """Parse messages, read and verify their artifacts, look for their runs; groups side by side."""
        return _by_group(batch, lambda item: item.group_id, self._prepare_group)

    def embed(self, works: Sequence[Work]) -> list[Work]:
        """Embed the texts of many receipts together, each distinct text once.

        When the model rejects the request, it is asked for each half, until the receipt that it rejects is alone. When
        the time is over before all texts are embedded, the receipts whose texts all are go on: the shortest come first,
        so that one long receipt does not use up the time of its neighbours.
        """
        shortest_first = sorted(works, key=lambda work: len(work.texts))
        answers = self._embed([work for work in shortest_first if work.needs_embedding])
        return [_answered(work, answers.get(work.incoming.message_id)) for work in works]

    def write(self, works: Sequence[Work]) -> list[Outcome]:
        """Write deltas, record runs, dead-letter what can never succeed; groups side by side, each in its order."""
        return _by_group(works, lambda work: work.incoming.group_id, self._write_group)

    @property
    def _recorder(self) -> RunRecorder:
        return RunRecorder(
            consumer=self.consumer,
            objects=self.objects,
            runs=self.runs,
            bucket=self.environment.vectors_bucket,
            model=self.embedder.model,
            dimensions=self.embedder.dimensions,
            precision=self.environment.delta_precision,
            resolve_merchant=self._merchant,
            now=self.now,
        )

    def _prepare_group(self, messages: Sequence[IncomingMessage]) -> list[Work]:
        works: list[Work] = []
        for incoming in messages:
            if works and (works[-1].receipt is None and not isinstance(works[-1].error, PermanentError)):
                # The one before it must be retried first, so this one comes back too: nothing is read for it.
                works.append(Work(incoming=incoming))
                continue
            try:
                works.append(Work(incoming=incoming, receipt=self._read(incoming)))
            except Exception as error:  # noqa: BLE001 - it becomes an outcome, and is logged if it is unknown
                works.append(Work(incoming=incoming, error=_told(error)))
        return works

    def _read(self, incoming: IncomingMessage) -> Receipt:
        message = parse_message(incoming.body, EmbedMessage)
        require_own_artifacts(message, self.environment.artifacts_bucket)
        lines_ndjson = self.objects.get(message.artifacts_bucket, message.lines_key)
        words_ndjson = self.objects.get(message.artifacts_bucket, message.words_key)
        lines = decode_rows(
            lines_ndjson,
            LineRow,
            key=message.lines_key,
            expected_count=message.lines_count,
            expected_sha256=message.lines_sha256,
        )
        words = decode_rows(
            words_ndjson,
            WordRow,
            key=message.words_key,
            expected_count=message.words_count,
            expected_sha256=message.words_sha256,
        )
        # Computed here rather than believed: the model may have changed since the message was sent.
        content_id = run_id(
            message.image_id,
            message.receipt_id,
            content_digest(lines_ndjson, words_ndjson, message.merchant_name),
            embedding_model=self.embedder.model,
            dimensions=self.embedder.dimensions,
            delta_version=DELTA_VERSION,
        )
        return Receipt(
            message=message,
            content_id=content_id,
            lines=[row for row in lines if not row.is_noise],
            words=[row for row in words if not row.is_noise],
            seen=self._recorder.look(message, content_id),
        )

    def _embed(self, works: Sequence[Work]) -> dict[str, TextVectors | PipelineError]:
        """The answer for each message, by its id."""
        if not works:
            return {}
        texts = list(dict.fromkeys(text for work in works for text in work.texts))
        try:
            answer: TextVectors | PipelineError = TextVectors(texts, self.embedder.embed(texts))
        except PartlyEmbeddedError as error:
            embedded = [text for text, is_known in zip(texts, error.known, strict=True) if is_known]
            known = TextVectors(embedded, error.rows)
            return {work.incoming.message_id: known if known.has(work.texts) else error for work in works}
        except RetryableError as error:
            answer = error
        except Exception as error:  # noqa: BLE001 - any error is the answer for these receipts
            if len(works) > 1:
                # The text of one receipt was rejected, or broke the embedder; its neighbours must not suffer for it.
                middle = len(works) // 2
                return self._embed(works[:middle]) | self._embed(works[middle:])
            answer = _told(error)
        return {work.incoming.message_id: answer for work in works}

    def _write_group(self, works: Sequence[Work]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for work in works:
            if outcomes and outcomes[-1].disposition is Disposition.RETRY:
                # While one message of a group is hidden SQS gives none of them, so they come back together.
                outcomes.append(replace(outcomes[-1], message_id=work.incoming.message_id, error=None))
            else:
                outcomes.append(self._write_one(work))
        return outcomes

    def _write_one(self, work: Work) -> Outcome:
        try:
            if work.error is not None:
                raise work.error
            assert work.receipt is not None  # noqa: S101 - only behind a RETRY is there neither, and never here
            disposition = self._recorder.record(work.receipt, work.vectors)
        except Exception as error:  # noqa: BLE001 - any error becomes the message's outcome
            return self._settle(work.incoming, _told(error))
        logger.info(
            "message is done",
            extra={
                "disposition": disposition,
                "run_id": work.receipt.seen.run_id,
                "consumer": self.consumer,
                "lines": len(work.receipt.lines),
            },
        )
        return Outcome(message_id=work.incoming.message_id, disposition=disposition)

    def _merchant(self, receipt: Receipt, vectors: TextVectors) -> Merchant:
        if receipt.message.merchant_name is not None:
            return Merchant(name=receipt.message.merchant_name, source="given")
        with self.merchant_lock:
            return self.merchants.resolve(receipt.lines, vectors.of([line.text for line in receipt.lines]))

    def _settle(self, incoming: IncomingMessage, error: PipelineError) -> Outcome:
        """Dead-letter what can never succeed, with its reason; leave the rest for another delivery."""
        logger.error(
            "message failed",
            extra={"message_id": incoming.message_id, "error_code": error.code, "reason": str(error)},
        )
        if isinstance(error, PermanentError):
            try:
                park(
                    self.sqs_client,
                    self.environment.embed_dead_letter_queue_url,
                    incoming.body,
                    error,
                    group_id=incoming.group_id,
                    message_id=incoming.message_id,
                )
            except Exception as park_error:  # noqa: BLE001 - then the message is retried
                error = _told(park_error)
            else:
                return Outcome(message_id=incoming.message_id, disposition=Disposition.PARKED, error=error)
        return Outcome(
            message_id=incoming.message_id,
            disposition=Disposition.RETRY,
            error=error,
            pause_seconds=pause_seconds(error, incoming.receives),
        )


def _answered(work: Work, answer: TextVectors | PipelineError | None) -> Work:
    """The message with its embedder's answer; None where none was asked for."""
    if answer is None:
        return work
    return replace(work, error=answer) if isinstance(answer, PipelineError) else replace(work, vectors=answer)


def _told(error: Exception) -> PipelineError:
    """The error as a message's outcome; one of no known kind is logged here, with its traceback."""
    if not isinstance(error, PipelineError):
        logger.exception("an error of no known kind; its message comes back")
    return in_the_tree(error)


def _by_group(
    items: Sequence[Item], group_of: Callable[[Item], str], work_on: Callable[[Sequence[Item]], Iterable[Result]]
) -> list[Result]:
    """Work on every group, several at once, each in its order; the results are in the order of the items."""
    places: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        places.setdefault(group_of(item), []).append(place)
    parts = [[items[place] for place in group] for group in places.values()]
    if len(parts) > 1:
        with ThreadPoolExecutor(min(GROUPS_AT_ONCE, len(parts))) as threads:
            answers = list(threads.map(work_on, parts))
    else:
        answers = [work_on(part) for part in parts]
    by_place = {
        place: result
        for group, answer in zip(places.values(), answers, strict=True)
        for place, result in zip(group, answer, strict=True)
    }
    return [by_place[place] for place in range(len(items))]
