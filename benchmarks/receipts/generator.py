"""Makes receipts whose texts repeat as often as those of real receipts do. The same number gives the same receipt.

The rule: a receipt's merchant is drawn from a population with a heavy tail, so that some come again all the time and
there is always another new one; its layout, labels, address and products are the merchant's; prices follow from the
products; document numbers, times and misread letters are the receipt's own. A receipt is given as the recognizer
gives it, in pieces of lines with boxes. The figures that come out are held by ``tests/test_generated_receipts.py``.
What a text means to a person is not imitated.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from benchmarks.receipts.merchants import Merchant, Style, digits, heavy_tailed, merchant, stream
from benchmarks.receipts.vocabulary import CARD_LABELS, MISREAD
from pipeline.contracts.ocr import BoundingBox, OcrDocument, OcrLine, OcrReceipt, OcrWord

MERCHANT_SCALE, MERCHANT_TAIL = 20.0, 0.65
"""Of the population of merchants: about half of 300 to 650 receipts come from one that occurs more than once."""
MISREAD_SHARE = 0.045
"""Of the pieces that have a letter: one or two a receipt, as in scans that people have not corrected."""
MEMBER_SHARE, TERMINAL_SHARE, PRINTED_SHARE = 0.2, 0.25, 0.25
"""Of the receipts, those with such numbers below."""
MOST_ITEMS = 30
ITEM_SPREAD = 0.7
CONFIDENCE = 0.95
TAX_PERCENT = 7
OPENING, OPEN_SECONDS = timedelta(hours=8), 14 * 3_600
FIRST_DAY, DAYS = datetime(2025, 1, 1), 540
ROW_HEIGHT = 0.7
"""Of the distance between two printed rows."""
COLUMNS = 4


def generate(number: int) -> OcrDocument:
    """The receipt with this number, on an image of its own, its merchant given."""
    source = stream("receipt", number)
    shop = merchant(heavy_tailed(source, MERCHANT_SCALE, MERCHANT_TAIL))
    printed = _Printed(source, shop)
    printed.print()
    return OcrDocument(
        image_id=UUID(int=source.getrandbits(128), version=4),
        receipts=(OcrReceipt(receipt_id=1, lines=tuple(_lines(printed.rows)), merchant_name=shop.name),),
    )


def generate_all(first: int = 1) -> Iterator[OcrDocument]:
    """Receipts from number ``first`` on, without end."""
    number = first
    while True:
        yield generate(number)
        number += 1


def money(cents: int) -> str:
    """An amount as it is printed: ``1,234.50``."""
    return f"{cents / 100:,.2f}"


@dataclass
class _Printed:
    """The rows of one receipt; a row is the pieces that the recognizer finds side by side."""

    source: random.Random
    shop: Merchant
    rows: list[list[str]] = field(default_factory=list)

    @property
    def style(self) -> Style:
        return self.shop.style

    def print(self) -> None:
        """All of it, from the head to the farewell."""
        source = self.source
        moment = FIRST_DAY + timedelta(days=source.randrange(DAYS)) + OPENING
        moment += timedelta(seconds=source.randrange(OPEN_SECONDS))
        self._head()
        self._facts(moment)
        if self.style.headings:
            self._row(*self.style.headings)
        wanted = round(self.shop.typical_items * source.lognormvariate(0.0, ITEM_SPREAD))
        bought = [self._item() for _ in range(min(MOST_ITEMS, max(1, wanted)))]
        self._totals(sum(cents for cents, _ in bought), sum(quantity for _, quantity in bought))
        for notice in (*self.style.farewells, *self.shop.notices):
            self._row(notice)
        self._own_numbers(moment)

    def _row(self, *pieces: str) -> None:
        self.rows.append([self._read(piece) for piece in pieces if piece])

    def _read(self, piece: str) -> str:
        """What the recognizer makes of a piece; now and then a character is another."""
        source = self.source
        if not any(character.isalpha() for character in piece) or source.random() >= MISREAD_SHARE:
            return piece
        places = [place for place, character in enumerate(piece) if character in MISREAD]
        if not places:
            return piece
        place = source.choice(places)
        return piece[:place] + source.choice(MISREAD[piece[place]]) + piece[place + 1 :]

    def _labelled(self, label: str, value: str) -> None:
        style = self.style
        if not label:
            self._row(value)
        elif style.joins_value:
            self._row(f"{label}{style.colon} {value}")
        elif style.splits_colon and style.colon:
            self._row(label, f": {value}")
        else:
            self._row(f"{label}{style.colon}", value)

    def _amount(self, label: str, cents: int) -> None:
        self._labelled(label, f"{self.style.currency}{money(cents)}")

    def _head(self) -> None:
        shop, style = self.shop, self.style
        self._row(shop.name)
        self._labelled(style.registration_label, shop.registration)
        for line in shop.address:
            self._row(line)
        self._row(f"{style.phone_label}{style.colon} {shop.phone}")
        self._labelled(style.tax_number_label, shop.tax_number)
        self._row(style.title)

    def _facts(self, moment: datetime) -> None:
        source, shop, style = self.source, self.shop, self.style
        # A till counts up; a busy one has a longer number than the days it stands.
        self._labelled(style.number_label, f"{style.number_prefix}{digits(source, 5 + shop.number % 4)}")
        day = moment.strftime(style.date_format).upper()
        time = moment.strftime("%H:%M:%S" if style.has_seconds else "%H:%M")
        if shop.number % 2:
            self._labelled(style.date_label, f"{day} {time}")
        else:
            self._labelled(style.date_label, day)
            self._labelled(style.time_label, time)
        self._labelled(style.cashier_label, source.choice(shop.cashiers))
        if shop.trade.is_served:
            self._labelled("TABLE", str(source.randint(1, 24)))

    def _own_numbers(self, moment: datetime) -> None:
        """What tills and card terminals print below, different on each receipt."""
        source = self.source
        if source.random() < MEMBER_SHARE:
            self._row(f"MEMBER NO. {digits(source, 8)}", f"POINTS : {source.randrange(3_000)}")
        if source.random() < TERMINAL_SHARE:
            self._row(f"REF {source.getrandbits(40):010X}", f"APPROVAL {digits(source, 6)}")
        if source.random() < PRINTED_SHARE:
            printed = moment + timedelta(seconds=source.randrange(20, 200))
            self._row(f"PRINTED {printed:%d/%m/%Y %H:%M:%S}")

    def _item(self) -> tuple[int, int]:
        """Print one item.

        Returns:
            Its cents and its quantity.
        """
        source, shop, style = self.source, self.shop, self.style
        product = shop.product(source)
        quantity = 1 if source.random() < 0.78 else 1 + heavy_tailed(source, 2.0, 1.6)  # noqa: PLR2004 - mostly one
        cents = quantity * product.cents
        name = [f"{product.code} {product.name}"] if style.joins_code and product.code else [product.code, product.name]
        if not style.code_first:
            name.reverse()
        code = f" {style.tax_code}" if style.tax_code and style.joins_tax_code else ""
        amounts = [f"{money(cents)}{code}", "" if style.joins_tax_code else style.tax_code]
        if style.quantity_first:
            name = [piece if piece == product.code else f"{quantity} {piece}" for piece in name]
            self._row(*name, *amounts)
        elif style.joins_quantity:
            self._row(*name)
            self._row(style.quantity_pattern.format(quantity, money(product.cents)), *amounts)
        else:
            self._row(*name)
            self._row(str(quantity), money(product.cents), *(["0.00"] if style.has_discount else []), *amounts)
        return cents, quantity

    def _totals(self, net: int, quantity: int) -> None:
        source, style = self.source, self.style
        tax = round(net * TAX_PERCENT / 100) if style.tax_code else 0
        total = net + tax
        rounded = 5 * round(total / 5) if style.has_rounding else total
        self._labelled(style.quantity_label, str(quantity))
        self._amount(style.subtotal_label, net)
        if style.has_discount:
            self._amount(style.discount_label, 0)
        if style.tax_code:
            self._amount(style.tax_label, tax)
        if style.has_rounding:
            self._amount(style.rounding_label, rounded - total)
        self._amount(style.total_label, rounded)
        if source.random() < 0.2:  # noqa: PLR2004 - one in five pays by card
            self._amount(source.choice(CARD_LABELS), rounded)
        else:
            given = _notes(source, rounded)
            self._amount(style.paid_label, given)
            self._amount(style.change_label, given - rounded)
        if style.has_summary and style.tax_code:
            self._row(style.summary_title)
            self._row(*style.summary_headings)
            rate = [str(TAX_PERCENT)] if "%" in style.summary_headings else []
            self._row(style.tax_code, *rate, money(net), money(tax))
            self._row("TOTAL" + style.colon, money(net), money(tax))


def _notes(source: random.Random, cents: int) -> int:
    """What a customer hands over: the sum, or the next full ten, fifty or hundred."""
    step = source.choice((1, 500, 1_000, 1_000, 5_000, 5_000, 10_000))
    return -(-cents // step) * step


def _lines(rows: list[list[str]]) -> Iterator[OcrLine]:
    line_id = 0
    for number, pieces in enumerate(rows):
        for column, piece in enumerate(pieces):
            line_id += 1
            width = min(0.96 / COLUMNS * (1 if len(pieces) > 1 else COLUMNS), 0.014 * len(piece))
            left = 0.02 + 0.96 * column / max(COLUMNS, len(pieces))
            box = BoundingBox(x=left, y=number / len(rows), width=width, height=ROW_HEIGHT / len(rows))
            yield OcrLine(
                line_id=line_id, text=piece, confidence=CONFIDENCE, bounding_box=box, words=_words(piece, box)
            )


def _words(piece: str, box: BoundingBox) -> tuple[OcrWord, ...]:
    """The words of a piece, split at blanks, each with its share of the box."""
    found: list[OcrWord] = []
    start = 0
    share = box.width / len(piece)
    for word_id, text in enumerate(piece.split(), start=1):
        start = piece.index(text, start)
        word_box = BoundingBox(x=box.x + start * share, y=box.y, width=len(text) * share, height=box.height)
        found.append(OcrWord(word_id=word_id, text=text, confidence=CONFIDENCE, bounding_box=word_box))
        start += len(text)
    return tuple(found)
