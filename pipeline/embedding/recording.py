"""Decides which run a message is and records it once, after its deltas are written and verified.

A run is recorded only if nothing was recorded of its receipt since the table was read. Otherwise the table is read and
the decision made again: of two deliveries of one message, wherever they are processed, one records the run and the
other finds it. The deltas of the other one are never read, because the run names its own by their digests.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pipeline.collections.receipts import applied_again, operation_of
from pipeline.contracts.artifacts import LineRow, WordRow
from pipeline.contracts.delta import make_delta
from pipeline.contracts.identifiers import (
    COLLECTIONS,
    CollectionName,
    Precision,
    line_vector_id,
    upload_id,
    word_vector_id,
)
from pipeline.contracts.messages import EmbedMessage
from pipeline.contracts.metadata import Metadata, row_metadata
from pipeline.contracts.run import CollectionProgress, CompactionRun, event_order
from pipeline.deltas import has_delta, write_delta
from pipeline.embedding.work import Disposition, Receipt, Seen, TextVectors
from pipeline.errors import ErrorCode, RetryableError
from pipeline.merchants.resolution import Merchant
from pipeline.objects import ObjectStore
from pipeline.runs.repository import RunRepository

logger = logging.getLogger(__name__)

Consumer = Literal["lambda", "ecs"]
LOOKS = 5
"""Operations of one receipt are rare but for those of its own group, which come one after the other."""


@dataclass(frozen=True, kw_only=True)
class RunRecorder:
    """Writes deltas and records runs.

    Attributes:
        consumer: which host this is.
        bucket: where deltas go.
        model: the embedding model, with its ``dimensions``.
        precision: of the stored vectors.
        resolve_merchant: takes a receipt and its vectors.
        now: the time.
    """

    consumer: Consumer
    objects: ObjectStore
    runs: RunRepository
    bucket: str
    model: str
    dimensions: int
    precision: Precision
    resolve_merchant: Callable[[Receipt, TextVectors], Merchant]
    now: Callable[[], datetime]

    def look(self, message: EmbedMessage, content_id: str) -> Seen:
        """Read the receipt's runs and decide which one the message is.

        It is the content's own run, whose id is computed, unless that was recorded before and this is a later upload.
        Then the recorded deltas are used again, or, when they are gone or were refused, it is embedded as a run of its
        own.

        Args:
            message: the message.
            content_id: the run id that is computed from its content.

        Raises:
            RetryableError: SERVICE_UNAVAILABLE.
        """
        runs = self.runs.of_receipt(message.image_id, message.receipt_id)
        latest = max((run.receipt_version for run in runs), default=0)
        return self._decide(message, content_id, runs, latest)

    def record(self, receipt: Receipt, vectors: TextVectors | None) -> Disposition:
        """Bring a message to its end: write and record its run, or find that there is nothing to do.

        Args:
            receipt: the receipt.
            vectors: of all its texts; None when its content was recorded already.

        Raises:
            PermanentError: DELTA_INVALID, OBJECT_CHANGED.
            RetryableError: RUN_CONFLICT when others kept recording operations of the receipt, or a run that was to be
                used again cannot be any more; OBJECT_UPLOAD_UNVERIFIED, SERVICE_UNAVAILABLE.
        """
        seen = receipt.seen
        if seen.recorded is not None:
            # An earlier message of its group may have changed the receipt since.
            seen = self._look_again(receipt)
        run: CompactionRun | None = None
        for _ in range(LOOKS):
            if seen.recorded is not None:
                disposition = self._recorded_before(receipt.message, seen.recorded, seen)
            else:
                if run is None or run.run_id != seen.run_id:
                    run = self._write(receipt, _required(receipt, vectors), seen.run_id)
                disposition = Disposition.EMBEDDED if self._record(run, seen) else None
            if disposition is not None:
                return disposition
            logger.info("another operation of the receipt was recorded; looking again", extra={"run_id": seen.run_id})
            seen = self._look_again(receipt)
        raise _conflict(receipt, f"was overtaken {LOOKS} times")

    def _look_again(self, receipt: Receipt) -> Seen:
        """The version is read before the runs: whatever is recorded in between is then noticed."""
        message = receipt.message
        latest = self.runs.latest_version(message.image_id, message.receipt_id)
        runs = self.runs.of_receipt(message.image_id, message.receipt_id)
        return self._decide(message, receipt.content_id, runs, latest)

    def _decide(self, message: EmbedMessage, content_id: str, runs: list[CompactionRun], latest: int) -> Seen:
        def seen(run_id: str, recorded: CompactionRun | None) -> Seen:
            return Seen(run_id=run_id, recorded=recorded, runs=tuple(runs), latest=latest)

        same = [run for run in runs if run.kind == "upsert" and run.content_id == content_id]
        if not same:
            return seen(content_id, None)
        newest = next((run for run in reversed(same) if not run.has_failed), same[-1])
        if message.uploaded_at is None or not _is_later(message, newest):
            return seen(content_id, newest)
        if not newest.has_failed and self._has_deltas(newest):
            return seen(content_id, newest)
        return seen(upload_id(content_id, message.uploaded_at), None)

    def _has_deltas(self, run: CompactionRun) -> bool:
        written_for = operation_of(run).delta_run_id
        return all(
            has_delta(
                self.objects, run.delta_bucket, collection, written_for, run.progress(collection).delta_sha256 or ""
            )
            for collection in COLLECTIONS
        )

    def _recorded_before(self, message: EmbedMessage, run: CompactionRun, seen: Seen) -> Disposition | None:
        """Nothing is paid twice: a redelivery is skipped, a later upload of the same content is applied again.

        Also when the receipt has this content now: other content that was uploaded in between may still arrive, and
        would win over an unrecorded upload.
        """
        if message.uploaded_at is None or not _is_later(message, run):
            logger.info("run exists already; nothing is paid twice", extra={"run_id": run.run_id})
            return Disposition.SKIPPED
        again = applied_again(
            run,
            run_id=upload_id(run.content_id, message.uploaded_at),
            # What a person corrected before was of what was uploaded before.
            changes={},
            consumer=self.consumer,
            moment=self.now(),
        ).model_copy(update={"uploaded_at": message.uploaded_at, "sequencer": message.sequencer})
        if not self._record(again, seen):
            return None
        logger.info("uploaded again; applied again", extra={"run_id": again.run_id, "delta_run_id": run.run_id})
        return Disposition.APPLIED_AGAIN

    def _record(self, run: CompactionRun, seen: Seen) -> bool:
        """Record a run if nothing was recorded of its receipt since; False otherwise."""
        try:
            return self.runs.record(run, only_after=seen.latest)
        except RetryableError as error:
            if error.code is not ErrorCode.RUN_CONFLICT:
                raise
            return False

    def _write(self, receipt: Receipt, vectors: TextVectors, run_id: str) -> CompactionRun:
        """Write both deltas and give the run that records them."""
        merchant = self.resolve_merchant(receipt, vectors)
        moment = self.now()
        return CompactionRun(
            image_id=receipt.message.image_id,
            receipt_id=receipt.message.receipt_id,
            run_id=run_id,
            content_run_id=None if run_id == receipt.content_id else receipt.content_id,
            embedding_model=self.model,
            dimensions=self.dimensions,
            delta_bucket=self.bucket,
            lines=self._upload("lines", receipt, run_id, merchant, vectors),
            words=self._upload("words", receipt, run_id, merchant, vectors),
            merchant_name=merchant.name,
            merchant_source=merchant.source,
            merchant_error=merchant.error,
            consumer=self.consumer,
            uploaded_at=receipt.message.uploaded_at,
            sequencer=receipt.message.sequencer,
            created_at=moment,
            updated_at=moment,
        )

    def _upload(
        self, collection: CollectionName, receipt: Receipt, run_id: str, merchant: Merchant, vectors: TextVectors
    ) -> CollectionProgress:
        rows = receipt.lines if collection == "lines" else receipt.words
        delta = make_delta(
            collection=collection,
            run_id=run_id,
            image_id=receipt.message.image_id,
            receipt_id=receipt.message.receipt_id,
            model=self.model,
            rows=[_delta_row(receipt.message, row, run_id, merchant) for row in rows],
            vectors=vectors.of([row.text for row in rows]),
        )
        digest = write_delta(self.objects, self.bucket, delta, self.precision)
        return CollectionProgress(expected_count=len(rows), delta_sha256=digest)


def _delta_row(
    message: EmbedMessage, row: LineRow | WordRow, run_id: str, merchant: Merchant
) -> tuple[str, str, Metadata]:
    identifier = (
        word_vector_id(message.image_id, message.receipt_id, row.line_id, row.word_id)
        if isinstance(row, WordRow)
        else line_vector_id(message.image_id, message.receipt_id, row.line_id)
    )
    metadata = row_metadata(
        message.image_id,
        message.receipt_id,
        row,
        run_id=run_id,
        merchant_name=merchant.name,
        merchant_source=merchant.source,
    )
    return identifier, row.text, metadata


def _is_later(message: EmbedMessage, run: CompactionRun) -> bool:
    """Whether the message's event was after the run's; False without a time."""
    return message.uploaded_at is not None and event_order(message.uploaded_at, message.sequencer) > run.order[:2]


def _required(receipt: Receipt, vectors: TextVectors | None) -> TextVectors:
    if vectors is None:
        raise _conflict(receipt, "was to use the deltas of a run that cannot be used any more")
    return vectors


def _conflict(receipt: Receipt, what: str) -> RetryableError:
    message = receipt.message
    return RetryableError(
        ErrorCode.RUN_CONFLICT,
        value=f"receipt {message.receipt_id} of image {message.image_id} {what}",
        rule="a run is recorded only after what was known of its receipt when that was decided",
        way_out="the message is delivered again",
    )
