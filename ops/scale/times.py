"""Service times of the model, each with its source. A benchmark's times are of its machine; ratios carry over.

``benchmarks.scale`` measures a stack on this machine instead, and compares the model's answers with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields


def _time(source: str) -> float:
    return field(metadata={"source": source})


@dataclass(frozen=True, kw_only=True)
class MergeTimes:
    """Of one collection's merge: seconds a delta, and a publication's by bytes.

    Attributes:
        invocation: what a merge takes beside its deltas; the benchmark's times have it in the publication's.
    """

    invocation: float = 0.0
    delta: float
    publication: float
    publication_a_byte: float
    upload_a_byte: float


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds.

    Attributes:
        merge: by collection.
    """

    upload: float = _time(
        "derived: one read and three writes of S3 at 0.1 s each (S3 user guide, optimizing-performance)"
    )
    notification: float = _time("assumed: S3's notification and the poll of the queue")
    poll: float = _time("assumed: a message that arrives is taken by a poll that waits")
    embed: float = _time("derived: an embedding request of 0.4 s (assumed), and S3 and DynamoDB one after the other")
    embed_a_receipt: float = _time("derived: 4.5 S3 calls at 0.1 s, receipts of a batch side by side")
    embed_cold: float = _time("assumed: a container image of Python with numpy")
    task_batch: float = _time(
        "docs/benchmarks.md, The worker of stage 2: receipts of one embedding request (32 a thousand)"
    )
    task: float = _time("as the function's")
    task_a_receipt: float = _time("as the function's")
    task_start: float = _time("assumed: pulling the image and starting a task")
    alarm: float = _time(
        "what waits is reported once a minute (compaction_worker/waiting.py), and the alarm needs one period"
    )
    stream: float = _time("assumed: one invocation of the stream processor")
    merge_cold: float = _time(
        "docs/benchmarks.md and chromadb's import of 1.1 s; a version is restored at 100 MB/s (assumed)"
    )
    merge: Mapping[str, MergeTimes] = field(
        metadata={"source": "docs/benchmarks.md, words and lines: from 10 and 100 deltas at 70,000 and 34,000 rows"}
    )


def sources(times: Times) -> list[tuple[str, str, str]]:
    """Name, value and source of every time, for the document."""
    found = []
    for item in fields(times):
        value = getattr(times, item.name)
        if isinstance(value, float):
            found.append((item.name.replace("_", " "), f"{value:g}", item.metadata["source"]))
    for collection, merge in times.merge.items():
        said = (
            f"{merge.delta:.3f} a delta, {merge.publication:.2f} and {merge.publication_a_byte * 1e9:.1f} a GB a "
            f"publication, {merge.upload_a_byte * 1e9:.0f} a GB to S3"
        )
        source = next(item.metadata["source"] for item in fields(times) if item.name == "merge")
        found.append((f"merge of {collection}", said, source))
    return found


S3_BYTES_A_SECOND = 85e6
"""Of one connection (docs/benchmarks.md)."""


def _from_benchmark(ten: float, hundred: float, version: float) -> MergeTimes:
    """Times of a merge from the seconds until 10 and 100 deltas were published, of a version of so many bytes."""
    delta = (hundred - ten) / 90
    return MergeTimes(
        delta=delta,
        publication=0.1,
        publication_a_byte=max(0.0, ten - 10 * delta - 0.1) / version,
        upload_a_byte=1 / S3_BYTES_A_SECOND,
    )


BENCHMARK = Times(
    upload=0.4,
    notification=1.0,
    poll=0.1,
    embed=0.9,
    embed_a_receipt=0.05,
    embed_cold=4.0,
    task_batch=31.0,
    task=0.9,
    task_a_receipt=0.05,
    task_start=60.0,
    alarm=120.0,
    stream=0.3,
    merge_cold=6.0,
    merge={"lines": _from_benchmark(1.1, 2.7, 168e6), "words": _from_benchmark(1.3, 9.0, 165e6)},
)
