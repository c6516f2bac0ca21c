"""Runs within one build, in a process of its own: grows a collection, answers queries, measures merges.

``python process.py BUILD WORKLOAD DIRECTORY``: BUILD is the root of a checkout, which comes first on the module path;
WORKLOAD holds the files that ``workload.py`` describes. Each line on standard input is a command, ``{"do": "grow"}``,
each line of output its answer. The file imports nothing of this package, because BUILD may be of another age: what it
uses of BUILD is its merger, its reader, and the table and bucket of its own compaction benchmark.
"""

import importlib
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

SLOW_BYTES_A_SECOND = 85e6
"""Of the slow S3 that comes with the services and is not used here."""
MEMORY_MODULE = "benchmarks.compaction.memory"
ROWS_AT_ONCE = 5_000
"""Rows of a merge while the collection grows; what a build takes at once is its own affair."""


class Files:
    """The workload."""

    def __init__(self, directory: Path) -> None:
        self.texts: list[str] = json.loads((directory / "texts.json").read_text())
        self.vectors: np.ndarray = np.load(directory / "vectors.npy", mmap_mode="r")
        self.misspelt: np.ndarray = np.load(directory / "misspelt.npy")
        self.own: list[int] = json.loads((directory / "own.json").read_text())
        self._groups: dict[str, list[int]] = json.loads((directory / "groups.json").read_text())
        self._deltas = (directory / "deltas.jsonl").read_text().splitlines()

    @property
    def dimensions(self) -> int:
        """Numbers a vector."""
        return int(self.vectors.shape[1])

    def deltas(self, group: str) -> list[dict[str, Any]]:
        """The deltas of one group."""
        first, end = self._groups[group]
        return [json.loads(line) for line in self._deltas[first:end]]


class Given:
    """Stands where the build's own benchmark makes its receipts, and hands out deltas of the workload."""

    number = 0
    """No receipt is made from it; the build's benchmark reads it when it forks a world."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.waiting: Iterator[dict[str, Any]] = iter(())

    def delta(self, rows: int) -> Any:
        """The next delta, as the build's own type."""
        document = next(self.waiting)
        if len(document["rows"]) != rows:
            raise ValueError(f"a delta of {rows} rows was asked for, the next one has {len(document['rows'])}")
        return built_delta(self._files, document)


def built_delta(files: Files, document: dict[str, Any]) -> Any:
    """A delta in the form that the build under test has.

    The first form has a text and a vector in every row. Another form is added here, told by the fields of its types.
    """
    contract: Any = importlib.import_module("pipeline.contracts.delta")
    numbers = [number for _, number, _ in document["rows"]]
    if "document" not in contract.DeltaRow.__dataclass_fields__:
        return contract.make_delta(
            collection="words",
            run_id=document["run_id"],
            image_id=UUID(document["image_id"]),
            receipt_id=document["receipt_id"],
            model=document["model"],
            rows=[(identifier, files.texts[number], metadata) for identifier, number, metadata in document["rows"]],
            vectors=np.ascontiguousarray(files.vectors[numbers]),
        )
    return contract.Delta(
        collection="words",
        run_id=document["run_id"],
        image_id=UUID(document["image_id"]),
        receipt_id=document["receipt_id"],
        model=document["model"],
        rows=tuple(
            contract.DeltaRow(id=identifier, document=files.texts[number], metadata=metadata)
            for identifier, number, metadata in document["rows"]
        ),
        vectors=np.ascontiguousarray(files.vectors[numbers]),
    )


class PublicationClock(logging.Handler):
    """Notes the time of the last publication, which every build writes to its log as ``published``."""

    def __init__(self) -> None:
        super().__init__()
        self.last = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Note it."""
        if record.getMessage() == "published":
            self.last = time.perf_counter()


class Build:
    """One build at work.

    Args:
        files: the workload.
        directory: for its collections, tables and buckets.
        services: the addresses of its DynamoDB and S3, running.
    """

    def __init__(self, files: Files, directory: Path, services: Any) -> None:
        world: Any = importlib.import_module("benchmarks.compaction.world")
        self._files, self._directory = files, directory
        self._clock = PublicationClock()
        logger: Any = importlib.import_module("compaction_handler.publishing").logger
        logger.setLevel(logging.INFO)
        logger.addHandler(self._clock)
        self._base: Any = world.World(
            directory=directory / "base",
            name="base",
            dynamodb_endpoint=services.dynamodb,
            s3_endpoint=services.s3,
            dimensions=files.dimensions,
        ).create()

    def grow(self) -> dict[str, Any]:
        """Make the collection from the deltas of ``grow``; the version that is published last is the base of the rest.

        Returns:
            ``seconds`` in all, ``rows``, and the ``bytes`` of the published version's files.
        """
        start = time.perf_counter()
        merger = self._base.merger()
        try:
            for deltas in _portions(self._files.deltas("grow")):
                references = self._record(self._base, deltas)
                merger.merge(references)
                self._base.require_completed(references)
        finally:
            merger.close()
        files = [path for path in self._base.version.rglob("*") if path.is_file()]
        return {
            "seconds": time.perf_counter() - start,
            "rows": self._base.pointer.count,
            "bytes": sum(path.stat().st_size for path in files),
        }

    def ask(self) -> dict[str, Any]:
        """Query the base through the build's reader.

        Returns:
            ``own``: the first text for each rare text's own vector; ``misspelt``: the first ten for each of these;
            ``milliseconds`` a query of those.
        """
        reader: Any = importlib.import_module("pipeline.collections.reader")
        rows: Any = importlib.import_module("benchmarks.compaction.rows")
        source = reader.SnapshotSource.from_directory(
            rows.COLLECTION, collections_directory=self._base.root, private_directory=self._directory / "reader"
        )
        published = source.refresh()
        try:
            own = [texts[0] for texts in self._answers(published, self._files.vectors[self._files.own], 1)]
            start = time.perf_counter()
            found = self._answers(published, self._files.misspelt, 10)
            seconds = time.perf_counter() - start
            return {"own": own, "misspelt": found, "milliseconds": 1_000 * seconds / max(1, len(found))}
        finally:
            source.close()

    def _answers(self, published: Any, vectors: np.ndarray, limit: int) -> list[list[str]]:
        """Each vector is a question of its own, as a person's search is."""
        answers = (published.query(np.asarray(vector)[None, :], limit=limit)[0] for vector in vectors)
        return [
            [getattr(neighbour, "text", None) or getattr(neighbour, "document", "") for neighbour in neighbours] or [""]
            for neighbours in answers
        ]

    def merge(self, group: str) -> dict[str, Any]:
        """Merge one group into a fork of the base with a warm merger.

        Returns:
            Seconds until its rows were ``published`` and until its runs were ``completed``.
        """
        world = self._fork()
        merger = world.merger()
        try:
            merger.merge(self._record(world, self._files.deltas("warm")))
            references = self._record(world, self._files.deltas(group))
            start = time.perf_counter()
            merger.merge(references)
            end = time.perf_counter()
            world.require_completed(references)
            if not start < self._clock.last <= end:
                raise RuntimeError("the merge published nothing")
            return {"published": self._clock.last - start, "completed": end - start}
        finally:
            merger.close()
            world.remove()

    def memory(self, group: str) -> dict[str, Any]:
        """Merge one group into a fork of the base in a fresh process, ``MEMORY_MODULE``, for others to watch."""
        measuring: Any = importlib.import_module(MEMORY_MODULE)
        world = self._fork()
        try:
            measuring.measure_memory(world, self._record(world, self._files.deltas(group)))
            return {}
        finally:
            world.remove()

    def _fork(self) -> Any:
        self._base.receipts = Given(self._files)
        return self._base.fork()

    def _record(self, world: Any, deltas: list[dict[str, Any]]) -> list[Any]:
        world.receipts = given = Given(self._files)
        given.waiting = iter(deltas)
        return world.record([len(delta["rows"]) for delta in deltas])


def _portions(deltas: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    portion: list[dict[str, Any]] = []
    rows = 0
    for delta in deltas:
        portion.append(delta)
        rows += len(delta["rows"])
        if rows >= ROWS_AT_ONCE:
            yield portion
            portion, rows = [], 0
    if portion:
        yield portion


def require_of(build: Path) -> None:
    """Fail when the code of another checkout would be measured."""
    for name in ("pipeline", "compaction_handler", "benchmarks"):
        place = importlib.import_module(name).__file__
        if place is None or not Path(place).resolve().is_relative_to(build.resolve()):
            raise RuntimeError(f"{name} is imported from {place}, not from {build}")


def main() -> None:
    """Answer commands until the input ends."""
    build, workload, directory = (Path(argument).resolve() for argument in sys.argv[1:])
    # In front of this file's own folder, whose modules have names that a build may use as well.
    sys.path[0] = str(build)
    require_of(build)
    services_type: Callable[..., AbstractContextManager[Any]] = importlib.import_module(
        "benchmarks.compaction.world"
    ).Services
    with services_type(directory / "services", SLOW_BYTES_A_SECOND) as services:
        at_work = Build(Files(workload), directory, services)
        for line in sys.stdin:
            command: dict[str, str] = json.loads(line)
            answer = getattr(at_work, command.pop("do"))(**command)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
