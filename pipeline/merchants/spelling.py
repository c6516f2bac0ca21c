"""What a merchant's name is apart from how it is printed: case, punctuation, legal form, bracketed parts. Pure.

It compares nothing by likeness and knows no receipt: that is ``names.py``.
"""

import re
import unicodedata
from dataclasses import dataclass

from pipeline.merchants.lines import MINIMUM_LETTERS, letters_in

SHORTEST_NAME = 3
"""Letters of a name that decides when a whole line equals it: KFC does, A1 does not. See ``letters_in``."""

_LEGAL_FORMS = """
    ltd limited
    co company
    corp corporation
    inc incorporated
    llc l.l.c
    llp l.l.p
    plc p.l.c
    pte private pvt
    pty proprietary
    sdn sendirian
    bhd berhad
    sdn+bhd s.b sdnbhd
    plt
    tbk
    gmbh
    ag a.g
    kg k.g
    ohg o.h.g
    ug
    gbr
    e.k
    sa s.a
    sas s.a.s sasu
    sarl s.a.r.l eurl
    snc s.n.c
    sl s.l slu s.l.u
    srl s.r.l
    s.p.a
    ltda lda
    bv b.v
    nv n.v
    ab a.b
    aps
    oy oyj
    a.s
    s.r.o
    d.o.o
    kft
    zrt
    有限公司 股份有限公司
    株式会社
    有限会社
    合同会社
"""
"""Legal forms of companies at the end of a name, one a line with its other spellings; a slash is read as a dot.

The usual ones of https://en.wikipedia.org/wiki/List_of_legal_entity_types_by_country. Forms that are words as well
(SPA, AS) are here with their dots only. A form that is missing stays a part of the name: both sides have to spell it.
"""

_GENERIC = """
    tax invoice simplified cash bill receipt sales official customer copy original duplicate reprint order ticket no
    number date time total subtotal amount welcome thank you the a an to please come again counter cashier table pos
    delivery note credit debit card sale payment slip and of store shop market company restaurant cafe hotel branch
    unknown none null
    rechnung quittung kassenbon beleg bon kasse danke facture recu merci factura recibo gracias ricevuta scontrino
    resit terima kasih
"""
GENERIC_WORDS = frozenset(_GENERIC.split())
"""Words on any merchant's receipts, without accents. A name of these alone names no merchant."""

_FORMS = {
    spelling: frozenset(spellings[0].split("+"))
    for spellings in map(str.split, _LEGAL_FORMS.strip().splitlines())
    for spelling in spellings
    if "+" not in spelling
}
# Written without blanks, before the name or after it; the longest first, because one is the end of another.
_WIDE_FORMS = sorted((form for form in _FORMS if form > "\u2e7f"), key=len, reverse=True)
_BRACKETS = re.compile(r"[(\[{【]([^)\]}】]*)(?:[)\]}】]|$)")
_TOKENS = re.compile(r"\b[^\W\d_](?:[./][^\W\d_]\b)+|[^\W_]+")

_LONG_NUMBER = re.compile(r"\d{4}")
"""How a registration number begins; the number of a branch is shorter."""


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """The parts of a name.

    Attributes:
        words: of the name itself, without accents, legal form and brackets.
        legal_form: what the legal form at its end consists of; empty when there is none.
        qualifiers: bracketed parts of letters only. A bracket with a digit is a registration number and dropped.
    """

    words: tuple[str, ...]
    legal_form: frozenset[str]
    qualifiers: frozenset[str]

    @property
    def core(self) -> str:
        """The letters and digits of the name itself: what spellings of one merchant share."""
        return "".join(self.words)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numbers in it. SHOP 7 is not SHOP 1, however alike; digits within words are misread letters."""
        return tuple(word for word in self.words if word.isdigit())

    @property
    def is_generic(self) -> bool:
        """Whether all its words are on any merchant's receipts."""
        return all(word in GENERIC_WORDS or word.isdigit() for word in self.words)

    @property
    def is_distinctive(self) -> bool:
        """Whether the name identifies a merchant, without its legal form and brackets."""
        return letters_in(self.core) >= MINIMUM_LETTERS and not self.is_generic

    def agrees_with(self, other: "Spelling") -> bool:
        """Whether nothing that both say differs; cores are compared by the caller.

        A legal form or a bracketed part that is missing on one side says nothing. Two different ones are two companies.
        """
        forms = self.legal_form <= other.legal_form or other.legal_form <= self.legal_form
        qualifiers = not self.qualifiers or not other.qualifiers or self.qualifiers == other.qualifiers
        return forms and qualifiers


def spell(text: str) -> Spelling:
    """Take a name, or a line that may be one, into its parts.

    A bracket that is not closed reaches to the end, because a long name is often cut there.
    """
    folded = _folded(text).replace("(株)", "株式会社")
    brackets = [_letters_and_digits(part) for part in _BRACKETS.findall(folded)]
    tokens = _tokens(_BRACKETS.sub(" ", folded))
    if not tokens:
        # All of it is in brackets.
        tokens, brackets = _tokens(folded), []
    tokens = _without_registration(tokens)
    legal_form: set[str] = set()
    # The last word is never taken for a legal form: LIMITED is a shop.
    while len(tokens) > 1 and tokens[-1] in _FORMS:
        legal_form |= _FORMS[tokens.pop()]
    for form in _WIDE_FORMS:
        for place, cut in ((0, str.removeprefix), (-1, str.removesuffix)):
            rest = cut(tokens[place], form) if tokens else ""
            if rest and rest != tokens[place]:
                tokens[place] = rest
                legal_form |= _FORMS[form]
    return Spelling(
        words=tuple(token.replace(".", "") for token in tokens),
        legal_form=frozenset(legal_form),
        qualifiers=frozenset(part for part in brackets if part and not any(map(str.isdigit, part))),
    )


def merchant_key(name: str) -> str:
    """What prints of one spelling have in common: its letters and digits, whatever the case and punctuation."""
    return _letters_and_digits(unicodedata.normalize("NFKC", name).casefold()) or name


def _folded(text: str) -> str:
    """Without case, compatibility forms and accents: printers of receipts drop accents, and OCR engines do."""
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    # Only the accents of alphabets: those of kana make another sound.
    return unicodedata.normalize("NFC", "".join(one for one in parts if not "\u0300" <= one <= "\u036f"))


def _tokens(folded: str) -> list[str]:
    return [token.replace("/", ".") for token in _TOKENS.findall(folded)]


def _without_registration(tokens: list[str]) -> list[str]:
    """Without the number of a register, and what follows it, behind a legal form: GREENLEAF LTD 273500-U."""
    for place in range(1, len(tokens) - 1):
        if tokens[place] in _FORMS and _LONG_NUMBER.match(tokens[place + 1]):
            return tokens[: place + 1]
    return tokens


def _letters_and_digits(text: str) -> str:
    return "".join(character for character in text if character.isalnum())
