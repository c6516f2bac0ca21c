"""Merchants and products of made-up receipts: each is a pure function of its number, so any two runs know the same.

Nothing here depends on which receipts were made before. How often a merchant or product occurs is drawn in
``generator.py`` and in ``Merchant.product``.
"""

import random
from dataclasses import dataclass
from functools import lru_cache

from benchmarks.receipts import vocabulary as words
from benchmarks.receipts.vocabulary import TRADES, Trade

SEED = 20260102
SHARED_PRODUCTS = 0.35
"""Of what a merchant sells, the share that other merchants of its trade sell too, under the same bar code."""
PRODUCT_SCALE, PRODUCT_TAIL = 16.0, 0.9
BRAND_SCALE, BRAND_TAIL = 1_500.0, 0.8
PLACE_SCALE, PLACE_TAIL = 40.0, 0.8
PRICE_SPREAD = 0.75
"""Standard deviation of the logarithm of a price within one trade."""
PRICE_ENDINGS = (0, 0, 0, 50, 50, 90, 90, 90, 80, 20, 95, 99, 40, 60, 30, 70, 10)
"""Cents that shops prefer."""
ODD_PRICES = 0.22
"""Share of prices with any other number of cents."""
ADJECTIVES, BRANDS, MODELS, SIZES = 0.4, 0.75, 0.55, 0.6
"""Shares of products that have one in their names."""
BAR_CODES, DISH_NUMBERS = 0.8, 0.15
"""Shares of products with a bar code where such are in use, and with a number where they are not."""
LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
EAN_DIGITS = 12
"""Digits of an EAN-13 bar code before its check digit."""


def stream(*key: object) -> random.Random:
    """A source of random numbers that depends on nothing but ``key``."""
    return random.Random("/".join(map(str, (SEED, *key))))  # noqa: S311 - repeatable is what is wanted


def heavy_tailed(source: random.Random, scale: float, tail: float) -> int:
    """A number from 0 up with a Lomax distribution: small ones often, and always now and then one never seen before.

    Args:
        source: of random numbers.
        scale: below about this number all are similarly frequent.
        tail: the smaller, the more often a large one.
    """
    return int(scale * ((1.0 - source.random()) ** (-1.0 / tail) - 1.0))


def digits(source: random.Random, count: int) -> str:
    """So many decimal digits."""
    return f"{source.randrange(10**count):0{count}d}"


def bar_code(source: random.Random) -> str:
    """An EAN-13 code; one of 40 companies made the product."""
    body = f"9{source.randrange(40) * 7919 % 1000:03d}{digits(source, EAN_DIGITS - 4)}"
    checked = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(body))
    return f"{body}{-checked % 10}"


@lru_cache(maxsize=65_536)
def proper_name(kind: str, number: int) -> str:
    """The name with this number; the same in every run."""
    source = stream("name", kind, number)
    middle = source.choice(words.SYLLABLES) if source.random() < 0.3 else ""  # noqa: PLR2004 - one name in three
    return source.choice(words.SYLLABLES) + middle + source.choice(words.ENDINGS)


@dataclass(frozen=True, kw_only=True)
class Product:
    """What is sold.

    Attributes:
        name: as it is printed.
        code: 13 digits, a short code of the shop, or empty.
        cents: its price.
    """

    name: str
    code: str
    cents: int


@dataclass(frozen=True, kw_only=True)
class Style:
    """How one merchant's receipts are printed.

    Attributes:
        colon: after a label: joined, after a blank, or absent.
        splits_colon: the recognizer gives the colon and the value as one piece, apart from the label.
        joins_value: the recognizer gives a label and its value as one piece.
        currency: printed before amounts of the totals, with its blank if it has one.
        quantity_pattern: of a quantity and a price in one piece.
        quantity_first: the quantity is in one piece with the product's name, before it.
        date_format: for ``strftime``.
        has_seconds: in times of day.
        tax_code: printed after amounts; empty where none is.
    """

    colon: str
    splits_colon: bool
    joins_value: bool
    currency: str
    date_format: str
    has_seconds: bool
    tax_code: str
    code_first: bool
    joins_code: bool
    joins_quantity: bool
    quantity_pattern: str
    quantity_first: bool
    joins_tax_code: bool
    has_discount: bool
    has_rounding: bool
    has_summary: bool
    headings: tuple[str, ...]
    title: str
    number_label: str
    number_prefix: str
    date_label: str
    time_label: str
    cashier_label: str
    phone_label: str
    registration_label: str
    tax_number_label: str
    subtotal_label: str
    discount_label: str
    tax_label: str
    rounding_label: str
    total_label: str
    paid_label: str
    change_label: str
    quantity_label: str
    summary_title: str
    summary_headings: tuple[str, ...]
    farewells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Merchant:
    """A shop and how it prints.

    Attributes:
        number: which one.
        name: its company name, as somebody would type it from the receipt.
        registration: of the company.
        tax_number: eleven digits and a prefix.
        notices: what it prints on every receipt beside the usual farewells.
        typical_items: items that a customer buys, the median.
    """

    number: int
    name: str
    trade: Trade
    registration: str
    tax_number: str
    phone: str
    address: tuple[str, ...]
    cashiers: tuple[str, ...]
    notices: tuple[str, ...]
    typical_items: float
    style: Style

    def product(self, source: random.Random) -> Product:
        """Something that a customer buys here."""
        number = heavy_tailed(source, PRODUCT_SCALE, PRODUCT_TAIL)
        trade = TRADES.index(self.trade)
        shared = stream("shared", self.number, number).random() < SHARED_PRODUCTS
        return _product(trade, "all" if shared else self.number, number)


@lru_cache(maxsize=65_536)
def _product(trade_number: int, owner: object, number: int) -> Product:
    source, trade = stream("product", trade_number, owner, number), TRADES[trade_number]
    noun = source.choice(trade.nouns)
    parts = [noun]
    if source.random() < ADJECTIVES:
        parts[:0] = source.sample(trade.adjectives, source.choice((1, 1, 2)))
    if source.random() < BRANDS:
        parts.insert(0, proper_name("brand", heavy_tailed(source, BRAND_SCALE, BRAND_TAIL)))
    if source.random() < MODELS and trade.uses_bar_codes:
        parts.append(f"{source.choice(LETTERS)}{source.choice(LETTERS)}{source.choice(('', '-'))}{digits(source, 3)}")
    if source.random() < SIZES:
        parts.append(_filled(source, source.choice(trade.sizes)))
    if trade.uses_bar_codes:
        code = bar_code(source) if source.random() < BAR_CODES else digits(source, source.choice((4, 5, 6, 7)))
    else:
        code = digits(source, 3) if source.random() < DISH_NUMBERS else ""
    return Product(name=" ".join(parts), code=code, cents=_cents(source, trade.price))


def _filled(source: random.Random, pattern: str) -> str:
    return "".join(str(source.randint(1, 9)) if character == "#" else character for character in pattern)


def _cents(source: random.Random, median: float) -> int:
    units = int(median * source.lognormvariate(0.0, PRICE_SPREAD))
    cents = source.randrange(100) if source.random() < ODD_PRICES else source.choice(PRICE_ENDINGS)
    return max(20, 100 * units + cents)


@lru_cache(maxsize=16_384)
def merchant(number: int) -> Merchant:
    """The merchant with this number."""
    source = stream("merchant", number)
    trade = source.choice(TRADES)
    parts = (proper_name("merchant", number), source.choice(trade.names), source.choice(words.LEGAL))
    town = proper_name("town", heavy_tailed(source, PLACE_SCALE, PLACE_TAIL))
    return Merchant(
        number=number,
        name=" ".join(part for part in parts if part),
        trade=trade,
        registration=_registration(source),
        tax_number=f"{digits(source, 12)}",
        phone=f"0{source.randint(1, 9)}-{digits(source, 4)}{source.choice(('', ' ', '-'))}{digits(source, 4)}",
        address=_address(source, town),
        cashiers=_cashiers(source),
        notices=tuple(_notice(source, pattern) for pattern in source.sample(words.NOTICES, source.randint(1, 5))),
        typical_items=source.choice((1.0, 1.2, 1.8, 2.6, 4.0)),
        style=_style(source),
    )


def _registration(source: random.Random) -> str:
    number = f"{digits(source, 6)}-{source.choice('ADHKMPTUVWX')}"
    return source.choice((f"({number})", number, f"({number})", f"{source.choice('JSK')}M{digits(source, 7)}-A"))


def _address(source: random.Random, town: str) -> tuple[str, ...]:
    street = (
        f"{proper_name('street', heavy_tailed(source, PLACE_SCALE * 3, PLACE_TAIL))} {source.choice(words.STREETS)}"
    )
    house = source.choice((f"{source.randint(1, 240)}", f"NO {source.randint(1, 99)}", f"UNIT {source.randint(1, 60)}"))
    first = source.choice((f"{house}, {street},", f"{house} {street}", f"{house},{street},"))
    lines = [first]
    if source.random() < 0.5:  # noqa: PLR2004 - half of the shops stand in something that has a name
        lines.append(f"{proper_name('place', source.randrange(60))} {source.choice(words.PLACES)},")
    lines.append(
        f"{source.randint(100, 989)}{source.choice(('00', '00', '50', '10'))} {town}{source.choice('.,  ')}".strip()
    )
    return tuple(lines)


def _cashiers(source: random.Random) -> tuple[str, ...]:
    if source.random() < 0.3:  # noqa: PLR2004 - a till and nobody's name
        return ("USER", "ADMIN", "CASHIER 1")[: source.randint(1, 3)]
    return tuple(source.choice(words.FIRST_NAMES) for _ in range(source.randint(1, 4)))


def _notice(source: random.Random, pattern: str) -> str:
    return pattern.format(
        name=proper_name("notice", source.randrange(10**9)),
        third=proper_name("notice", source.randrange(10**9)),
        other=proper_name("town", heavy_tailed(source, PLACE_SCALE, PLACE_TAIL)),
        digits=digits(source, source.choice((6, 7, 8))),
        hour=source.randint(7, 14),
        late=source.randint(5, 11),
    )


def _style(source: random.Random) -> Style:
    def is_so(share: float) -> bool:
        return source.random() < share

    return Style(
        colon=source.choice((" :", ":", ":", ":", "")),
        splits_colon=is_so(0.12),
        joins_value=is_so(0.2),
        currency=source.choice(("", "", "", "EUR ", "EUR", "$")),
        date_format=source.choice(("%d/%m/%Y", "%d/%m/%Y", "%d-%m-%Y", "%d/%m/%y", "%d %b %Y", "%d-%m-%y", "%Y-%m-%d")),
        has_seconds=is_so(0.5),
        tax_code=source.choice((*words.TAX_CODES, "", "S", "S")),
        code_first=is_so(0.5),
        joins_code=is_so(0.15),
        joins_quantity=is_so(0.35),
        quantity_pattern=source.choice(("{} X {}", "{} X {}", "{} @{}", "{} X ${}", "{} PCS @ {}")),
        quantity_first=is_so(0.15),
        joins_tax_code=is_so(0.25),
        has_discount=is_so(0.35),
        has_rounding=is_so(0.6),
        has_summary=is_so(0.7),
        headings=source.choice(words.HEADINGS),
        title=source.choice(words.TITLES),
        number_label=source.choice(words.NUMBER_LABELS),
        number_prefix=source.choice(("", "", "CS", "R", "OR", "INV-", "T1-", "A")),
        date_label=source.choice(words.DATE_LABELS),
        time_label=source.choice(words.TIME_LABELS),
        cashier_label=source.choice(words.CASHIER_LABELS),
        phone_label=source.choice(words.PHONE_LABELS),
        registration_label=source.choice(words.REGISTRATION_LABELS),
        tax_number_label=source.choice(words.TAX_NUMBER_LABELS),
        subtotal_label=source.choice(words.SUBTOTAL_LABELS),
        discount_label=source.choice(words.DISCOUNT_LABELS),
        tax_label=source.choice(words.TAX_LABELS),
        rounding_label=source.choice(words.ROUNDING_LABELS),
        total_label=source.choice(words.TOTAL_LABELS),
        paid_label=source.choice(words.PAID_LABELS),
        change_label=source.choice(words.CHANGE_LABELS),
        quantity_label=source.choice(words.QUANTITY_LABELS),
        summary_title=source.choice(words.SUMMARY_TITLES),
        summary_headings=source.choice(words.SUMMARY_HEADINGS),
        farewells=tuple(source.sample(words.FAREWELLS, source.randint(1, 3))),
    )
