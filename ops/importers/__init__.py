"""Foreign receipts to OCR results: recognizes what a file is, and refuses what it does not know."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from ops.importers.sroie import read_sroie
from pipeline.contracts.limits import MAXIMUM_DOCUMENT_BYTES
from pipeline.contracts.ocr import parse_ocr_document, require_document_size
from pipeline.errors import ErrorCode, PermanentError


def _raise(error: PermanentError) -> NoReturn:
    raise error


def read_documents(path: Path, on_refused: Callable[[PermanentError], object] = _raise) -> Iterator[tuple[str, bytes]]:
    """Read a file of OCR results (``.json``, one document) or of SROIE receipts (``.jsonl``), or a folder of such.

    Args:
        path: the file or folder.
        on_refused: called with OCR_DOCUMENT_INVALID for a file, or a line of SROIE receipts, of which nothing can be
            used; the others follow. It raises the error unless another function is given.

    Yields:
        A name ending in ``.json``, unique within the file, and the document of the OCR contract. Some of its receipts
        may be refused (``OcrDocument.refused``).
    """
    if path.is_dir():
        for file in sorted(file for file in path.iterdir() if file.suffix in {".json", ".jsonl"}):
            yield from read_documents(file, on_refused)
        return
    try:
        if path.suffix == ".json":
            content = _read_bounded(path)
            parse_ocr_document(content, path.name)
            yield path.name, content
        elif path.suffix == ".jsonl":
            for document in read_sroie(path, on_refused=on_refused):
                yield f"{document.image_id}.json", document.model_dump_json(exclude_none=True).encode()
        else:
            raise PermanentError(
                ErrorCode.OCR_DOCUMENT_INVALID,
                value=f"{path} is neither .json nor .jsonl",
                rule="an OCR result is .json, SROIE receipts are .jsonl",
                way_out="give a file of one of the two forms, or a folder of them",
            )
    except PermanentError as error:
        on_refused(error)
    except OSError as error:
        on_refused(_unreadable(path, error))


def _read_bounded(path: Path) -> bytes:
    """The file's bytes, at most one more than a document may have: a file may grow, and a pipe has no size."""
    with path.open("rb") as file:
        require_document_size(os.fstat(file.fileno()).st_size, path.name)
        return file.read(MAXIMUM_DOCUMENT_BYTES + 1)


def _unreadable(path: Path, error: OSError) -> PermanentError:
    refusal = PermanentError(
        ErrorCode.OCR_DOCUMENT_INVALID,
        value=f"{path}: {error.strerror}",
        rule="the file can be read",
        way_out="check that it is there and that you may read it",
    )
    refusal.__cause__ = error
    return refusal
