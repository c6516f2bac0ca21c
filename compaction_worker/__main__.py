"""The container's entry point, ``python -m compaction_worker``: builds the worker and runs it until it is stopped.

Only what keeps a stop is imported at once. The rest takes seconds, and a SIGTERM that comes meanwhile must not be lost
(a process 1 without a handler ignores it) nor end the worker with an unexplained exit code.
"""

import sys
from typing import TYPE_CHECKING

from compaction_worker.stopping import StopRequest

if TYPE_CHECKING:
    from compaction_worker.worker import ChromaCompactionWorker


def main() -> int:
    """Run the worker; the exit code says why it ended."""
    with StopRequest() as stop:
        return _run(stop)


def _run(stop: StopRequest) -> int:
    import logging  # noqa: PLC0415 - see the module

    from compaction_worker.worker import EXIT_BROKEN, EXIT_MISCONFIGURED  # noqa: PLC0415
    from pipeline.errors import ErrorCode, PermanentError  # noqa: PLC0415
    from pipeline.logs import configure_logging  # noqa: PLC0415

    configure_logging()
    logger = logging.getLogger(__name__)
    try:
        return build().run(stop)
    except PermanentError as error:
        logger.error(str(error), extra={"error_code": error.code})
        return EXIT_MISCONFIGURED
    except Exception:
        logger.exception("the worker cannot start", extra={"error_code": ErrorCode.INTERNAL_ERROR})
        return EXIT_BROKEN


def build() -> "ChromaCompactionWorker":
    """The worker with its real adapters, as the environment names them.

    Raises:
        PermanentError: ENVIRONMENT_INVALID.
    """
    import os  # noqa: PLC0415 - see the module
    from pathlib import Path  # noqa: PLC0415

    from compaction_worker.environment import WorkerEnvironment  # noqa: PLC0415
    from compaction_worker.fence import Fence  # noqa: PLC0415
    from compaction_worker.protection import TaskProtection  # noqa: PLC0415
    from compaction_worker.worker import ChromaCompactionWorker  # noqa: PLC0415
    from pipeline.aws import connect  # noqa: PLC0415
    from pipeline.collections.reader import SnapshotSource  # noqa: PLC0415
    from pipeline.embedding.bootstrap import build_core  # noqa: PLC0415

    environment = WorkerEnvironment.from_variables(os.environ)
    snapshots = SnapshotSource.from_directory(
        "lines",
        collections_directory=Path(environment.collections_directory),
        private_directory=Path(environment.private_directory),
        s3_client=connect("s3"),
        bucket=environment.vectors_bucket,
        is_exact=True,
    )
    return ChromaCompactionWorker(
        environment=environment,
        core=build_core(environment, consumer="ecs", snapshots=snapshots),
        sqs_client=connect("sqs"),
        protection=TaskProtection.from_variables(),
        fence=Fence(connect("lambda"), environment.embed_queue_arn),
    )


if __name__ == "__main__":
    sys.exit(main())
