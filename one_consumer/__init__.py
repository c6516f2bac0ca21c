"""One queue, one consumer, for any stack: the guard that is distributed by itself, as the package ``one-consumer``.

``pack`` judges a Pulumi program, ``claim`` is used in one, ``live`` looks at an account, and ``audit`` judges what it
sees. Nothing here knows receipts: the rest of this repository uses the guard as any other project does.
"""

from typing import Final

VERSION: Final = "1.2.0"
"""Of the distribution, and of the policy pack as Pulumi shows it."""
