"""A collection under torture, and the plain dictionary that it is held against."""

import json
import os
import random
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import numpy as np

from pipeline.collections.layout import MANIFEST_NAME
from pipeline.collections.versions import read_current, require_version
from pipeline.contracts.delta import Delta, make_delta
from pipeline.contracts.identifiers import delta_key, line_vector_id, sha256_hex
from pipeline.contracts.messages import CompactionMessage, RunReference
from pipeline.contracts.run import CollectionProgress, CompactionRun, RunState
from pipeline.deltas import write_delta
from pipeline.errors import ErrorCode
from pipeline.runs.transitions import Reopened
from tests.world import World, emulator_clients

MODEL, DIMENSIONS = "counting", 8
SEED = int(os.environ.get("TORTURE_SEED", str(random.SystemRandom().randrange(1_000_000))))
Rows = dict[str, tuple[str, dict[str, Any], np.ndarray]]
"""Id to document, metadata and vector."""


class Victims:
    """The process that forks the ones that are killed."""

    def __init__(self, endpoint: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.compaction.torture.victim", endpoint],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[3],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def perform(self, job: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class TorturedWorld(World):
    """One collection with its table, bucket and directories; the table and the bucket have one name.

    Args:
        endpoint: the emulator's.
        victims: what runs the handler.
        directory: of this world alone.
        seed: of everything random here.
        loses: every index loses a quarter of its records, so that versions name what theirs misses.
    """

    def __init__(self, endpoint: str, victims: Victims, directory: Path, seed: int, *, loses: bool = False) -> None:
        name = f"torture-{uuid.uuid4().hex[:8]}"
        super().__init__(clients=emulator_clients(endpoint), table=name, bucket=name)
        self.create()
        self.victims, self.directory, self.random = victims, directory, random.Random(seed)  # noqa: S311 - repeatable, not secret
        self.loses, self.missed = loses, 0
        self.recorded: list[CompactionRun] = []
        self.deltas: dict[str, Rows] = {}
        self.settings: dict[str, Any] = {}
        self.completed: set[str] = set()

    @property
    def environment(self) -> dict[str, Any]:
        return {
            "table_name": self.table,
            "vectors_bucket": self.bucket,
            "embedding_model": MODEL,
            "embedding_dimensions": DIMENSIONS,
            "collections_directory": str(self.directory / "collections"),
            "working_directory": str(self.directory / "working"),
            "bootstrap_collections": True,
            "publish_every_seconds": 0,
            "lease_seconds": 30,
        } | self.settings

    def record(self, kind: str | None = None, receipt: int | None = None, rows: int | None = None) -> RunReference:
        """Record one operation as stage 2 or an operator does: upsert, delete or metadata of some receipt."""
        receipt = self.random.randrange(1, 9) if receipt is None else receipt
        kind = kind or self.random.choices(["upsert", "delete", "metadata"], [6, 2, 2])[0]
        identifier, image = uuid.UUID(int=self.random.getrandbits(128)).hex, UUID(int=receipt)
        progress = CollectionProgress(expected_count=0)
        if kind == "upsert":
            made = self._delta(identifier, image, self.random.randrange(1, 40) if rows is None else rows)
            digest = write_delta(self.objects, self.bucket, made)
            self.deltas[identifier] = {
                row.id: (made.text_of(row), dict(row.metadata), made.vectors[row.text]) for row in made.rows
            }
            progress = CollectionProgress(expected_count=len(made.rows), delta_sha256=digest)
        run = CompactionRun.model_validate(
            {
                "image_id": image,
                "receipt_id": 1,
                "run_id": identifier,
                "kind": kind,
                "changes": {"merchant_name": f"M{identifier[:6]}"} if kind == "metadata" else {},
                "embedding_model": MODEL,
                "dimensions": DIMENSIONS,
                "delta_bucket": self.bucket,
                "lines": progress,
                "words": progress.model_copy(update={"state": RunState.COMPLETED}),
                "merchant_source": "none",
                "consumer": "lambda",
                "created_at": "2026-01-02T00:00:00Z",
                "updated_at": "2026-01-02T00:00:00Z",
            }
        )
        assert self.runs.record(run)
        self.recorded.append(run)
        return run.reference

    def _delta(self, identifier: str, image: UUID, rows: int) -> Delta:
        numbers = np.random.default_rng(int(identifier[:8], 16))
        vectors = numbers.standard_normal((rows, DIMENSIONS)).astype(np.float32)
        metadata: dict[str, Any] = {"image_id": str(image), "receipt_id": 1, "run_id": identifier}
        return make_delta(
            collection="lines",
            run_id=identifier,
            image_id=image,
            receipt_id=1,
            model=MODEL,
            rows=[(line_vector_id(image, 1, row), f"{identifier[:6]} {row}", metadata) for row in range(1, rows + 1)],
            vectors=vectors,
        )

    def delta_key(self, reference: RunReference) -> str:
        """The key of the delta that a recorded run has."""
        run = next(run for run in self.recorded if run.run_id == reference.run_id)
        return delta_key("lines", run.run_id, run.lines.delta_sha256 or "")

    def expected(self, run_ids: set[str] | None = None) -> Rows:
        """The rows after the recorded operations, one after the other, of those runs only."""
        receipts: dict[UUID, Rows] = {}
        for run in self.recorded:
            if run_ids is not None and run.run_id not in run_ids:
                continue
            if run.kind == "upsert":
                receipts[run.image_id] = self.deltas[run.run_id]
            elif run.kind == "delete":
                receipts[run.image_id] = {}
            else:
                receipts[run.image_id] = {
                    identifier: (document, {**metadata, **run.changes}, vector)
                    for identifier, (document, metadata, vector) in receipts.get(run.image_id, {}).items()
                }
        return {identifier: row for rows in receipts.values() for identifier, row in rows.items()}

    def unfinished(self) -> list[RunReference]:
        """What is not completed yet; what is completed stays so, and is not asked for again."""
        found = self.runs.find_all(run.reference for run in self.recorded if run.run_id not in self.completed)
        self.completed |= {run.run_id for run in found if run.lines.state is RunState.COMPLETED}
        return [run.reference for run in found if run.run_id not in self.completed]

    def event(self, references: list[RunReference]) -> dict[str, Any]:
        body = CompactionMessage(collection="lines", runs=tuple(references)).model_dump_json()
        attributes = {"MessageGroupId": "lines"}
        return {"Records": [{"messageId": "m", "receiptHandle": "r", "body": body, "attributes": attributes}]}

    def handle(self, references: list[RunReference], **job: Any) -> dict[str, Any]:
        """Start the handler with a message; it is another process every time, on the same machine."""
        return self.victims.perform(
            {
                "do": "handle",
                "loses": self.loses,
                "world": self.environment,
                "events": [self.event(references)],
                "log": str(self.directory / "log"),
                **job,
            }
        )

    def let_the_lease_expire(self) -> None:
        """What time does after a kill."""
        key = {"PK": {"S": "COLLECTION#lines"}, "SK": {"S": "LEASE"}}
        if "Item" in self.dynamodb.get_item(TableName=self.table, Key=key):
            self.dynamodb.update_item(
                TableName=self.table,
                Key=key,
                UpdateExpression="SET expires = :zero",
                ExpressionAttributeValues={":zero": {"N": "0"}},
            )

    def drive_again_what_was_blamed(self) -> None:
        """What an operator does: five kills in a row while a run was written, and it is quarantined."""
        for run in self.runs.unfinished(RunState.FAILED):
            assert (run.lines.error or "").startswith(ErrorCode.MERGE_KILLED), run.lines.error
            self.runs.move(run.reference, "lines", Reopened())

    def require_sound(self) -> None:
        """The current version opens, is exactly its runs, holds every completed run, and nothing is there twice."""
        self.unfinished()
        answer = self.victims.perform(
            {"do": "read", "loses": self.loses, "world": self.environment, "log": str(self.directory / "log")}
        )
        assert answer["status"] == 0, (self.directory / "log").read_text()[-4000:]
        self.require_unchanged()
        for place, found in answer["answer"].items():
            if found is None:
                assert not self.completed, place
                continue
            assert self.completed <= set(found["runs"]), place
            rows = {row[0]: row for row in found["rows"]}
            assert len(rows) == len(found["rows"]) == found["count"], place
            assert found["faults"] == [], place
            self.missed = max(self.missed, found["missed"])
            expected = self.expected(set(found["runs"]))
            assert sorted(found["texts"]) == sorted({text for text, *_ in expected.values()}), place
            assert rows.keys() == expected.keys(), place
            for identifier, (document, metadata, vector) in expected.items():
                _, text, stored, numbers = rows[identifier]
                assert (text, {name: stored.get(name) for name in metadata}) == (document, metadata), place
                # To the last bit, as they were embedded.
                assert numbers == list(map(float, vector)), place

    def require_unchanged(self) -> None:
        """The version that the directory's pointer names is byte by byte what was published, also after it was read."""
        root = Path(self.environment["collections_directory"])
        if (pointer := read_current(root, "lines")) is not None:
            version = require_version(root, "lines", pointer)
            for name, digest in json.loads((version / MANIFEST_NAME).read_bytes())["files"].items():
                assert sha256_hex((version / name).read_bytes()) == digest, name

    def recover(self) -> None:
        """Deliver everything again; afterwards all is done and the collection is the dictionary."""
        self.let_the_lease_expire()
        self.drive_again_what_was_blamed()
        waiting = self.unfinished()
        if waiting:
            answer = self.handle(waiting)
            assert answer.get("answer") == [{"batchItemFailures": []}], (
                answer,
                (self.directory / "log").read_text()[-4000:],
            )
        assert self.unfinished() == []
        self.require_sound()
