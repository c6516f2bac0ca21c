"""The loop of the ECS worker: receive, hand to the stages, and say by the exit code why it ended. It decides no more.

On SIGTERM it stops receiving first, then finishes what it holds. What cannot be finished in ECS's stop timeout is
released, so that its next consumer need not wait for the visibility timeout.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from compaction_worker.environment import WorkerEnvironment
from compaction_worker.fence import Fence
from compaction_worker.held import HeldMessages
from compaction_worker.intake import RECEIVE_LIMIT, Intake
from compaction_worker.protection import TaskProtection
from compaction_worker.stages import Stages
from compaction_worker.stopping import StopRequest
from pipeline.aws import AwsClient
from pipeline.embedding.core import EmbeddingCore
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from pipeline.storage import storage_error

logger = logging.getLogger(__name__)

RECEIVE_PAUSE_SECONDS = 5.0
"""Pause after a receive that failed, before the next."""
STOP_MARGIN_SECONDS = 5.0
"""Time kept of the stop timeout for releasing what is held."""
EXIT_MARGIN_SECONDS = 1.0
"""Time kept of that for the exit: a release that hangs must not cost the exit code."""
WEDGED_SECONDS = 60.0
"""A message that is held for longer keeps the loop from touching the health file, which ages until it is done."""
PROPAGATION_SECONDS = 120.0
"""A queue's policy takes up to 60 s to hold everywhere (Amazon SQS API reference, SetQueueAttributes); a worker that
was just chosen may be refused for as long, and must not be taken for a broken deployment."""
REFUSED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "AWS.SimpleQueueService.NonExistentQueue"})
EXIT_OK, EXIT_BROKEN, EXIT_MISCONFIGURED, EXIT_REFUSED, EXIT_RELEASED, EXIT_FENCED = 0, 1, 2, 3, 4, 5
EXIT_MEANINGS: Mapping[int, str] = {
    EXIT_OK: "it was asked to stop, and finished what it held",
    EXIT_BROKEN: "an error of no known kind, which the log has; what it held was released",
    EXIT_MISCONFIGURED: "a variable is missing or wrong",
    EXIT_REFUSED: "the queue or Lambda refuses it, ECS does not want it, or it could not keep its messages hidden",
    EXIT_RELEASED: "the stop timeout was over; what it held was released",
    EXIT_FENCED: "a function may receive from its queue (`FENCED`)",
}


@dataclass(frozen=True, kw_only=True)
class ChromaCompactionWorker:
    """The worker with its adapters; a test passes others."""

    environment: WorkerEnvironment
    core: EmbeddingCore
    sqs_client: AwsClient
    protection: TaskProtection
    fence: Fence
    clock: Callable[[], float] = time.monotonic

    def run(self, stop: StopRequest) -> int:
        """Poll until a stop is asked for, or until the worker may not go on; raises nothing.

        Returns:
            The exit code, as ``EXIT_MEANINGS`` says.
        """
        try:
            return self._run(stop)
        except Exception:
            logger.exception("the worker ends", extra={"error_code": ErrorCode.INTERNAL_ERROR})
            return EXIT_BROKEN

    def _run(self, stop: StopRequest) -> int:
        logger.info("polling", extra={"queue": self.environment.embed_queue_url})
        held = HeldMessages(
            self.sqs_client, self.environment.embed_queue_url, self.environment.visibility_timeout_seconds
        )
        with self._deadline(stop, held), held:
            try:
                with Stages(self.core, held) as stages:
                    code = self._poll(stop, held, stages)
                    # Whatever ended the polling, what is held is still this worker's to finish.
                    stages.finish()
            finally:
                held.release_all()
            if stages.failure is not None:
                raise stages.failure
            if held.failure is not None:
                logger.error("stopping: without a heartbeat another consumer may see the same messages")
                return EXIT_REFUSED
        self.protection.set(False)
        logger.info("stopped", extra={"exit_code": code})
        return code

    def _poll(self, stop: StopRequest, held: HeldMessages, stages: Stages) -> int:
        """Receive and submit, until a stop or a reason not to go on; the stages may still be at work then."""
        intake = Intake(
            self.sqs_client,
            self.environment.embed_queue_url,
            self.environment.visibility_timeout_seconds,
            fence=self.fence,
            held=held,
            clock=self.clock,
        )
        refused_since: float | None = None
        while not (stop.requested or stages.broken):
            if held.oldest_seconds() < WEDGED_SECONDS:
                self._say_alive()
            try:
                messages = intake.take(at_once=stages.gathers)
            except PermanentError as error:
                logger.error(str(error), extra={"error_code": error.code})
                return EXIT_FENCED
            except (RetryableError, ClientError, BotoCoreError) as error:
                stages.submit([], more_is_expected=False)
                if _is_refusal(error):
                    refused_since = refused_since or self.clock()
                    if self.clock() - refused_since >= PROPAGATION_SECONDS:
                        # Only the chosen consumer may receive: a forgotten task says so and goes.
                        logger.exception("this worker is refused")
                        return EXIT_REFUSED
                logger.warning("nothing received", exc_info=error)
                stop.wait(RECEIVE_PAUSE_SECONDS)
                continue
            refused_since = None
            if messages and not self.protection.set(True):
                held.release(messages)
                logger.warning("ECS does not want this task any more")
                return EXIT_REFUSED
            stages.submit(messages, more_is_expected=len(messages) == RECEIVE_LIMIT)
            if not held:
                self.protection.set(False)
            stages.wait_for_room(RECEIVE_LIMIT, lambda: stop.requested)
        return EXIT_OK

    def _say_alive(self) -> None:
        try:
            Path(self.environment.health_file).touch()
        except OSError as error:
            # The file ages, so that ECS replaces the task; until then what is held is worth finishing.
            told = storage_error(error, self.environment.health_file)
            logger.error(str(told), extra={"error_code": told.code})

    @contextmanager
    def _deadline(self, stop: StopRequest, held: HeldMessages) -> Iterator[None]:
        """After a stop, give what is held the stop timeout; then release it and leave for good."""
        done = threading.Event()
        watch = threading.Thread(
            target=self._release_at_deadline, args=(stop, held, done), name="stop-deadline", daemon=True
        )
        watch.start()
        try:
            yield
        finally:
            done.set()
            watch.join()

    def _release_at_deadline(self, stop: StopRequest, held: HeldMessages, done: threading.Event) -> None:
        while not stop.requested:
            if done.wait(0.2):
                return
        if done.wait(self.environment.stop_timeout_seconds - STOP_MARGIN_SECONDS):
            return
        try:
            logger.error("the stop timeout is over; what is held is released", extra={"messages": len(held)})
            release = threading.Thread(target=held.release_all, daemon=True)
            release.start()
            release.join(STOP_MARGIN_SECONDS - EXIT_MARGIN_SECONDS)
        finally:
            # Other threads are stuck, and nothing can end them but the process.
            os._exit(EXIT_RELEASED)


def _is_refusal(error: Exception) -> bool:
    # The guard reports Lambda's refusal as its own error.
    cause = error if isinstance(error, ClientError) else error.__cause__
    return isinstance(cause, ClientError) and cause.response["Error"]["Code"] in REFUSED_CODES
