"""The child process: from the bytes of a picture to OCR results of the contract, standard input to standard output.

``python -m upload_images.pictures.reading``. The same picture gives the same OCR results in every process: engine, data
and libraries are pinned, and nothing of the hour or the machine goes in. Its other half is ``child.py``.
"""

import resource
import sys

from pipeline.contracts.ocr import parse_ocr_document
from pipeline.errors import PermanentError
from upload_images.formats.conversion import convert
from upload_images.formats.recognized import Reading, RecognizedReceipt
from upload_images.pictures.answer import Answer, Fault
from upload_images.pictures.engine import open_engine
from upload_images.pictures.limits import CHILD_MEMORY_BYTES, too_large, without_text
from upload_images.pictures.pages import open_pages


def read_picture(content: bytes) -> Answer:
    """Read every page of a picture.

    Raises:
        PermanentError: PICTURE_UNREADABLE, PICTURE_TOO_LARGE, PICTURE_WITHOUT_TEXT; OCR_DOCUMENT_INVALID for a page
            that holds more than the contract allows.
    """
    receipts: list[RecognizedReceipt] = []
    remarks: list[str] = []
    pages = 0
    with open_engine() as engine:
        for pages, page in enumerate(open_pages(content), 1):
            found, told = engine.read(page, pages)
            receipts += found
            remarks += told
    if not any(word.text.strip() for receipt in receipts for line in receipt.lines for word in line.words):
        raise without_text(f"it has {pages} pages and no text on any")
    converted = convert(Reading(receipts=tuple(receipts), remarks=tuple(remarks)), content)
    documents = tuple(document.model_dump_json(exclude_none=True) for document in converted.documents)
    for document in documents:
        parse_ocr_document(document.encode(), "the page")
    return Answer(documents=documents, dropped=converted.dropped, remarks=converted.remarks)


def answer_of(content: bytes) -> Answer:
    """As ``read_picture``, with the refusal in the answer."""
    try:
        return read_picture(content)
    except PermanentError as error:
        return Answer(fault=Fault.of(error))
    except MemoryError:
        refusal = too_large(
            f"it needs more than {CHILD_MEMORY_BYTES} bytes of memory",
            "a picture is unpacked within the memory of the function that reads it",
            "scale the picture down, or save it as JPEG",
        )
        return Answer(fault=Fault.of(refusal))


def main() -> int:
    """Read one picture."""
    resource.setrlimit(resource.RLIMIT_AS, (CHILD_MEMORY_BYTES, CHILD_MEMORY_BYTES))
    # A crash of a decoder writes no core file into the function's small disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.write(answer_of(sys.stdin.buffer.read()).model_dump_json())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
