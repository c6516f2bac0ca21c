"""The three stages of the embedding core at work at the same time, each on different messages. It receives nothing.

Reading and writing wait for S3 and DynamoDB, so several threads do them; one thread embeds, a gathering at a time.
While one request is answered, the next is gathered and the last one's receipts are written.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Self, TypeVar

from compaction_worker.gathering import Bundle, Gathering
from compaction_worker.held import BATCH_ENTRIES, HeldMessage, HeldMessages
from pipeline.embedding.core import EmbeddingCore
from pipeline.embedding.work import Disposition

logger = logging.getLogger(__name__)

PREPARING_THREADS, WRITING_THREADS = 4, 6
"""Together the ten connections that a boto3 client keeps (botocore.config.Config, max_pool_connections)."""
MAXIMUM_HELD = 120
"""Messages held at once. About 20 receipts of 53 lines and 112 words fill a request of 2,048 inputs (``python -m
benchmarks.worker``), so this is one request that is gathered, one that is embedded, and the receipts of a few that are
written. To release them all takes twelve calls, well within the seconds that a stop keeps for it."""
MAXIMUM_WAITING_TEXTS = 3 * 2_048
"""Texts that wait to be embedded when no more is received: bounds memory when receipts are large."""
SLOW_NEIGHBOUR_SECONDS = 1.0
"""How long prepared messages wait for others that are still being read, when nothing more is expected."""
WAKE_SECONDS = 0.2

Argument = TypeVar("Argument")


class Stages:
    """Takes bundles of received messages and brings each message to its end; a context manager that runs the threads.

    Args:
        core: the embedding core.
        held: where the messages are held until they are done.
        gathering: what shares a request.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        core: EmbeddingCore,
        held: HeldMessages,
        *,
        gathering: Gathering | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._core = core
        self._held = held
        self._gathering = Gathering() if gathering is None else gathering
        self._clock = clock
        self._changed = threading.Condition()
        self._closed = False
        self._more_is_expected = False
        self._prepared_at = 0.0
        self._preparing = self._embedding = self._writing = self._waiting_texts = 0
        self._done: list[HeldMessage] = []
        self._readers = ThreadPoolExecutor(PREPARING_THREADS, thread_name_prefix="prepare")
        self._writers = ThreadPoolExecutor(WRITING_THREADS, thread_name_prefix="write")
        self._embedder = threading.Thread(target=self._embed_until_closed, name="embed", daemon=True)
        self.failure: Exception | None = None
        """An error that is not of the pipeline's tree; the worker must end with it."""

    def __enter__(self) -> Self:
        self._embedder.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End after the calls that are running; what was not begun stays held and is for the caller to release."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._readers.shutdown(cancel_futures=True)
        self._embedder.join()
        self._writers.shutdown(cancel_futures=True)
        self._delete_done(at_least=1)

    @property
    def broken(self) -> bool:
        """Whether messages can no longer be brought to their end here."""
        return self.failure is not None or self._held.failure is not None

    @property
    def gathers(self) -> bool:
        """Whether messages wait only because more are expected: the next receive must then answer at once."""
        with self._changed:
            return self._more_is_expected and (self._preparing > 0 or len(self._gathering) > 0)

    def submit(self, messages: Sequence[HeldMessage], *, more_is_expected: bool) -> None:
        """Begin with the messages of one receive, none included.

        Args:
            messages: held already.
            more_is_expected: whether the next receive will probably bring more; without that, what waits goes on.
        """
        groups: dict[str, list[HeldMessage]] = {}
        for message in messages:
            groups.setdefault(message.incoming.group_id, []).append(message)
        with self._changed:
            self._preparing += len(groups)
            self._more_is_expected = more_is_expected
            self._changed.notify_all()
        for group in groups.values():
            self._readers.submit(self._guarded, self._prepare, Bundle(messages=group))

    def wait_for_room(self, wanted: int, is_over: Callable[[], bool]) -> None:
        """Wait until ``wanted`` more messages may be held, or until it is over, or broken.

        Args:
            wanted: messages of a receive.
            is_over: asked several times a second.
        """
        with self._changed:
            while not (self._has_room(wanted) or self.broken or is_over()):
                # Nothing that is under way will make room, so nothing more can come to what waits.
                self._more_is_expected &= self._embedding + self._writing > 0
                self._changed.notify_all()
                self._changed.wait(WAKE_SECONDS)

    def finish(self) -> None:
        """Finish everything; returns early when that is not possible any more."""
        with self._changed:
            self._more_is_expected = False
            self._changed.notify_all()
            while not (self.broken or self._is_idle()):
                self._changed.wait(WAKE_SECONDS)

    def _has_room(self, wanted: int) -> bool:
        return len(self._held) + wanted <= MAXIMUM_HELD and self._waiting_texts < MAXIMUM_WAITING_TEXTS

    def _is_idle(self) -> bool:
        return not (self._preparing or len(self._gathering) or self._embedding or self._writing)

    def _guarded(self, stage: Callable[[Argument], None], argument: Argument) -> None:
        try:
            stage(argument)
        # A stage settles every error of the pipeline's tree; this one is a bug, and ends the worker.
        except Exception as error:
            logger.exception("a stage failed")
            with self._changed:
                self.failure = self.failure or error
                self._changed.notify_all()

    def _prepare(self, bundle: Bundle) -> None:
        works = self._core.prepare([message.incoming for message in bundle.messages])
        prepared = replace(bundle, works=works)
        with self._changed:
            self._preparing -= 1
            if any(work.needs_embedding for work in works):
                self._gathering.add(prepared)
                self._waiting_texts += sum(len(work.texts) for work in works)
                self._prepared_at = self._clock()
            else:
                # Done before, or bad: it need not wait for anybody.
                self._submit_write(prepared)
            self._changed.notify_all()

    def _embed_until_closed(self) -> None:
        while True:
            with self._changed:
                while not (self._closed or self._is_ready()):
                    self._changed.wait(WAKE_SECONDS if len(self._gathering) else None)
                if self._closed:
                    return
                bundles = self._gathering.take()
                self._embedding += len(bundles)
                self._waiting_texts -= sum(len(work.texts) for bundle in bundles for work in bundle.works)
            self._guarded(self._embed, bundles)
            if self.failure is not None:
                return

    def _is_ready(self) -> bool:
        if not len(self._gathering):
            return False
        if self._gathering.is_full:
            return True
        is_slow = self._clock() - self._prepared_at > SLOW_NEIGHBOUR_SECONDS
        return not self._more_is_expected and (not self._preparing or is_slow)

    def _embed(self, bundles: Sequence[Bundle]) -> None:
        works = iter(self._core.embed([work for bundle in bundles for work in bundle.works]))
        embedded = [replace(bundle, works=[next(works) for _ in bundle.works]) for bundle in bundles]
        with self._changed:
            for bundle in embedded:
                self._embedding -= 1
                self._submit_write(bundle)
            self._changed.notify_all()

    def _submit_write(self, bundle: Bundle) -> None:
        self._writing += 1
        if not self._closed:
            self._writers.submit(self._guarded, self._write, bundle)

    def _write(self, bundle: Bundle) -> None:
        if all(message in self._held for message in bundle.messages):
            outcomes = self._core.write(bundle.works)
            pauses = {item.message_id: item.pause_seconds for item in outcomes if item.disposition is Disposition.RETRY}
            retried = set(pauses)
            for seconds in set(pauses.values()):
                alike = [item for item in bundle.messages if pauses.get(item.incoming.message_id, -1) == seconds]
                if seconds is None:
                    self._held.let_go(alike)
                else:
                    self._held.release(alike, after_seconds=seconds)
        else:
            # Another consumer may have one of them; what comes later in the group must not overtake it.
            retried = {message.incoming.message_id for message in bundle.messages}
            self._held.release(bundle.messages)
        with self._changed:
            self._writing -= 1
            self._done += [item for item in bundle.messages if item.incoming.message_id not in retried]
            least = 1 if not self._writing else BATCH_ENTRIES
        self._delete_done(at_least=least)
        with self._changed:
            self._changed.notify_all()

    def _delete_done(self, *, at_least: int) -> None:
        """Delete what is done, ten at a time, and the rest when nothing more is being written."""
        while True:
            with self._changed:
                if len(self._done) < at_least:
                    return
                batch, self._done = self._done[:BATCH_ENTRIES], self._done[BATCH_ENTRIES:]
            self._held.delete(batch)
