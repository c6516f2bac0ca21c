"""hOCR: the HTML that Tesseract, OCRopus, Kraken and others write. Its form: kba.github.io/hocr-spec/1.2/.

It is read as HTML, because files of other tools need not be XML. A line's class depends on what Tesseract takes it
for. ``x_wconf`` is cut to a whole number, so a confidence below 0.01 is 0.
"""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TypeVar

from upload_images.formats.plain import decode, finite
from upload_images.formats.recognized import (
    Box,
    Reading,
    RecognizedLine,
    RecognizedReceipt,
    RecognizedWord,
    refusal,
)

PAGE = "ocr_page"
LINES = {"ocr_line", "ocr_caption", "ocr_header", "ocr_textfloat", "ocrx_line"}
WORD = "ocrx_word"
WITHOUT_END = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
"""HTML's void elements (html.spec.whatwg.org/multipage/syntax.html#void-elements)."""
UPSIDE_DOWN = 180.0
_PROPERTY = re.compile(r"""(?:"[^"]*"|[^;"])+""")
RULE = "hOCR has elements of the classes ocr_page, ocr_line and ocrx_word, each with a title"


@dataclass(kw_only=True)
class _Word:
    properties: dict[str, str]
    texts: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class _Line:
    properties: dict[str, str]
    words: list[_Word] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class _Page:
    properties: dict[str, str]
    lines: list[_Line] = field(default_factory=list)


Element = TypeVar("Element", _Page, _Line, _Word)


def read_hocr(content: bytes) -> Reading:
    """Read an hOCR file, or the part of one that the library gives.

    Raises:
        PermanentError: OCR_DOCUMENT_INVALID.
    """
    text = decode(content)
    parser = _Parser()
    parser.feed(text)
    parser.close()
    if not parser.pages:
        raise refusal("it has no ocr_page", RULE)
    if parser.is_open or ("<html" in text and "</html>" not in text):
        raise refusal("it ends in the middle", "the elements that are opened are closed", "make the file again")
    remarks: list[str] = []
    receipts: list[RecognizedReceipt] = []
    for number, page in enumerate(parser.pages, 1):
        turned = sum(_number(line.properties, "textangle") == UPSIDE_DOWN for line in page.lines)
        if turned:
            remarks.append(f"page {number} is upside down: {turned} of {len(page.lines)} lines; turn the picture")
        box = _box(page.properties)
        corner = (0.0, 0.0) if box is None else (box.left, box.top)
        receipts.append(
            RecognizedReceipt(
                page=number,
                lines=tuple(_line(line, corner) for line in page.lines),
                size=None
                if box is None or box.right <= box.left or box.bottom <= box.top
                else (box.right - box.left, box.bottom - box.top),
            )
        )
    return Reading(receipts=tuple(receipts), remarks=tuple(remarks))


class _Parser(HTMLParser):
    """Collects pages, lines and words; of everything else only the ends are looked for."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pages: list[_Page] = []
        self._opened: list[tuple[str, _Page | _Line | _Word | None]] = []

    @property
    def is_open(self) -> bool:
        """A page has not ended."""
        return self._around(_Page) is not None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        if tag in WITHOUT_END:
            return
        attributes = dict(attrs)
        element = self._element(set((attributes.get("class") or "").split()), attributes.get("title") or "")
        self._opened.append((tag, element))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element without content says nothing."""

    def handle_endtag(self, tag: str) -> None:
        """An element ends, and with it those inside whose own end was left out, as HTML allows for <p>."""
        if any(opened == tag for opened, _ in self._opened):
            while self._opened.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        """Text belongs to the word around it, or else to the line."""
        if (owner := self._around(_Word) or self._around(_Line)) is not None:
            owner.texts.append(data)

    def _element(self, classes: set[str], title: str) -> _Page | _Line | _Word | None:
        if PAGE in classes:
            self.pages.append(page := _Page(properties=_properties(title)))
            return page
        page = self._around(_Page)
        if page is None or not classes & {*LINES, WORD}:
            return None
        if WORD not in classes:
            page.lines.append(line := _Line(properties=_properties(title)))
            return line
        line = self._around(_Line)
        if line is None:
            # A word outside every line is a line of its own.
            page.lines.append(line := _Line(properties=_properties(title)))
        line.words.append(word := _Word(properties=_properties(title)))
        return word

    def _around(self, kind: type[Element]) -> Element | None:
        """The innermost open element of a kind, within the innermost page."""
        for _, element in reversed(self._opened):
            if isinstance(element, kind):
                return element
            if isinstance(element, _Page):
                return None
        return None


def _properties(title: str) -> dict[str, str]:
    """``bbox 0 0 10 10; x_wconf 96`` by name, in whatever order; a quoted file name may hold a semicolon."""
    found: dict[str, str] = {}
    for item in _PROPERTY.findall(title):
        name, _, value = item.strip().partition(" ")
        found[name] = value.strip()
    return found


def _box(properties: dict[str, str], corner: tuple[float, float] = (0.0, 0.0)) -> Box | None:
    edges = properties.get("bbox", "").split()
    if not edges:
        return None
    try:
        left, top, right, bottom = (finite(edge) for edge in edges)
    except ValueError as error:
        raise refusal(f"bbox {' '.join(edges)}", "bbox has four numbers: left, top, right and bottom") from error
    return Box(left=left - corner[0], top=top - corner[1], right=right - corner[0], bottom=bottom - corner[1])


def _number(properties: dict[str, str], name: str) -> float | None:
    try:
        return finite(properties[name])
    except (KeyError, ValueError):
        return None


def _line(line: _Line, corner: tuple[float, float]) -> RecognizedLine:
    words = tuple(
        RecognizedWord(
            text=" ".join("".join(word.texts).split()),
            box=_box(word.properties, corner),
            confidence=None if (told := _number(word.properties, "x_wconf")) is None or told < 0 else told / 100,
        )
        for word in line.words
    )
    return RecognizedLine(
        words=words,
        text=None if words else " ".join("".join(line.texts).split()),
        box=_box(line.properties, corner),
    )
