"""Makes text from data safe to print: every character that a terminal would act on is shown as an escape. Pure.

Rich markup and emoji codes are not its concern: ``console.py`` prints text literally.
"""

import unicodedata

ACTED_ON = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that print nothing themselves: controls, direction and other format characters, surrogates, and
line and paragraph separators."""
JOINERS = "\u200c\u200d"
"""Format characters that Arabic, Indic scripts and emoji need to be written at all."""


def visible(text: str, *, keep: str = "") -> str:
    r"""The text with what does not print written out, such as ``\x1b`` or ``\n``.

    Args:
        text: from a receipt, a file name, an error.
        keep: characters that stay as they are, such as the line breaks of an error of several lines.
    """
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in ACTED_ON and character not in keep and character not in JOINERS
        else character
        for character in text
    )
