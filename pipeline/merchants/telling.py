"""Which words of a merchant's name tell it from others, and how like two names are in these. Pure.

CORNER BAKERY and HARBOR BAKERY are alike in the letters of their trade, which says nothing about the merchant. A word
tells nothing when it names a trade, or when the names of several known merchants have it: the chains and towns that
repeat where the receipts are from. Where no word is left, all of them count, because there is nothing better.

What the words of a name are is in ``spelling.py``, and which names are compared in ``names.py``.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from itertools import combinations

from rapidfuzz import fuzz

from pipeline.merchants.spelling import GENERIC_WORDS, Spelling

SAME_NAME = 90.0
"""rapidfuzz's ratio, 0 to 100, from which two names are spellings of one. Measured as ``names.LIKENESS_FLOOR``."""

SAME_WORD = 75.0
"""The same for two words: one letter of four may be misread, so BOOL is BOOK."""

_TRADES = """
    bakery bakers bakehouse cakes confectionery patisserie butcher butchers deli delicatessen grocery grocer grocers
    groceries mart minimart minimarket supermarket hypermarket convenience food foods seafood fruit vegetables
    beverages drinks wine wines liquor coffee tea juice bar pub grill bistro diner kitchen eatery restaurants canteen
    catering pizza pizzeria burger noodle noodles sushi steakhouse takeaway inn motel
    pharmacy drugstore chemist clinic dental medical optical optician veterinary
    hardware tools electrical electronics electric lighting paint timber plumbing building materials machinery
    furniture furnishing garden nursery florist flowers gifts toys book books bookstore bookshop stationery printing
    paper fashion clothing apparel boutique shoes footwear textile tailor jewellery jewelry jewellers
    petrol petroleum fuel gas station service services garage auto motor motors tyre tyres car wash parking transport
    laundry cleaners salon barber beauty cosmetics spa fitness sports cinema theatre
    telecom telecommunication mobile phone computer computers software
    trading traders trade enterprise enterprises industry industries manufacturing marketing management holdings group
    international import export wholesale retail supply supplies distribution distributors commercial outlet
    department house centre center plaza mall
    backerei konditorei metzgerei fleischerei apotheke drogerie markt supermarkt getranke gasthaus gasthof gaststatte
    tankstelle baumarkt buchhandlung blumen friseur
    boulangerie boucherie charcuterie epicerie pharmacie marche supermarche librairie papeterie fleuriste brasserie
    auberge magasin
    panaderia pasteleria carniceria farmacia mercado supermercado libreria papeleria restaurante cafeteria ferreteria
    tienda
    panetteria pasticceria macelleria mercato supermercato ristorante trattoria caffe ferramenta tabacchi
    kedai restoran runcit perniagaan pasaraya farmasi syarikat perusahaan
"""
TRADE_WORDS = frozenset(_TRADES.split())
"""Words of trades, without accents: shops, food and repair as ISIC divides them (Rev. 4, sections G, I and S), and what
companies that trade call themselves, in the languages of ``GENERIC_WORDS``. A name may consist of them (THE BAKERY):
they are left out of a comparison only, never out of the name."""

_UNTELLING = TRADE_WORDS | GENERIC_WORDS

_SHAPES = (("rn", "m"), ("vv", "w"), ("0", "o"), ("1", "l"), ("i", "l"), ("5", "s"), ("8", "b"), ("2", "z"))
"""Letters that look alike, which engines take for each other, and what both become; pairs first (``docs/facts.md``)."""


def shape(text: str) -> str:
    """The letters of a folded name without the differences that engines confuse: B0ULANGERlE is BOULANGERIE."""
    for seen, same in _SHAPES:
        text = text.replace(seen, same)
    return text


def shared_words(names: Iterable[Spelling]) -> frozenset[str]:
    """The words that the names of several merchants have.

    Spellings of one merchant are no two merchants: a name that somebody mistyped must not take all its words away.
    """
    cores: dict[str, set[str]] = defaultdict(set)
    for name in names:
        for word in name.words:
            cores[word].add(name.core)
    return frozenset(word for word, several in cores.items() if _are_several(sorted(several)))


def _are_several(cores: Sequence[str]) -> bool:
    return any(fuzz.ratio(one, other) < SAME_NAME for one, other in combinations(cores, 2))


def likeness(known: Spelling, read: Spelling, shared: Set[str] = frozenset()) -> float:
    """How like ``read`` is to a known name in the words that tell it, 0 to 100.

    Args:
        known: the known name.
        read: what a receipt says.
        shared: of ``shared_words``.
    """
    if not known.core:
        return 0.0
    left_out = [word for word in known.words if word in _UNTELLING or word in shared]
    if len(left_out) == len(known.words):
        return fuzz.ratio(shape(known.core), shape(read.core))
    kept = "".join(word for word in known.words if word not in left_out)
    rest = "".join(
        word
        for word in read.words
        if word not in _UNTELLING and word not in shared and not any(_is_same_word(word, one) for one in left_out)
    )
    return fuzz.ratio(shape(kept), shape(rest))


def share_a_trade(known: Spelling, read: Spelling) -> bool:
    """Whether ``read`` has a word for the trade of ``known`` and others beside it, as a shop of the same trade has."""
    trade = TRADE_WORDS.intersection(known.words)
    return not trade.isdisjoint(read.words) and not _UNTELLING.issuperset(read.words)


def _is_same_word(word: str, other: str) -> bool:
    return fuzz.ratio(shape(word), shape(other)) >= SAME_WORD
