"""The page over a published version, for tests: moto for S3 and the table, snapshots that a test sets."""

from dataclasses import dataclass

from ops.page.application import Feed, build_application
from ops.watching.snapshot import Snapshot
from tests.operations.published import Receipt, Shop
from tests.watching.snapshots import CONTROLS, IMAGE, MARKUP, PLAIN

PORT = 8080
RECEIPT = Receipt(image=IMAGE, merchant=f"SHOP {MARKUP}", texts=["OAT MILK 2.10", f"{MARKUP}{CONTROLS}", "TOTAL 2.10"])


@dataclass
class Served:
    """A page and what it shows.

    Attributes:
        seen: the next snapshot, or the error of the next look.
    """

    shop: Shop
    seen: Snapshot | Exception = PLAIN
    looks: int = 0

    def look(self) -> Snapshot:
        self.looks += 1
        if isinstance(self.seen, Exception):
            raise self.seen
        return self.seen

    def application(self, port: int = PORT):
        return build_application(Feed(look=self.look), lambda: self.shop.target, port=port)


def serve_page(shop: Shop) -> Served:
    """The page of a shop with one receipt."""
    shop.publish(RECEIPT)
    shop.publish(RECEIPT, collection="words")
    shop.record(RECEIPT)
    return Served(shop)
