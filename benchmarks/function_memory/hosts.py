"""The peak memory of every host on a local stack, where each is started as the image starts it.

The local stack limits no process, so a host takes what it needs. The embedder is the hashing one: no request to OpenAI
is made, and its library is not imported.
"""

import io
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from benchmarks.compaction.memory import resident, status
from benchmarks.receipts.generator import generate
from ops.cost.recording import as_config, record
from ops.local.control import ControlError
from ops.local.stack import LocalStack
from ops.pictures import upload_picture, wait_until_read
from ops.preflight.procedure import declared
from ops.rendering import render
from ops.stacks.local import local_target
from ops.submitting import UploadedDocument, upload
from ops.target import PROJECT_DIRECTORY, Target
from ops.waiting import require_complete, wait_until_searchable

LOOK_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 130.0
WAIT_SECONDS = 600.0
STACK = "dev"
FUNCTION, TASK = "aws:lambda/function:Function", "aws:ecs/taskDefinition:TaskDefinition"
WORKER = "worker"
SAMPLES = PROJECT_DIRECTORY / "samples"
PICTURE_SIZES = ((3_000, 4_000), (6_000, 8_000))
"""Pixels: a phone's usual picture, and one of its largest."""
FIRST_OF_THE_WORKER = 10_000_000
"""Number of the first made-up receipt that the worker gets."""


def declared_megabytes() -> dict[str, int]:
    """The memory that ``Pulumi.dev.yaml`` gives each host, with stage 0, by its name within the stack, in MiB."""
    config = as_config(declared(STACK).settings, ocr="tesseract")
    made = record(PROJECT_DIRECTORY / "__main__.py", config, stack=STACK)
    functions = {
        item.inputs["name"].removeprefix(f"receipts-{STACK}-"): int(item.inputs["memorySize"])
        for item in made
        if item.type == FUNCTION
    }
    (task,) = (item for item in made if item.type == TASK)
    return {**functions, WORKER: int(task.inputs["memory"])}


def peaks(directory: Path, *, receipts: int, dimensions: int) -> dict[str, int]:
    """The most bytes that each host had resident, with its child processes, by its name within the stack.

    Args:
        directory: of the stack; empty.
        receipts: made-up ones, uploaded together to each of the two consumers; the first also gets the long sample.
        dimensions: numbers a vector.
    """
    found: dict[str, int] = {}
    with LocalStack(directory) as stack:
        try:
            stack.up({"embedConsumer": "lambda", "embeddingDimensions": dimensions})
            with _watched(stack, found):
                target = local_target(stack)
                _process(target, _made_up(1, receipts) | {"long.json": (SAMPLES / "greenleaf-long.json").read_bytes()})
                _process_pictures(target)
                stack.up({"embedConsumer": "ecs"})
                _process(local_target(stack), _made_up(FIRST_OF_THE_WORKER, receipts))
                # What counts the waiting messages runs once a minute.
                end = time.monotonic() + LONGEST_WAIT_SECONDS
                while declared_megabytes().keys() - found.keys() and time.monotonic() < end:
                    time.sleep(1)
        finally:
            stack.down(destroy=True)
    return found


@contextmanager
def _watched(stack: LocalStack, found: dict[str, int]) -> Iterator[None]:
    """Note the peak of every host, many times a second, until the block ends."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            try:
                processes = list(_processes(stack))
            except ControlError:
                # The supervisor is busy with an update; the next look sees the same processes.
                continue
            for name, process_id in processes:
                found[name] = max(found.get(name, 0), resident(process_id), status(process_id, "VmHWM"))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _processes(stack: LocalStack) -> Iterator[tuple[str, int]]:
    processes = stack.status()
    for name, process_id in processes.get("functions", {}).items():
        if process_id is not None:
            yield name.removeprefix("receipts-local-"), process_id
    for name, process_ids in processes.get("services", {}).items():
        for process_id in process_ids:
            yield name.removeprefix("receipts-local-"), process_id


def _made_up(first: int, receipts: int) -> dict[str, bytes]:
    documents = (generate(number) for number in range(first, first + receipts))
    return {f"{document.image_id}.json": document.model_dump_json().encode() for document in documents}


def _process(target: Target, documents: Mapping[str, bytes]) -> None:
    _await(target, [upload(target, name, content) for name, content in documents.items()])


def _process_pictures(target: Target) -> None:
    texts = [line.text for receipt in generate(0).receipts for line in receipt.lines]
    pictures = [upload_picture(target, f"{width}.jpg", _photo(texts, width, height)) for width, height in PICTURE_SIZES]
    read = wait_until_read(target, pictures, timeout_seconds=WAIT_SECONDS)
    _await(target, [document for picture in read for document in picture.documents])


def _await(target: Target, documents: list[UploadedDocument]) -> None:
    require_complete(wait_until_searchable(target, documents, timeout_seconds=WAIT_SECONDS))


def _photo(texts: list[str], width: int, height: int) -> bytes:
    """A receipt as large as a phone's picture, in colour."""
    file = io.BytesIO()
    render(texts).convert("RGB").resize((width, height), Image.Resampling.BICUBIC).save(file, format="JPEG")
    return file.getvalue()
