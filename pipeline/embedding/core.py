"""The embedding core: a batch of embed messages in, one outcome a message out. It knows no host and deletes no message.

Receipts of a batch share embedding requests. A run is recorded last, after both deltas are uploaded and verified, so a
crash anywhere before repeats work and never leaves a run without its deltas.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

import numpy as np

from pipeline.aws import AwsClient
from pipeline.collections.receipts import applied_again, deciding_run, operation_of
from pipeline.contracts.artifacts import LineRow, WordRow, decode_rows
from pipeline.contracts.delta import make_delta
from pipeline.contracts.identifiers import (
    COLLECTIONS,
    CollectionName,
    content_digest,
    line_vector_id,
    run_id,
    upload_id,
    word_vector_id,
)
from pipeline.contracts.messages import EmbedMessage, parse_message
from pipeline.contracts.metadata import Metadata, row_metadata
from pipeline.contracts.run import CollectionProgress, CompactionRun
from pipeline.contracts.versions import DELTA_VERSION
from pipeline.deltas import has_delta, write_delta
from pipeline.embedding.environment import EmbeddingEnvironment
from pipeline.errors import PermanentError, PipelineError, RetryableError
from pipeline.merchants.resolution import Merchant, MerchantResolver
from pipeline.objects import ObjectStore
from pipeline.queues import park
from pipeline.runs import RunRepository

if TYPE_CHECKING:
    from pipeline.embedding.embedders.base import Embedder

logger = logging.getLogger(__name__)

Consumer = Literal["lambda", "ecs"]


class Disposition(StrEnum):
    """What became of a message. All but RETRY leave the queue."""

    EMBEDDED = "EMBEDDED"
    APPLIED_AGAIN = "APPLIED_AGAIN"
    SKIPPED = "SKIPPED"
    PARKED = "PARKED"
    RETRY = "RETRY"


@dataclass(frozen=True, kw_only=True)
class IncomingMessage:
    """A message as a host received it."""

    message_id: str
    body: str
    group_id: str
    deduplication_id: str | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one message, and why when it was not embedded."""

    message_id: str
    disposition: Disposition
    error: PipelineError | None = None


@dataclass(frozen=True, kw_only=True)
class _Receipt:
    """A receipt: its message, its run and the rows that say something.

    Attributes:
        recorded: the run, when the same content was embedded before.
    """

    incoming: IncomingMessage
    message: EmbedMessage
    run_id: str
    content_run_id: str | None
    lines: list[LineRow]
    words: list[WordRow]
    recorded: CompactionRun | None

    @property
    def texts(self) -> list[str]:
        return [row.text for row in (*self.lines, *self.words)]


@dataclass(frozen=True, kw_only=True)
class EmbeddingCore:
    """Stage 2 with its adapters; a host's bootstrap builds the real ones, a test passes others."""

    environment: EmbeddingEnvironment
    consumer: Consumer
    objects: ObjectStore
    runs: RunRepository
    sqs_client: AwsClient
    embedder: "Embedder"
    merchants: MerchantResolver
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def process(self, batch: Sequence[IncomingMessage]) -> list[Outcome]:
        """Embed a batch.

        Returns:
            One outcome a message, in the order of the batch. After a RETRY every later message of the same group is
            RETRY as well: versions of a receipt stay in order.
        """
        outcomes: dict[str, Outcome] = {}
        receipts = [receipt for incoming in batch if (receipt := self._prepare(incoming, outcomes)) is not None]
        vectors = self._embed([receipt for receipt in receipts if receipt.recorded is None], outcomes)
        broken_groups = {
            incoming.group_id
            for incoming in batch
            if incoming.message_id in outcomes and outcomes[incoming.message_id].disposition is Disposition.RETRY
        }
        for receipt in receipts:
            message_id = receipt.incoming.message_id
            if message_id in outcomes:
                continue
            if receipt.incoming.group_id in broken_groups:
                outcomes[message_id] = Outcome(message_id=message_id, disposition=Disposition.RETRY)
                continue
            try:
                if receipt.recorded is None:
                    self._write(receipt, vectors[message_id])
                    disposition = Disposition.EMBEDDED
                else:
                    disposition = self._recorded_before(receipt.message, receipt.recorded)
            except PipelineError as error:
                outcomes[message_id] = self._settle(receipt.incoming, error)
                if outcomes[message_id].disposition is Disposition.RETRY:
                    broken_groups.add(receipt.incoming.group_id)
            else:
                outcomes[message_id] = Outcome(message_id=message_id, disposition=disposition)
        return [outcomes[incoming.message_id] for incoming in batch]

    def _prepare(self, incoming: IncomingMessage, outcomes: dict[str, Outcome]) -> _Receipt | None:
        """Parse, look for the run, read and verify the artifacts; or settle the message here."""
        try:
            message = parse_message(incoming.body, EmbedMessage)
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
            run, recorded = self._run_of(message, content_id)
        except PipelineError as error:
            outcomes[incoming.message_id] = self._settle(incoming, error)
            return None
        return _Receipt(
            incoming=incoming,
            message=message,
            run_id=run,
            content_run_id=None if run == content_id else content_id,
            lines=[row for row in lines if not row.is_noise],
            words=[row for row in words if not row.is_noise],
            recorded=recorded,
        )

    def _run_of(self, message: EmbedMessage, content_id: str) -> tuple[str, CompactionRun | None]:
        """Which run a message is, and the recorded one that it needs no embedding for.

        The content's own run, whose id is computed, unless that was recorded before and this is a later upload: then
        the recorded deltas are good enough, or, when they are gone or were refused, it is embedded as a run of its own.
        """
        runs = self.runs.of_receipt(message.image_id, message.receipt_id)
        same = [run for run in runs if run.kind == "upsert" and run.content_id == content_id]
        if not same:
            return content_id, None
        newest = next((run for run in reversed(same) if not run.has_failed), same[-1])
        if message.uploaded_at is None or message.uploaded_at <= newest.happened_at:
            return content_id, newest
        if not newest.has_failed and self._has_deltas(newest):
            return content_id, newest
        return upload_id(content_id, message.uploaded_at), None

    def _has_deltas(self, run: CompactionRun) -> bool:
        return all(
            has_delta(
                self.objects,
                run.delta_bucket,
                collection,
                operation_of(run).delta_run_id,
                run.progress(collection).delta_sha256 or "",
            )
            for collection in COLLECTIONS
        )

    def _recorded_before(self, message: EmbedMessage, run: CompactionRun) -> Disposition:
        """Nothing is paid twice: a redelivery is skipped, a later upload of earlier content is applied again.

        Later is later than the upload, or the removal, that decides what the receipt is now.
        """
        deciding = deciding_run(self.runs.of_receipt(message.image_id, message.receipt_id)) or run
        if (
            message.uploaded_at is None
            or (deciding.kind == "upsert" and deciding.content_id == run.content_id)
            or message.uploaded_at <= deciding.happened_at
        ):
            logger.info("run exists already; nothing is paid twice", extra={"run_id": run.run_id})
            return Disposition.SKIPPED
        again = applied_again(
            run,
            run_id=upload_id(run.content_id, message.uploaded_at),
            changes=run.changes,
            consumer=self.consumer,
            moment=self.now(),
        )
        self.runs.record(again.model_copy(update={"uploaded_at": message.uploaded_at}))
        logger.info("uploaded again; applied again", extra={"run_id": again.run_id, "delta_run_id": run.run_id})
        return Disposition.APPLIED_AGAIN

    def _embed(self, receipts: Sequence[_Receipt], outcomes: dict[str, Outcome]) -> dict[str, np.ndarray]:
        """Embed all receipts' texts together, each distinct text once; alone, when the shared request is rejected."""
        texts = list(dict.fromkeys(text for receipt in receipts for text in receipt.texts))
        if not receipts:
            return {}
        try:
            embedded = self.embedder.embed(texts)
        except PermanentError as error:
            if len(receipts) == 1:
                outcomes[receipts[0].incoming.message_id] = self._settle(receipts[0].incoming, error)
                return {}
            # One receipt's text was rejected: its neighbours must not suffer for it.
            return {key: value for receipt in receipts for key, value in self._embed([receipt], outcomes).items()}
        except RetryableError as error:
            for receipt in receipts:
                outcomes[receipt.incoming.message_id] = self._settle(receipt.incoming, error)
            return {}
        position = {text: index for index, text in enumerate(texts)}
        return {
            receipt.incoming.message_id: embedded[[position[text] for text in receipt.texts]] for receipt in receipts
        }

    def _write(self, receipt: _Receipt, vectors: np.ndarray) -> None:
        line_vectors, word_vectors = vectors[: len(receipt.lines)], vectors[len(receipt.lines) :]
        merchant = self._merchant(receipt, line_vectors)
        line_rows = [_delta_row(receipt, row, merchant) for row in receipt.lines]
        word_rows = [_delta_row(receipt, row, merchant) for row in receipt.words]
        lines = self._upload("lines", receipt, line_rows, line_vectors)
        words = self._upload("words", receipt, word_rows, word_vectors)
        moment = self.now()
        recorded = self.runs.record(
            CompactionRun(
                image_id=receipt.message.image_id,
                receipt_id=receipt.message.receipt_id,
                run_id=receipt.run_id,
                content_run_id=receipt.content_run_id,
                embedding_model=self.embedder.model,
                dimensions=self.embedder.dimensions,
                delta_bucket=self.environment.vectors_bucket,
                lines=lines,
                words=words,
                merchant_name=merchant.name,
                merchant_source=merchant.source,
                merchant_error=merchant.error,
                consumer=self.consumer,
                uploaded_at=receipt.message.uploaded_at,
                created_at=moment,
                updated_at=moment,
            )
        )
        logger.info(
            "embedded" if recorded else "another delivery recorded the run first",
            extra={"run_id": receipt.run_id, "consumer": self.consumer, "lines": len(receipt.lines)},
        )

    def _merchant(self, receipt: _Receipt, line_vectors: np.ndarray) -> Merchant:
        if receipt.message.merchant_name is not None:
            return Merchant(name=receipt.message.merchant_name, source="given")
        return self.merchants.resolve(receipt.lines, line_vectors)

    def _upload(
        self, collection: CollectionName, receipt: _Receipt, rows: list[tuple[str, str, Metadata]], vectors: np.ndarray
    ) -> CollectionProgress:
        delta = make_delta(
            collection=collection,
            run_id=receipt.run_id,
            image_id=receipt.message.image_id,
            receipt_id=receipt.message.receipt_id,
            model=self.embedder.model,
            rows=rows,
            vectors=vectors,
        )
        digest = write_delta(self.objects, self.environment.vectors_bucket, delta, self.environment.delta_precision)
        return CollectionProgress(expected_count=len(rows), delta_sha256=digest)

    def _settle(self, incoming: IncomingMessage, error: PipelineError) -> Outcome:
        """Park what can never succeed, with its reason; leave the rest for another delivery."""
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
                    deduplication_id=incoming.deduplication_id,
                )
            except RetryableError as park_error:
                error = park_error
            else:
                return Outcome(message_id=incoming.message_id, disposition=Disposition.PARKED, error=error)
        return Outcome(message_id=incoming.message_id, disposition=Disposition.RETRY, error=error)


def _delta_row(receipt: _Receipt, row: LineRow | WordRow, merchant: Merchant) -> tuple[str, str, Metadata]:
    image_id, receipt_id = receipt.message.image_id, receipt.message.receipt_id
    identifier = (
        word_vector_id(image_id, receipt_id, row.line_id, row.word_id)
        if isinstance(row, WordRow)
        else line_vector_id(image_id, receipt_id, row.line_id)
    )
    metadata = row_metadata(
        image_id,
        receipt_id,
        row,
        run_id=receipt.run_id,
        merchant_name=merchant.name,
        merchant_source=merchant.source,
    )
    return identifier, row.text, metadata
