"""Google Cloud Vision: the ``fullTextAnnotation`` of an answer, with or without its ``responses`` around it.

The form: cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse. Vision has no lines, and its words end
at punctuation: here a word is the text between two breaks, and a line ends where a break says so. Most words have no
confidence. A coordinate that is 0 is absent, and some are negative.
"""

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from upload_images.formats.plain import Foreign, read_json, require
from upload_images.formats.recognized import (
    Box,
    Reading,
    RecognizedLine,
    RecognizedReceipt,
    RecognizedWord,
    refusal,
)

NAME = "an answer of Google Vision"
FRACTIONS = (1.0, 1.0)
WORD_BREAKS = {"SPACE", "SURE_SPACE", 1, 2}
LINE_BREAKS = {"EOL_SURE_SPACE", "HYPHEN", "LINE_BREAK", 3, 4, 5}
"""By name, or by number as some clients write them."""


class _Vertex(Foreign):
    x: float = 0.0
    y: float = 0.0


class _Polygon(Foreign):
    vertices: tuple[_Vertex, ...] = ()
    normalized_vertices: tuple[_Vertex, ...] = ()


class _Break(Foreign):
    type: str | int = 0


class _Property(Foreign):
    detected_break: _Break | None = None


class _Symbol(Foreign):
    text: str = ""
    property: _Property | None = None


class _Word(Foreign):
    symbols: tuple[_Symbol, ...] = ()
    bounding_box: _Polygon | None = None
    confidence: float | None = None


class _Paragraph(Foreign):
    words: tuple[_Word, ...] = ()


class _Block(Foreign):
    paragraphs: tuple[_Paragraph, ...] = ()


class _Page(Foreign):
    width: float = 0.0
    height: float = 0.0
    blocks: tuple[_Block, ...] = ()


class _Text(Foreign):
    pages: tuple[_Page, ...] = ()


class _Status(Foreign):
    message: str = ""


class _Response(Foreign):
    full_text_annotation: _Text | None = None
    error: _Status | None = None


def read_google_vision(content: bytes) -> Reading:
    """Read an answer.

    Raises:
        PermanentError: OCR_DOCUMENT_INVALID.
    """
    document = read_json(content)
    values: list[Any] = document["responses"] if isinstance(document, dict) and "responses" in document else [document]
    if not isinstance(values, list):
        raise refusal("its responses are no list", f"it has the form of {NAME}")
    responses = [require(_Response, value, NAME) for value in values]
    for response in responses:
        if response.error is not None and response.error.message:
            raise refusal(f"Vision answered an error: {response.error.message}", "the answer holds text")
    if all(response.full_text_annotation is None for response in responses):
        raise refusal(
            "it has no fullTextAnnotation",
            "lines and words are read from fullTextAnnotation",
            "ask for TEXT_DETECTION or DOCUMENT_TEXT_DETECTION, and look whether the picture is blank",
        )
    pages = [
        page for response in responses if response.full_text_annotation for page in response.full_text_annotation.pages
    ]
    return Reading(
        receipts=tuple(
            RecognizedReceipt(
                page=number,
                lines=tuple(
                    line for block in page.blocks for paragraph in block.paragraphs for line in _lines(paragraph, page)
                ),
                size=_size(page),
            )
            for number, page in enumerate(pages, 1)
        )
    )


def _size(page: _Page) -> tuple[float, float] | None:
    """In pixels; or 1, 1 where the vertices are fractions already; else None."""
    if page.width > 0 and page.height > 0:
        return page.width, page.height
    polygons = [
        word.bounding_box for block in page.blocks for paragraph in block.paragraphs for word in paragraph.words
    ]
    return FRACTIONS if any(polygon and polygon.normalized_vertices for polygon in polygons) else None


def _lines(paragraph: _Paragraph, page: _Page) -> Iterator[RecognizedLine]:
    line: list[RecognizedWord] = []
    parts: list[_Word] = []
    for word in paragraph.words:
        parts.append(word)
        kind = _break_after(word)
        if kind in WORD_BREAKS | LINE_BREAKS:
            line.append(_joined(parts, page))
            parts = []
        if kind in LINE_BREAKS:
            yield RecognizedLine(words=tuple(line))
            line = []
    if parts:
        line.append(_joined(parts, page))
    if line:
        yield RecognizedLine(words=tuple(line))


def _break_after(word: _Word) -> str | int:
    last = word.symbols[-1].property if word.symbols else None
    return last.detected_break.type if last is not None and last.detected_break is not None else 0


def _joined(parts: Sequence[_Word], page: _Page) -> RecognizedWord:
    told = [part.confidence for part in parts if part.confidence is not None]
    boxes = [box for part in parts if (box := _box(part.bounding_box, page)) is not None]
    return RecognizedWord(
        text="".join(symbol.text for part in parts for symbol in part.symbols),
        box=Box.around(boxes),
        confidence=fmean(told) if told else None,
    )


def _box(polygon: _Polygon | None, page: _Page) -> Box | None:
    if polygon is None:
        return None
    scale = (1.0, 1.0)
    vertices = polygon.vertices
    if not vertices:
        vertices = polygon.normalized_vertices
        scale = (page.width, page.height) if page.width > 0 and page.height > 0 else FRACTIONS
    return Box.around([Box.of_size(vertex.x * scale[0], vertex.y * scale[1], 0.0, 0.0) for vertex in vertices])
