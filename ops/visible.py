"""Makes text from data safe to print: every character that a terminal would act on is shown as an escape. Pure.

Rich markup and emoji codes are not its concern: ``console.py`` prints text literally.
"""

import json
import unicodedata

ACTED_ON = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that print nothing themselves: controls, direction and other format characters, surrogates, and
line and paragraph separators."""
JOINERS = "\u200c\u200d"
"""Format characters that Arabic, Indic scripts and emoji need to be written at all."""


def visible(text: str) -> str:
    r"""The text in one line, with what does not print written out, such as ``\x1b`` or ``\n``.

    Args:
        text: from a receipt, a file name, an error.
    """
    return "".join(
        character.encode("unicode_escape").decode() if _is_acted_on(character) else character for character in text
    )


def visible_lines(text: str) -> str:
    """The text in its own lines; all but the first are indented, so that none passes for a line of the command's."""
    return "\n    ".join(visible(line.expandtabs()) for line in text.split("\n"))


def visible_json(content: str) -> str:
    """JSON of the same value, in which what does not print is escaped as JSON does it."""
    return "".join(
        json.dumps(character)[1:-1] if _is_acted_on(character) and character != "\n" else character
        for character in content
    )


def _is_acted_on(character: str) -> bool:
    return unicodedata.category(character) in ACTED_ON and character not in JOINERS
