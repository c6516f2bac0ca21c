"""The page of a shop with one receipt, for every test of the page."""

import pytest

from tests.operations.published import Shop
from tests.page.served import Served, serve_page


@pytest.fixture
def page(shop: Shop) -> Served:
    return serve_page(shop)
