"""How texts are searched by their letters: what is indexed of a text, and the query that finds it. Pure.

A text is folded before it is indexed, and a query is folded the same way, so that case, Unicode form and accents do not
matter. SQLite's trigram tokenizer has no term for one or two characters, so words have an index of their own.
"""

import re
import unicodedata
from collections.abc import Mapping

from rapidfuzz.distance import OSA

TRIGRAM = 3
TRIGRAMS_ASKED = 48
"""Terms of one query at most; a line of a receipt has about 20. It bounds the time of a long query."""
WORDS_ASKED = 16
SHARED_TRIGRAMS = 0.2
"""Of a query's trigrams, more than which a text must have to be like it in its letters."""
FEWEST_LETTERS = 4
"""Of a query that may have a typing error; a shorter one would be nearly every short text."""

NOT_AFTER_A_NUMBER, NOT_BEFORE_A_NUMBER = r"(?<!\d)(?<!\d[.,])", r"(?!\d)(?![.,]\d)"
"""Around a number: letters may touch it, as a currency does, and digits may not."""


def fold_text(text: str) -> str:
    """What is indexed of a text: compatibility form, folded case, no accents, single blanks, no NUL.

    SQLite 3.40.1, the version of Debian 12, cannot remove accents in its trigram tokenizer, and its FTS5 reads a text
    up to the first NUL only.
    """
    if text.isascii():
        return " ".join(text.casefold().replace("\0", " ").split())
    # Decomposed first: a letter such as U+1D4D0 has a case only in its compatibility form.
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    letters = "".join(character for character in decomposed if not unicodedata.combining(character))
    return " ".join(unicodedata.normalize("NFKC", letters).replace("\0", " ").split())


def shares_letters(query: str, text: str) -> bool:
    """Whether a word of the query stands in the text, or enough of its trigrams; of a short query, all of it."""
    asked, found = fold_text(query), fold_text(text)
    if any(word in found for word in asked.split() if len(word) >= TRIGRAM) or asked in found:
        return True
    trigrams = {asked[start : start + TRIGRAM] for start in range(len(asked) - TRIGRAM + 1)}
    return sum(trigram in found for trigram in trigrams) > SHARED_TRIGRAMS * len(trigrams)


def trigram_query(folded: str) -> str | None:
    """The FTS5 expression that matches texts with any of the query's trigrams; None for fewer than three characters."""
    trigrams = list(dict.fromkeys(folded[start : start + TRIGRAM] for start in range(len(folded) - TRIGRAM + 1)))
    if len(trigrams) > TRIGRAMS_ASKED:
        step = len(trigrams) / TRIGRAMS_ASKED
        trigrams = [trigrams[int(number * step)] for number in range(TRIGRAMS_ASKED)]
    return " OR ".join(map(_quoted, trigrams)) or None


def literal_query(folded: str) -> tuple[bool, str] | None:
    """The FTS5 expression that matches texts that contain the query as it is; None for an empty one.

    Returns:
        Whether it is for the trigrams, else for the words; and the expression.
    """
    return (len(folded) >= TRIGRAM, _quoted(folded)) if folded else None


def closeness(query: str, text: str) -> int:
    """How a text contains a query.

    Returns:
        0 as its whole, 1 as whole words or a whole number, 2 inside of others, such as "1.50" in "11.50".
    """
    asked, found = fold_text(query), fold_text(text)
    if asked == found:
        return 0
    before = NOT_AFTER_A_NUMBER if asked[:1].isdigit() else r"(?<!\w)"
    after = NOT_BEFORE_A_NUMBER if asked[-1:].isdigit() else r"(?!\w)"
    return 1 if re.search(before + re.escape(asked) + after, found) else 2


def nearly(query: str, texts: Mapping[int, str]) -> list[int]:
    """Of some texts those that are the query but for one typing error, in their order.

    That is a character missing, too many, wrong, or in its neighbour's place. In numbers there are none: one digit off
    is another number.
    """
    asked = fold_text(query)
    if sum(map(str.isalpha, asked)) < FEWEST_LETTERS:
        return []
    digits = _digits(asked)
    return [
        number
        for number, text in texts.items()
        if OSA.distance(asked, found := fold_text(text), score_cutoff=1) <= 1 and _digits(found) == digits
    ]


def word_query(folded: str) -> str | None:
    """The FTS5 expression that matches texts with any word of the query; None when there is none."""
    words = list(dict.fromkeys(folded.split()))[:WORDS_ASKED]
    return " OR ".join(map(_quoted, words)) or None


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def _quoted(term: str) -> str:
    # A quoted string is a phrase whatever is in it, operators of FTS5 included (sqlite.org/fts5.html, section 3.1).
    return '"' + term.replace('"', '""') + '"'
