"""The processes that are killed: forked from one that has imported everything, so that a hundred are affordable.

``python -m tests.compaction.torture.victim <endpoint>`` reads jobs from its input, one JSON document a line, runs each
in a child of its own and answers how the child ended. What kills is here and not in the product: functions are wrapped.
"""

import inspect
import json
import os
import random
import signal
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import chromadb  # noqa: F401 - before anything is forked, so that no victim has to import it

from compaction_handler import checking, publishing, storing, working_copy
from compaction_handler.checking import ChildCheck
from compaction_handler.environment import MergeEnvironment
from compaction_handler.handler import MergeHandler
from compaction_handler.lease import Lease
from compaction_handler.merging import CollectionMerger
from compaction_handler.open_requests import OpenRequests
from compaction_handler.queue_requests import QueueRequests
from compaction_handler.soundness import Inspection, Verdict, require_sound, unsound
from compaction_handler.working_copy import WorkingCopy
from ops.local.provisioners.context import client_options
from pipeline import files
from pipeline.collections import recall
from pipeline.collections.chroma import ChromaIndex, record_id
from pipeline.collections.database import CollectionDatabase
from pipeline.collections.ledger import Ledger
from pipeline.collections.published import PublishedCollection
from pipeline.collections.reader import SnapshotSource
from pipeline.collections.recall import measure_recall
from pipeline.collections.rows import RowTable
from pipeline.collections.vectors import VectorFile
from pipeline.errors import PipelineError
from pipeline.objects import ObjectStore
from pipeline.runs.repository import RunRepository

CHUNK_TEXTS = 25
"""Small, so that Chroma persists several times in a merge of a few receipts."""


class ForkedCheck:
    """Production's child, forked from this process before anything is open instead of started, which takes a second."""

    def __init__(self) -> None:
        self.ready, self._expects = True, False
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            os.close(self._requests)
            os.dup2(requests, sys.stdin.fileno())
            os.dup2(answers, sys.stdout.fileno())
            checking.main()
            os._exit(0)
        os.close(requests)
        os.close(answers)

    def expect(self, size: int) -> None:
        if not self._expects:
            self._expects = True
            self._write({"size": size})

    def run(self, inspection: Inspection) -> tuple[int, ...]:
        self.expect(0)
        self._expects = False
        self._write(vars(inspection))
        answer = b""
        while not answer.endswith(b"\n") and (part := os.read(self._answers, 65_536)):
            answer += part
        if not answer:
            self.close()
            raise unsound(inspection, "the check's process is gone")
        said = json.loads(answer)
        if said["faults"]:
            self.close()
        verdict = Verdict(faults=tuple(said["faults"]), losses=tuple(said["losses"]), missed=tuple(said["missed"]))
        require_sound(inspection, verdict)
        return verdict.missed

    def close(self) -> None:
        if self.ready:
            self.ready = False
            os.kill(self._process, signal.SIGKILL)

    def _write(self, request: dict[str, Any]) -> None:
        os.write(self._requests, json.dumps(request).encode() + b"\n")


POINTS: dict[str, tuple[Any, str]] = {
    "restoring": (working_copy, "copy_verified"),
    "the rows of a receipt": (RowTable, "replace"),
    "the vectors of texts": (VectorFile, "append"),
    "removing texts": (RowTable, "remove_unused_texts"),
    "removing vectors": (VectorFile, "remove"),
    "ledger": (Ledger, "write"),
    "rows written, index not": (WorkingCopy, "apply"),
    "a new index": (ChromaIndex, "create"),
    "the index": (ChromaIndex, "add"),
    "index written, letters not": (RowTable, "index_letters"),
    "without what was deleted": (CollectionDatabase, "compact"),
    "sealing": (WorkingCopy, "seal"),
    "transition": (RunRepository, "move"),
    "closing": (WorkingCopy, "close"),
    "checking": (ForkedCheck, "run"),
    "copying a file": (storing, "copy_file"),
    "fsync": (storing, "fsync"),
    "naming what is missed": (publishing, "missed_files"),
    "copying the version": (publishing, "copy_version"),
    "remembering what is missed": (WorkingCopy, "asked"),
    "reopening": (WorkingCopy, "reopen"),
    "uploading a file": (ObjectStore, "put_file"),
    "uploading the version": (publishing, "upload_version"),
    "pointer": (Lease, "point"),
    "CURRENT": (publishing, "write_current"),
    "replacing CURRENT": (files, "fsync"),
    "CURRENT in S3": (publishing, "write_current_object"),
    "pruning": (publishing, "remove_expired"),
    "naming suspects": (Lease, "suspect"),
    "release": (Lease, "release"),
}


LOST_DIGITS = "0123"
"""An index that loses records never finds one whose id begins with these: a quarter of them."""


def lose() -> None:
    """Let every index of this process and of its check lose records, and let a version miss as many."""
    original = ChromaIndex.nearest

    def nearest(index: ChromaIndex, vectors: Any, limit: int) -> Any:
        answers = original(index, vectors, index.count)
        return [[found for found in answer if found[0][0] not in LOST_DIGITS][:limit] for answer in answers]

    def nearest_texts(index: ChromaIndex, vectors: Any, limit: int) -> Any:
        texts = {record_id(text): text for text in index.collection.get(include=["documents"])["documents"]}
        return [[texts[identifier] for identifier, _ in answer] for answer in nearest(index, vectors, limit)]

    # For the life of this process, which is killed: no fixture could undo it.
    ChromaIndex.nearest = nearest  # type: ignore[method-assign]
    ChromaIndex.nearest_texts = nearest_texts  # type: ignore[method-assign]
    recall.REBUILT = replace(recall.REBUILT, most_missed=1.0)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(kill: dict[str, Any]) -> None:
    """Wrap a function so that this process dies before, after or in the middle of its n-th call."""
    owner, name = POINTS[kill["point"]]
    original, left = getattr(owner, name), [kill["call"]]

    def deadly(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] > 0:
            return original(*arguments, **named)
        if kill["moment"] == "before":
            die()
        answer = original(*arguments, **named)
        if kill["moment"] == "half" and kill["point"] == "copying a file":
            os.truncate(arguments[1], os.path.getsize(arguments[1]) // 2)
        die()
        return answer

    # A method of the class stays one: it is called with the class that it was found on.
    setattr(owner, name, staticmethod(deadly) if inspect.ismethod(original) else deadly)


def meddle(name: str, clients: "Clients", world: dict[str, Any]) -> None:
    """Let somebody else do something in the middle of the merge."""
    if name == "the lease is stolen":
        original = WorkingCopy.apply

        def stolen(*arguments: Any) -> None:
            clients.dynamodb.update_item(
                TableName=world["table_name"],
                Key={"PK": {"S": "COLLECTION#lines"}, "SK": {"S": "LEASE"}},
                UpdateExpression="SET lease_owner = :thief, expires = :zero ADD fence :one",
                ExpressionAttributeValues={":thief": {"S": "thief"}, ":zero": {"N": "0"}, ":one": {"N": "1"}},
            )
            original(*arguments)

        WorkingCopy.apply = stolen  # type: ignore[method-assign]
    else:
        raise ValueError(name)


class Clients:
    def __init__(self, endpoint: str) -> None:
        options = client_options(endpoint)
        self.s3 = boto3.client("s3", **options)
        self.dynamodb = boto3.client("dynamodb", **options)
        self.sqs = boto3.client("sqs", **options)


def handle(clients: Clients, job: dict[str, Any]) -> Any:
    if job.get("loses"):
        lose()
    check = None if job.get("real_check") else ForkedCheck()
    working_copy.CHUNK_TEXTS = CHUNK_TEXTS
    if job.get("kill") and "point" in job["kill"]:
        arm(job["kill"])
    if job.get("meddle"):
        meddle(job["meddle"], clients, job["world"])
    environment = MergeEnvironment(**job["world"])
    objects, runs = ObjectStore(clients.s3), RunRepository(environment.table_name, clients.dynamodb)
    merger = CollectionMerger(
        collection="lines",
        environment=environment,
        objects=objects,
        runs=runs,
        dynamodb=clients.dynamodb,
        start_check=ChildCheck if check is None else lambda: check,
    )
    handler = MergeHandler(
        environment=environment,
        mergers={"lines": merger},
        requests=QueueRequests(table_name=environment.table_name, dynamodb=clients.dynamodb),
        open_requests=OpenRequests(table_name=environment.table_name, dynamodb=clients.dynamodb),
    )
    answer = [handler.handle(event) for event in job["events"]]
    merger.close()
    return answer


def read(clients: Clients, job: dict[str, Any]) -> Any:
    """The current version as readers of the directory and of S3 find it: its rows, its runs, and what is wrong."""
    world, found = job["world"], {}
    if job.get("loses"):
        lose()
    private = Path(world["working_directory"]) / "reader"
    sources = {
        "directory": SnapshotSource.from_directory(
            "lines", collections_directory=Path(world["collections_directory"]), private_directory=private / "a"
        ),
        "bucket": SnapshotSource.from_bucket(
            "lines", s3_client=clients.s3, bucket=world["vectors_bucket"], private_directory=private / "b"
        ),
    }
    for name, source in sources.items():
        published = source.refresh()
        if published is None:
            found[name] = None
            continue
        rows, texts = list(published.rows()), published.database.rows.texts()
        by_own_vector = own_texts(published, Path(world["working_directory"]) / "proposed")
        index, named = published.open_index(), set(published.missed())
        measured = measure_recall(
            index,
            texts,
            published.vectors,
            published.database.distinct.records(),
            search_width=index.parameters.ef_search,
        )
        found[name] = {
            "version": published.version,
            "count": published.count,
            "runs": sorted(published.database.ledger.run_ids()),
            "texts": texts,
            "missed": len(named),
            "faults": [
                *published.database.check(),
                *published.database.rows.faults(),
                *recall.describe_losses(measured, texts, published.vectors.size),
                *(f"missed and not named, or named and found: {at}" for at in named ^ set(measured.missed)),
                *(f"not the nearest of its own vector: {text}" for text in {*texts} - {*by_own_vector}),
                *sorted(
                    index.identifiers()
                    ^ {record_id(texts[position]) for position in published.database.distinct.records()}
                ),
            ],
            "rows": [
                [row.id, row.text, row.metadata, list(map(float, published.vectors.at([row.position])[0]))]
                for row in rows
            ],
        }
        source.close()
    return found


def own_texts(published: PublishedCollection, private: Path) -> list[str]:
    """The nearest text to the vector of each, for a reader that lets the index propose."""
    reader = PublishedCollection("lines", published.pointer, published.directory, private, exact_bytes=0)
    try:
        found = reader.query(reader.vectors.at(range(reader.text_count)), limit=1)
        return [hits[0].text for hits in found]
    finally:
        reader.close()


JOBS = {"handle": handle, "read": read}


def child(clients: Clients, job: dict[str, Any], output: int) -> None:
    status = 1
    try:
        log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 2)
        os.dup2(log, 1)
        try:
            answer = {"answer": JOBS[job["do"]](clients, job)}
        except PipelineError as error:
            answer = {"refused": error.code}
        content = json.dumps(answer).encode()
        while content:
            content = content[os.write(output, content) :]
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, the parent sees the status and the log
        traceback.print_exc()
    finally:
        os._exit(status)


def perform(clients: Clients, job: dict[str, Any]) -> dict[str, Any]:
    """Fork a child for a job and see it end; kill it in between when the job says so."""
    reading, writing = os.pipe()
    random.seed()
    process = os.fork()
    if process == 0:
        os.close(reading)
        child(clients, job, writing)
    os.close(writing)
    if "seconds" in (kill := job.get("kill") or {}):
        time.sleep(kill["seconds"])
        os.kill(process, signal.SIGKILL)
    content = b""
    if not kill:
        with os.fdopen(reading, "rb") as output:
            content = output.read()
        _, status = os.waitpid(process, 0)
    else:
        _, status = os.waitpid(process, 0)
        os.set_blocking(reading, False)
        with os.fdopen(reading, "rb") as output:
            content = output.read() or b""
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    answer = json.loads(content) if content and not killed else {}
    return {"killed": killed, "status": status, **answer}


def main() -> None:
    """Perform jobs until the input ends."""
    clients = Clients(sys.argv[1])
    for line in sys.stdin:
        sys.stdout.write(json.dumps(perform(clients, json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
