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
from compaction_worker.worker import EXIT_MISCONFIGURED, ChromaCompactionWorker
from pipeline.collections.reader import SnapshotSource
from pipeline.embedding.bootstrap import build_core
from pipeline.errors import PermanentError
from pipeline.logs import configure_logging


def main() -> int:
    """Run the worker; the exit code says why it ended."""
    configure_logging()
    with StopRequest() as stop:
        try:
            environment = WorkerEnvironment.from_variables(os.environ)
        except PermanentError as error:
            logging.getLogger(__name__).error(str(error), extra={"error_code": error.code})
            return EXIT_MISCONFIGURED
        snapshots = SnapshotSource.from_directory(
            "lines",
            collections_directory=Path(environment.collections_directory),
            private_directory=Path(environment.private_directory),
            s3_client=boto3.client("s3"),
            bucket=environment.vectors_bucket,
        )
        worker = ChromaCompactionWorker(
            environment=environment,
            core=build_core(environment, consumer="ecs", snapshots=snapshots),
            sqs_client=boto3.client("sqs"),
            protection=TaskProtection.from_variables(),
            fence=Fence(boto3.client("lambda"), environment.embed_queue_arn),
        )
        return worker.run(stop)


if __name__ == "__main__":
    sys.exit(main())
