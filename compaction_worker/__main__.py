"""The container's entry point, ``python -m compaction_worker``: builds the worker and runs it until it is stopped."""

import logging
import os
import sys
from pathlib import Path

import boto3

from compaction_worker.environment import WorkerEnvironment
from compaction_worker.fence import Fence
from compaction_worker.protection import TaskProtection
from compaction_worker.stopping import StopRequest
from compaction_worker.worker import EXIT_BROKEN, EXIT_MISCONFIGURED, ChromaCompactionWorker
from pipeline.collections.reader import SnapshotSource
from pipeline.embedding.bootstrap import build_core
from pipeline.errors import ErrorCode, PermanentError
from pipeline.logs import configure_logging

logger = logging.getLogger(__name__)


def main() -> int:
    """Run the worker; the exit code says why it ended."""
    configure_logging()
    with StopRequest() as stop:
        try:
            return build().run(stop)
        except PermanentError as error:
            logger.error(str(error), extra={"error_code": error.code})
            return EXIT_MISCONFIGURED
        except Exception:
            logger.exception("the worker cannot start", extra={"error_code": ErrorCode.INTERNAL_ERROR})
            return EXIT_BROKEN


def build() -> ChromaCompactionWorker:
    """The worker with its real adapters, as the environment names them.

    Raises:
        PermanentError: ENVIRONMENT_INVALID.
    """
    environment = WorkerEnvironment.from_variables(os.environ)
    snapshots = SnapshotSource.from_directory(
        "lines",
        collections_directory=Path(environment.collections_directory),
        private_directory=Path(environment.private_directory),
        s3_client=boto3.client("s3"),
        bucket=environment.vectors_bucket,
    )
    return ChromaCompactionWorker(
        environment=environment,
        core=build_core(environment, consumer="ecs", snapshots=snapshots),
        sqs_client=boto3.client("sqs"),
        protection=TaskProtection.from_variables(),
        fence=Fence(boto3.client("lambda"), environment.embed_queue_arn),
    )


if __name__ == "__main__":
    sys.exit(main())
