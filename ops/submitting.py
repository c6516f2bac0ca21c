"""Uploading OCR results. Waiting until they are searchable is in ``ops/waiting.py``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ops.target import OperatorError, Target
from pipeline.aws import moment_of
from pipeline.contracts.messages import RunReference
from pipeline.contracts.ocr import OcrDocument, parse_ocr_document, refusal_of
from pipeline.errors import PermanentError, RetryableError
from upload_images.export import export_receipt
from upload_images.notification import ocr_result_key


@dataclass(frozen=True, kw_only=True)
class UploadedDocument:
    """One uploaded OCR result and the runs that it must become: run ids are deterministic, so they are known now.

    Attributes:
        refused: an error for each receipt that was left out.
        uploaded_at: when, by S3's clock in whole seconds; None when that is not known.
    """

    name: str
    key: str
    runs: tuple[RunReference, ...]
    refused: tuple[PermanentError, ...] = ()
    uploaded_at: datetime | None = None


def upload(target: Target, name: str, content: bytes) -> UploadedDocument:
    """Validate one OCR result and put it where the pipeline picks it up, without the receipts that are refused.

    Raises:
        PermanentError: OCR_DOCUMENT_INVALID; nothing was uploaded.
    """
    document = parse_ocr_document(content, name)
    key = ocr_result_key(document.image_id)
    if document.refused:
        # Said here and not again by a dead letter.
        content = document.model_dump_json(exclude_none=True).encode()
    answer = target.s3.put_object(
        Bucket=target.outputs["artifactsBucket"], Key=key, Body=content, ContentType="application/json"
    )
    refused = tuple(refusal_of([receipt], name) for receipt in document.refused)
    return UploadedDocument(
        name=name, key=key, runs=runs_of(target, document), refused=refused, uploaded_at=_moment(answer)
    )


def _moment(answer: Mapping[str, Any]) -> datetime | None:
    """When S3 had the object; None when its answer does not say, which is no reason to call the upload failed."""
    try:
        return moment_of(answer)
    except RetryableError:
        return None


def runs_of(target: Target, document: OcrDocument) -> tuple[RunReference, ...]:
    """The runs that the receipts of an OCR result become on a stack."""
    exports = [
        export_receipt(
            document,
            receipt,
            bucket=target.outputs["artifactsBucket"],
            embedding_model=target.outputs["embeddingModel"],
            dimensions=int(target.outputs["embeddingDimensions"]),
        )
        for receipt in document.receipts
    ]
    return tuple(
        RunReference(
            image_id=export.message.image_id, receipt_id=export.message.receipt_id, run_id=export.message.run_id
        )
        for export in exports
    )


def without_repetitions(
    documents: Iterable[tuple[str, bytes]],
) -> tuple[list[tuple[str, bytes]], list[tuple[str, str]], list[OperatorError]]:
    """What can be uploaded together: of one image an upload replaces what was uploaded before. Pure.

    Args:
        documents: names and contents, each a document of the OCR contract.

    Returns:
        The documents to upload; of each that says the same as an earlier one its name and the other's; and an error,
        IMAGE_TWICE, for each image that two documents say different things of, neither of which is uploaded.
    """
    images: dict[str, list[tuple[str, bytes]]] = {}
    repeated: list[tuple[str, str]] = []
    for name, content in documents:
        known = images.setdefault(str(parse_ocr_document(content, name).image_id), [])
        same = next((other for other, there in known if there == content), None)
        if same is None:
            known.append((name, content))
        else:
            repeated.append((name, same))
    refused = [
        OperatorError(
            "IMAGE_TWICE",
            f"{' and '.join(name for name, _ in several)} are both of image {image}, and differ; of one image only "
            "the last document would stay, so none of them was uploaded",
            "put all receipts of the image into one document, or upload the files one after the other",
        )
        for image, several in images.items()
        if len(several) > 1
    ]
    return [several[0] for several in images.values() if len(several) == 1], repeated, refused
