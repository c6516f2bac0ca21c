"""Reads files and folders as OCR results of the contract. Other tools' formats: ``upload_images/formats``."""

import os
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ops.importers.sroie import read_sroie
from pipeline.contracts.limits import MAXIMUM_DOCUMENT_BYTES
from pipeline.contracts.ocr import parse_ocr_document, require_document_size
from pipeline.errors import ErrorCode, PermanentError
from upload_images.formats.conversion import convert
from upload_images.formats.detection import READERS, Format, detect
from upload_images.pictures.kinds import KIND_BYTES, kind_of
from upload_images.pictures.kinds import SUFFIXES as PICTURE_SUFFIXES
from upload_images.pictures.limits import MAXIMUM_PICTURE_BYTES, require_bytes, unreadable

SROIE_SUFFIX = ".jsonl"
STANDARD_INPUT = Path("-")
"""What a person writes for what comes through a pipe."""
SUFFIXES = (".json", SROIE_SUFFIX, ".tsv", ".hocr", ".html", ".xml")


def _raise(error: PermanentError) -> NoReturn:
    raise error


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What was made of one file in another tool's form.

    Attributes:
        file: its name.
        format: what it was read as.
        images: documents that were made of it, one a page with text.
        dropped: how many of what was left out.
        remarks: what a person should know about it.
    """

    file: str
    format: Format
    images: int
    dropped: dict[str, int]
    remarks: tuple[str, ...]


def read_documents(
    path: Path,
    on_refused: Callable[[PermanentError], object] = _raise,
    *,
    as_format: Format | None = None,
    on_taken: Callable[[Taken], object] = lambda _: None,
    on_picture: Callable[[str, bytes], object] | None = None,
) -> Iterator[tuple[str, bytes]]:
    """Read OCR results of this project or of other tools, SROIE receipts (``.jsonl``), or a folder of such.

    Args:
        path: the file or folder; of a folder the files with a name that ends as in ``SUFFIXES``, and pictures when
            they are taken; ``STANDARD_INPUT`` for the bytes that come in there.
        on_refused: called with OCR_DOCUMENT_INVALID for a file, a page of it, or a line of SROIE receipts, of which
            nothing can be used; the others follow. It raises the error unless another function is given.
        as_format: what the files are; None to decide by their content.
        on_taken: called for each file that was converted.
        on_picture: called with the name and content of each picture, of a kind that stage 0 reads; None when nothing
            reads pictures, and then one is refused.

    Yields:
        A name ending in ``.json``, unique within the file, and the document of the OCR contract. Some of its receipts
        may be refused (``OcrDocument.refused``).
    """
    if path.is_dir():
        suffixes = SUFFIXES if on_picture is None else SUFFIXES + PICTURE_SUFFIXES
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes)
        if not files:
            on_refused(_nothing_in(path, suffixes, reads_pictures=on_picture is not None))
        for file in files:
            yield from read_documents(file, on_refused, as_format=as_format, on_taken=on_taken, on_picture=on_picture)
        return
    try:
        _require_plain(path)
        if path.suffix.lower() == SROIE_SUFFIX and as_format is None:
            yield from _read_lines(path, on_refused)
        elif on_picture is not None and as_format is None and path != STANDARD_INPUT and _is_picture(path):
            on_picture(path.name, _read_bounded(path, require_bytes, MAXIMUM_PICTURE_BYTES))
        elif on_picture is not None and as_format is None and _is_picture_by_name_alone(path):
            on_refused(unreadable(f"{path.name}: it begins like no kind of picture"))
        else:
            yield from _read_file(path, as_format, on_refused, on_taken)
    except PermanentError as error:
        on_refused(error)
    except OSError as error:
        on_refused(_unreadable(path, error))


def _require_plain(path: Path) -> None:
    """Refuse what is no file: to open a named pipe waits for a writer, and a device may have no end."""
    if path == STANDARD_INPUT or stat.S_ISREG(path.stat().st_mode):
        return
    raise PermanentError(
        ErrorCode.OCR_DOCUMENT_INVALID,
        value=f"{path} is a pipe or a device",
        rule="files and folders are read by name, anything else as standard input",
        way_out=f"receipts upload - < {path}",
    )


def _nothing_in(folder: Path, suffixes: tuple[str, ...], *, reads_pictures: bool) -> PermanentError:
    """A folder of which no file is read, with what is there instead."""
    there = Counter(file.suffix.lower() or "no ending" for file in folder.iterdir())
    found = ", ".join(f"{count} of {suffix}" for suffix, count in sorted(there.items())) or "nothing"
    return PermanentError(
        ErrorCode.OCR_DOCUMENT_INVALID,
        value=f"{folder} holds no OCR results{' and no pictures' if reads_pictures else ''}; it holds {found}",
        rule=f"of a folder the files that end in {', '.join(suffixes)} are read",
        way_out="give the files themselves, or another folder"
        + ("" if reads_pictures else "; recognize pictures first, for example with `tesseract PICTURE RESULT tsv`"),
    )


def _read_lines(path: Path, on_refused: Callable[[PermanentError], object]) -> Iterator[tuple[str, bytes]]:
    """SROIE receipts; a file without any is refused."""
    seen = False

    def refuse(error: PermanentError) -> None:
        nonlocal seen
        seen = True
        on_refused(error)

    for document in read_sroie(path, on_refused=refuse):
        seen = True
        yield f"{document.image_id}.json", document.model_dump_json(exclude_none=True).encode()
    if not seen:
        raise PermanentError(
            ErrorCode.OCR_DOCUMENT_INVALID,
            value=f"{path.name}: it is empty",
            rule="a file of SROIE receipts has one on each line",
            way_out="look whether what should have written it failed",
        )


def _read_file(
    path: Path,
    as_format: Format | None,
    on_refused: Callable[[PermanentError], object],
    on_taken: Callable[[Taken], object],
) -> Iterator[tuple[str, bytes]]:
    if path == STANDARD_INPUT:
        content, name = sys.stdin.buffer.read(MAXIMUM_DOCUMENT_BYTES + 1), "standard input"
    else:
        content, name = _read_bounded(path, require_document_size, MAXIMUM_DOCUMENT_BYTES), path.name
    try:
        found = as_format or detect(content)
        if found is Format.RECEIPTS:
            parse_ocr_document(content, name)
            yield (name if path.suffix == ".json" else f"{name}.json"), content
            return
        converted = convert(READERS[found](content), content)
    except PermanentError as error:
        if error.value.startswith(name):
            raise
        raise PermanentError(
            error.code, value=f"{name}: {error.value}", rule=error.rule, way_out=error.way_out
        ) from error
    on_taken(
        Taken(
            file=name,
            format=found,
            images=len(converted.documents),
            dropped=converted.dropped,
            remarks=converted.remarks,
        )
    )
    for number, document in enumerate(converted.documents, 1):
        page = f"{name}.json" if len(converted.documents) == 1 else f"{name}-{number}.json"
        made = document.model_dump_json(exclude_none=True).encode()
        try:
            parse_ocr_document(made, page)
        except PermanentError as error:
            on_refused(error)
        else:
            yield page, made


def _is_picture(path: Path) -> bool:
    with path.open("rb") as file:
        return kind_of(file.read(KIND_BYTES)) is not None


def _is_picture_by_name_alone(path: Path) -> bool:
    """Whether a file is called like a picture and holds no OCR result either."""
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        return False
    try:
        detect(_read_bounded(path, require_document_size, MAXIMUM_DOCUMENT_BYTES))
    except PermanentError:
        return True
    return False


def _read_bounded(path: Path, require: Callable[[int, str], None], most: int) -> bytes:
    """The file's bytes, at most one more than it may have: a file may grow, and a pipe has no size.

    Args:
        path: the file.
        require: refuses a size in bytes of a file of this name.
        most: bytes.
    """
    with path.open("rb") as file:
        require(os.fstat(file.fileno()).st_size, path.name)
        content = file.read(most + 1)
    require(len(content), path.name)
    return content


def _unreadable(path: Path, error: OSError) -> PermanentError:
    refusal = PermanentError(
        ErrorCode.OCR_DOCUMENT_INVALID,
        value=f"{path}: {error.strerror}",
        rule="the file can be read",
        way_out="check that it is there and that you may read it",
    )
    refusal.__cause__ = error
    return refusal
