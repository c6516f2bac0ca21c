"""A receipt's way through the stack: what is there of it, step by step. It reads; what it read becomes steps purely."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from botocore.exceptions import ClientError

from ops.showing import ReceiptDetails
from ops.target import Target
from pipeline.contracts.identifiers import COLLECTIONS

FOLDERS_SHOWN = 5
OBJECTS_READ = 100


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step.

    Attributes:
        state: ``done``, ``waiting``, ``failed`` or ``unknown``.
        details: each a line.
    """

    title: str
    state: str
    details: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Objects:
    """What the artifacts bucket has of a receipt: keys and times of change."""

    ocr: datetime | None
    ocr_key: str
    written: Mapping[str, datetime]


def objects_of(target: Target, image_id: str, receipt_id: int) -> Objects:
    """Look into the bucket.

    Raises:
        ClientError: but for an OCR result that is not there.
    """
    bucket, ocr_key = target.outputs["artifactsBucket"], f"ocr/{image_id}.json"
    try:
        ocr = target.s3.head_object(Bucket=bucket, Key=ocr_key)["LastModified"]
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:  # noqa: PLR2004 - HTTP's own number
            raise
        ocr = None
    prefix = f"receipts/{UUID(image_id)}/receipt-{receipt_id:05d}/"
    found = target.s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=OBJECTS_READ).get("Contents", [])
    return Objects(ocr=ocr, ocr_key=ocr_key, written={item["Key"]: item["LastModified"] for item in found})


def way_of(details: ReceiptDetails, objects: Objects) -> tuple[Step, ...]:
    """The steps, in the order of the flow; pure."""
    manifests = [key for key in objects.written if key.endswith("/manifest.json")]
    latest = sorted(manifests, key=lambda key: objects.written[key], reverse=True)[:FOLDERS_SHOWN]
    runs = details["runs"]
    return (
        Step(
            title="OCR result",
            state="done" if objects.ocr else "unknown",
            details=(f"{objects.ocr_key}, {_time(objects.ocr)}",)
            if objects.ocr
            else (f"{objects.ocr_key} is not there: it expired, or was uploaded under another key",),
        ),
        Step(
            title="NDJSON",
            state="done" if manifests else "unknown",
            details=tuple(f"{key.rsplit('/', 1)[0]}/, {_time(objects.written[key])}" for key in latest)
            or ("nothing in the receipt's folder",),
        ),
        Step(
            title="Runs",
            state=_state([run[collection] for run in runs for collection in COLLECTIONS]),
            details=tuple(_run(run) for run in runs) or ("none recorded",),
        ),
        *(_published(collection, details, runs) for collection in COLLECTIONS),
    )


def _published(collection: str, details: ReceiptDetails, runs: Sequence[Mapping[str, Any]]) -> Step:
    version = details["version"] if collection == "lines" else details["words_version"]
    first = next((run[f"{collection}_version"] for run in runs if run[f"{collection}_version"]), None)
    if version is None:
        return Step(
            title=f"Published, {collection}", state="waiting" if runs else "unknown", details=("in no version",)
        )
    seen = (f"first visible in version {first}",) if first else ()
    return Step(title=f"Published, {collection}", state="done", details=(*seen, f"now in version {version}"))


def _run(run: Mapping[str, Any]) -> str:
    states = ", ".join(
        f"{collection} {run[collection]}"
        + (f" superseded by operation {later}" if (later := run[f"{collection}_superseded_by"]) else "")
        for collection in COLLECTIONS
    )
    errors = "".join(f"; {error}" for error in run["errors"])
    return f"operation {run['operation']}: {run['kind']} by {run['consumer']}, {run['created_at']}: {states}{errors}"


def _state(states: Sequence[str]) -> str:
    if not states:
        return "unknown"
    if "FAILED" in states:
        return "failed"
    return "done" if set(states) == {"COMPLETED"} else "waiting"


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
