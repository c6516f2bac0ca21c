"""Readers of other tools' files; a failure brings receipts in with other words, boxes or order than the tool found."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contracts.ocr import OcrDocument, parse_ocr_document
from pipeline.errors import PermanentError
from upload_images.formats.alto import read_alto
from upload_images.formats.conversion import Conversion, convert
from upload_images.formats.detection import READERS, Format, detect
from upload_images.formats.google_vision import read_google_vision
from upload_images.formats.hocr import read_hocr
from upload_images.formats.recognized import Reading
from upload_images.formats.tesseract_tsv import HEADER, read_tesseract_tsv
from upload_images.formats.textract import read_textract

DATA = Path(__file__).parent / "data"
BAKERY = [
    ["HARBOUR STREET BAKERY", "14 Quay Road", "Rye bread 2 x 3.40 6.80", 'Apple \u201ctart" small 4.25', "TOTAL 11.05"],
    ["HARBOUR STREET BAKERY", "REFUND", 'Apple "tart" -4.25'],
]


def texts(document: OcrDocument) -> list[str]:
    return [line.text for receipt in document.receipts for line in receipt.lines]


def words(document: OcrDocument) -> list[list[str]]:
    return [[word.text for word in line.words] for receipt in document.receipts for line in receipt.lines]


def converted(reader: Callable[[bytes], Reading], content: bytes) -> Conversion:
    return convert(reader(content), content)


def as_json(reader: Callable[[bytes], Reading], document: Any) -> Conversion:
    return converted(reader, json.dumps(document).encode())


def tsv(*rows: str) -> bytes:
    return "\n".join([HEADER, *(row.replace(" ", "\t", 11) for row in rows)]).encode() + b"\n"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("bakery.hocr", Format.HOCR),
        ("bakery.xml", Format.ALTO),
        ("kiosk.tsv", Format.TESSERACT_TSV),
        ("kiosk_fragment.hocr", Format.HOCR),
    ],
)
def test_tesseracts_own_files_are_known_by_their_content(name: str, found: Format):
    assert detect((DATA / name).read_bytes()) is found


def test_hocr_and_alto_of_the_same_picture_say_the_same():
    documents = [
        converted(read, (DATA / name).read_bytes()).documents
        for read, name in ((read_hocr, "bakery.hocr"), (read_alto, "bakery.xml"))
    ]
    for of_hocr, of_alto, expected in zip(*documents, BAKERY, strict=True):
        assert texts(of_hocr)[: len(expected)] == expected
        assert texts(of_alto) == texts(of_hocr)
        assert words(of_alto) == words(of_hocr)
        for one, other in zip(of_hocr.receipts[0].lines, of_alto.receipts[0].lines, strict=True):
            assert one.bounding_box.model_dump() == pytest.approx(other.bounding_box.model_dump(), abs=0.002)
    small = next(word for word in documents[0][0].receipts[0].lines[3].words if word.text == "small")
    # Recognized rightly, and yet without any confidence.
    assert small.confidence == 0


def test_a_tsv_is_read_with_its_header_and_without():
    with_header = (DATA / "kiosk.tsv").read_bytes()
    without = with_header.split(b"\n", 1)[1]
    assert detect(without) is Format.TESSERACT_TSV
    one, other = (converted(read_tesseract_tsv, content) for content in (with_header, without))
    assert texts(one.documents[0]) == texts(other.documents[0])
    assert "Flat white 1x 3.10" in texts(one.documents[0])
    # The edge of the paper, taken for a word.
    assert one.dropped == {"words without text": 1, "lines without text": 1}


def test_a_quotation_mark_in_a_tsv_swallows_no_row():
    rows = ['5 1 1 1 1 1 0 0 9 9 90 "tart', "5 1 1 1 1 2 9 0 9 9 90 small", '5 1 1 1 2 1 0 9 9 9 0 4.25"']
    (document,) = converted(read_tesseract_tsv, tsv(*rows)).documents
    assert words(document) == [['"tart', "small"], ['4.25"']]
    assert [line.confidence for line in document.receipts[0].lines] == [0.9, 0]


def test_line_numbers_of_a_tsv_that_begin_again_are_lines_of_their_own():
    rows = ["5 1 1 1 1 1 0 0 9 9 90 a", "5 1 1 2 1 1 0 20 9 9 90 b", "5 1 2 1 1 1 0 10 9 9 90 c"]
    (document,) = converted(read_tesseract_tsv, tsv(*rows)).documents
    # In the file's order, though c stands above b.
    assert texts(document) == ["a", "b", "c"]
    assert [line.line_id for line in document.receipts[0].lines] == [1, 2, 3]


def test_pages_are_images_of_their_own_and_the_same_file_is_the_same_images():
    content = tsv(
        "1 1 0 0 0 0 0 0 100 200 -1 ",
        "5 1 1 1 1 1 10 20 50 40 90 one",
        "1 2 0 0 0 0 0 0 100 200 -1 ",
        "1 3 0 0 0 0 0 0 100 100 -1 ",
        "5 3 1 1 1 1 10 20 50 40 90 three",
    )
    first, second = converted(read_tesseract_tsv, content), converted(read_tesseract_tsv, content)
    assert [texts(document) for document in first.documents] == [["one"], ["three"]]
    assert first.dropped == {"pages without text": 1}
    assert len({document.image_id for document in first.documents}) == 2
    assert first == second
    box = first.documents[0].receipts[0].lines[0].words[0].bounding_box
    assert (box.x, box.y, box.width, box.height) == pytest.approx((0.1, 0.1, 0.5, 0.2))


def test_a_word_outside_its_line_stays_in_it_and_one_outside_the_page_is_moved_to_the_edge():
    content = tsv(
        "1 1 0 0 0 0 0 0 100 100 -1 ",
        "4 1 1 1 1 0 10 10 20 10 -1 ",
        "5 1 1 1 1 1 10 80 20 10 91 far",
        "5 1 1 1 1 2 -5 10 200 10 91 wide",
    )
    line = converted(read_tesseract_tsv, content).documents[0].receipts[0].lines[0]
    assert line.text == "far wide"
    assert line.bounding_box.y == pytest.approx(0.1)
    assert line.words[0].bounding_box.y == pytest.approx(0.8)
    assert line.words[1].bounding_box.model_dump() == {"x": 0, "y": 0.1, "width": 1, "height": pytest.approx(0.1)}


HOCR = """<html><body><div class='ocr_page' title='ppageno 0; image "a;b.png"; bbox 100 100 200 300'>
<p>a paragraph without an end
<span class="ocr_header" title="x_size 9; bbox 110 120 150 140; textangle 180">
 <span class="ocrx_word strange" title="x_wconf 0; bbox 110 120 120 140"><em>T<b>O</b></em>P</span>
 <span class="ocrx_word" title="bbox 120 120 150 140">5&nbsp;&lt;<br>6</span></span>
<span class="ocr_textfloat" title="bbox 110 200 150 240">no words &amp; text</span>
<span class="ocrx_word" title="bbox 110 280 150 290; x_wconf 12.5">alone</span>
</div></body></html>"""


def test_hocr_of_other_tools_is_read():
    conversion = converted(read_hocr, HOCR.encode())
    (document,) = conversion.documents
    assert words(document) == [["TOP", "5 <6"], [], ["alone"]]
    assert texts(document) == ["TOP 5 <6", "no words & text", "alone"]
    first, _, last = document.receipts[0].lines
    assert [word.confidence for word in first.words] == [0, 0]
    assert last.confidence == 0.125
    # The page's corner is not that of the picture.
    assert first.bounding_box.model_dump() == pytest.approx({"x": 0.1, "y": 0.1, "width": 0.4, "height": 0.1})
    assert conversion.remarks == ("page 1 is upside down: 1 of 3 lines; turn the picture",)


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", ["bakery.hocr", "bakery.xml"])
def test_a_file_that_was_cut_is_refused(name: str, cut: float):
    content = (DATA / name).read_bytes()
    part = content[: int(len(content) * cut)]
    with pytest.raises(PermanentError, match=r"ends in the middle|is not XML"):
        converted(READERS[detect(part)], part)


def alto(lines: str, page: str = 'WIDTH="100" HEIGHT="200"') -> bytes:
    return (
        f'<a:alto xmlns:a="http://www.loc.gov/standards/alto/ns-v4#"><a:Layout><a:Page {page}>{lines}'
        "</a:Page></a:Layout></a:alto>"
    ).encode()


def test_alto_with_a_prefix_without_sizes_and_with_hyphens_is_read():
    content = alto(
        '<a:TextLine HPOS="10" VPOS="20" WIDTH="50" HEIGHT="10"><a:String CONTENT="sea"/><a:SP/>'
        '<a:String CONTENT="view" WC="0.5" HPOS="10" VPOS="20" WIDTH="5" HEIGHT="10"/><a:HYP CONTENT="-"/></a:TextLine>'
    )
    assert detect(content) is Format.ALTO
    (document,) = converted(read_alto, content).documents
    assert words(document) == [["sea", "view"]]
    line = document.receipts[0].lines[0]
    # A word that has no box stands where its line does.
    assert line.words[0].bounding_box == line.bounding_box
    assert line.confidence == 0.5


def test_alto_that_declares_entities_is_refused():
    content = b'<!DOCTYPE alto [<!ENTITY name "value">]>' + alto("")
    with pytest.raises(PermanentError, match="declares entities"):
        read_alto(content)


def block(kind: str, identifier: str, text: str = "", top: float = 0.1, **more: Any) -> dict[str, Any]:
    box = {"Left": 0.1, "Top": top, "Width": 0.2, "Height": 0.05}
    return {
        "BlockType": kind,
        "Id": identifier,
        "Text": text,
        "Confidence": 87.5,
        "Geometry": {"BoundingBox": box},
        "Relationships": None,
    } | more


def line(identifier: str, text: str, *children: str, **more: Any) -> dict[str, Any]:
    return block("LINE", identifier, text, Relationships=[{"Type": "CHILD", "Ids": list(children)}], **more)


BLOCKS = [
    block("PAGE", "p"),
    line("1", "TOTAL  9.00", "b", "a", top=0.5),
    line("2", "GREENLEAF", "c", "nowhere", top=0.1),
    block("WORD", "a", "TOTAL"),
    block("WORD", "b", "9.00", top=0.95000003),
    block("WORD", "c", "GREEN LEAF"),
    block("CELL", "d", Relationships=[{"Type": "CHILD", "Ids": ["a"]}]),
]


def test_textract_lines_keep_their_own_text_and_order():
    (document,) = as_json(read_textract, {"DocumentMetadata": {"Pages": 1}, "Blocks": BLOCKS}).documents
    assert texts(document) == ["TOTAL  9.00", "GREENLEAF"]
    assert words(document) == [["9.00", "TOTAL"], ["GREEN LEAF"]]
    assert document.receipts[0].lines[0].confidence == 0.875


def lower_camel(value: Any) -> Any:
    if isinstance(value, dict):
        return {key[0].lower() + key[1:]: lower_camel(item) for key, item in value.items()}
    return [lower_camel(item) for item in value] if isinstance(value, list) else value


def test_textract_keys_may_begin_with_a_small_letter_and_parts_may_be_a_list():
    whole = as_json(read_textract, {"Blocks": BLOCKS})
    small = as_json(read_textract, lower_camel({"Blocks": BLOCKS}))
    # Children may stand in another part.
    parts = as_json(read_textract, [{"Blocks": BLOCKS[:3], "NextToken": "x"}, {"Blocks": BLOCKS[3:]}])
    for other in (small, parts):
        assert [texts(document) for document in other.documents] == [texts(document) for document in whole.documents]
        assert [words(document) for document in other.documents] == [words(document) for document in whole.documents]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"Blocks": BLOCKS, "NextToken": "x"}, "there are more"),
        ([{"Blocks": BLOCKS}, {"Blocks": [], "NextToken": "x"}], "after 2 parts"),
        ({"JobStatus": "FAILED", "StatusMessage": "INVALID_IMAGE_TYPE", "Blocks": None}, "INVALID_IMAGE_TYPE"),
        ({"ExpenseDocuments": [{"SummaryFields": []}]}, "no Blocks"),
        ({"Blocks": [{"Id": "1"}]}, "block_type"),
        ({"Blocks": [block("LINE", "1", Confidence="much")]}, "confidence"),
        ({"Blocks": [block("PAGE", "p")]}, "no text on any"),
        ([], "no text on any"),
    ],
)
def test_a_textract_answer_that_is_not_whole_is_refused(document: Any, message: str):
    with pytest.raises(PermanentError, match=message):
        as_json(read_textract, document)


def test_textract_pages_and_a_partial_success_are_told():
    blocks = [line("1", "one", Page=1), line("2", "two", Page=3), block("PAGE", "p", Page=2)]
    conversion = as_json(read_textract, {"JobStatus": "PARTIAL_SUCCESS", "Blocks": blocks})
    assert [texts(document) for document in conversion.documents] == [["one"], ["two"]]
    assert conversion.dropped == {"pages without text": 1}
    assert "PARTIAL_SUCCESS" in conversion.remarks[0]


def test_expenses_of_one_page_are_receipts_of_one_image_with_their_vendors():
    def expense(name: str | None) -> dict[str, Any]:
        fields = [] if name is None else [{"Type": {"Text": "VENDOR_NAME"}, "ValueDetection": {"Text": name}}]
        return {"Blocks": BLOCKS, "SummaryFields": fields}

    conversion = as_json(read_textract, {"ExpenseDocuments": [expense("GREENLEAF\nMARKET"), expense(None)]})
    (document,) = conversion.documents
    assert [(receipt.receipt_id, receipt.merchant_name) for receipt in document.receipts] == [
        (1, "GREENLEAF MARKET"),
        (2, None),
    ]


def symbols(text: str, ends: Any = None) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [{"text": character} for character in text]
    if ends is not None:
        made[-1]["property"] = {"detectedBreak": {"type": ends}}
    return made


def vision_word(text: str, ends: Any, *vertices: dict[str, float], **more: Any) -> dict[str, Any]:
    return {"symbols": symbols(text, ends), "boundingBox": {"vertices": list(vertices)}} | more


WORDS = [
    vision_word("RM", "SPACE", {"y": -2}, {"x": 20, "y": -2}, {"x": 20, "y": 10}, {"y": 10}, confidence=0.5),
    vision_word("6", None, {"x": 30, "y": 0}, {"x": 35, "y": 10}),
    vision_word(".", None, {"x": 35, "y": 8}, {"x": 36, "y": 10}),
    vision_word("80", "EOL_SURE_SPACE", {"x": 36, "y": 0}, {"x": 50, "y": 10}),
    vision_word("THANKS", "LINE_BREAK", {"x": 0, "y": 20}, {"x": 60, "y": 30}),
    vision_word("END", None, {"x": 0, "y": 40}, {"x": 60, "y": 50}),
]


def vision(words_: list[dict[str, Any]], **page: Any) -> dict[str, Any]:
    pages = [{"width": 100, "height": 200, "blocks": [{"paragraphs": [{"words": words_}]}]} | page]
    return {"fullTextAnnotation": {"pages": pages}}


@pytest.mark.parametrize("around", [lambda answer: answer, lambda answer: {"responses": [answer]}])
def test_vision_words_end_at_blanks_and_lines_at_breaks(around: Callable[[Any], Any]):
    (document,) = as_json(read_google_vision, around(vision(WORDS))).documents
    assert words(document) == [["RM", "6.80"], ["THANKS"], ["END"]]
    first = document.receipts[0].lines[0]
    assert [word.confidence for word in first.words] == [0.5, 0]
    # A coordinate that is absent is 0, a negative one is the edge.
    assert first.words[0].bounding_box.model_dump() == pytest.approx({"x": 0, "y": 0, "width": 0.2, "height": 0.05})
    assert first.words[1].bounding_box.model_dump() == pytest.approx({"x": 0.3, "y": 0, "width": 0.2, "height": 0.05})


def test_vision_breaks_by_number_and_fractions_without_a_size_are_read():
    fractions = {"normalizedVertices": [{"x": 0.25, "y": 0.5}, {"x": 0.75, "y": 1.0}]}
    numbered = [
        {"symbols": symbols("RM", 1), "boundingBox": fractions},
        {"symbols": symbols("6", 5), "boundingBox": fractions},
        {"symbols": [], "boundingBox": None},
    ]
    (document,) = as_json(read_google_vision, vision(numbered, width=0, height=0)).documents
    assert texts(document) == ["RM 6"]
    box = document.receipts[0].lines[0].bounding_box
    assert (box.x, box.y, box.width, box.height) == (0.25, 0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"responses": [{"error": {"code": 3, "message": "Bad image data."}}]}, "Bad image data"),
        ({"responses": [{}]}, "no fullTextAnnotation"),
        ({"responses": {}}, "no list"),
        (vision([vision_word(" ", "SPACE")]), "no text on any"),
        ({"fullTextAnnotation": {"pages": [{"blocks": 3}]}}, "blocks"),
    ],
)
def test_a_vision_answer_without_text_is_refused(document: Any, message: str):
    with pytest.raises(PermanentError, match=message):
        as_json(read_google_vision, document)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"\xef\xbb\xbf \n", "it is empty"),
        (b"\xff\xd8\xff\xe0 and so on", "JPEG"),
        (b"%PDF-1.7", "PDF"),
        (b"GREENLEAF MARKET\nTOTAL 9.00\n", "in no form that is known"),
        (b"name,price\nmilk,1.20\n", "in no form that is known"),
        (b"<html><body>no receipts</body></html>", "in no form that is known"),
    ],
)
def test_what_is_no_ocr_result_is_refused_by_what_it_is(content: bytes, message: str):
    with pytest.raises(PermanentError, match=message):
        detect(content)


@pytest.mark.parametrize(
    ("reader", "content", "message"),
    [
        (read_tesseract_tsv, b"", "no rows"),
        (read_tesseract_tsv, HEADER.encode() + b"\n", "no rows"),
        (read_tesseract_tsv, tsv("5 1 1 1 1 1 0 0"), "row 2 has 8 columns"),
        (read_tesseract_tsv, tsv("5 1 1 1 1 1 0 0 9 9 much word"), "row 2"),
        (read_tesseract_tsv, tsv("5 1 1 1 1 1 0 0 9 inf 9 word"), "not finite"),
        (read_tesseract_tsv, b"\xff\xfe5\x00", "not UTF-8"),
        (read_hocr, b"<p>text</p>", "no ocr_page"),
        (read_hocr, b"<div class=ocr_page><i class=ocr_line title='bbox 1 2 3'>a</i></div>", "four numbers"),
        (read_hocr, b"<div class=ocr_page><i class=ocr_line title='bbox 1 2 3 nan'>a</i></div>", "four numbers"),
        (read_alto, b"<alto><Page", "not XML"),
        (read_alto, b"<alto/>", "no Page"),
        (read_alto, alto('<a:TextLine HPOS="left" VPOS="0" WIDTH="1" HEIGHT="1"/>'), 'HPOS="left"'),
        (read_textract, b"{", "not JSON"),
        (read_textract, b"[1]", "form of an answer of Amazon Textract"),
        (read_google_vision, b"[" * 100_000, "nested too deep"),
    ],
)
def test_a_file_of_another_shape_is_refused_with_its_fault(
    reader: Callable[[bytes], Reading], content: bytes, message: str
):
    with pytest.raises(PermanentError, match=message):
        converted(reader, content)


def test_the_order_of_a_file_is_kept_whatever_the_heights():
    higher = HOCR.replace("bbox 110 280 150 290", "bbox 110 101 150 102")
    assert texts(converted(read_hocr, higher.encode()).documents[0])[-1] == "alone"


KEYS = (
    *("Blocks", "ExpenseDocuments", "BlockType", "Id", "Text", "Confidence", "Geometry", "BoundingBox", "Left", "Ids"),
    *("responses", "fullTextAnnotation", "pages", "blocks", "paragraphs", "words", "symbols", "property", "vertices"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
ROWS = st.lists(
    st.lists(st.sampled_from(["5", "1", "0", "-1", "9.5", "nan", "x", "", "4", "1e400"]), max_size=13).map("\t".join),
    max_size=4,
).map("\n".join)
TAGS = st.lists(
    st.sampled_from(
        [
            "<div class=ocr_page>",
            "<div class=ocr_page title='bbox 0 0 9 9'>",
            "<p class='ocr_line' title='bbox 1 1 5 5'>",
            "<span class=ocrx_word title='bbox 9 9 1 1; x_wconf 300'>",
            "<i/>",
            "text",
            "</span>",
            "</p>",
            "</div>",
            "<!--",
            "&amp;",
        ]
    ),
    max_size=12,
).map("".join)


@given(
    content=JSON.map(json.dumps) | ROWS | TAGS | st.text(max_size=20), reader=st.sampled_from(list(READERS.values()))
)
def test_whatever_a_file_holds_it_is_a_document_or_a_refusal(content: str, reader: Callable[[bytes], Reading]):
    with suppress(PermanentError):
        for document in converted(reader, content.encode()).documents:
            parse_ocr_document(document.model_dump_json(exclude_none=True).encode(), "made")
