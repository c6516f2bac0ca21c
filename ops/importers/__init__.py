"""Foreign receipts to OCR results: recognizes what a file is, and refuses what it does not know."""

from collections.abc import Iterator
from pathlib import Path

from ops.importers.sroie import read_sroie
from pipeline.contracts.ocr import parse_ocr_document
from pipeline.errors import ErrorCode, PermanentError


def read_documents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Read a file of OCR results (``.json``, one document) or of SROIE receipts (``.jsonl``), or a folder of such.

    Yields:
        A name ending in ``.json``, unique within the file, and the document of the OCR contract.

    Raises:
        PermanentError: OCR_DOCUMENT_INVALID when a file is neither, or is not what its name says.
    """
    if path.is_dir():
        for file in sorted(file for file in path.iterdir() if file.suffix in {".json", ".jsonl"}):
            yield from read_documents(file)
    elif path.suffix == ".json":
        content = path.read_bytes()
        parse_ocr_document(content, path.name)
        yield path.name, content
    elif path.suffix == ".jsonl":
        for document in read_sroie(path):
            yield f"{document.image_id}.json", document.model_dump_json(exclude_none=True).encode()
    else:
        raise PermanentError(
            ErrorCode.OCR_DOCUMENT_INVALID,
            value=f"{path} is neither .json nor .jsonl",
            rule="an OCR result is .json, SROIE receipts are .jsonl",
            way_out="give a file of one of the two forms, or a folder of them",
        )
