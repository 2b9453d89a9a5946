"""The shop of Alchemist's own operations: what it sells, and what a customer finds there."""

import re
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import URL
from uuid_utils.compat import uuid7

from alchemist.domains.users import token_format
from tests.benchmarks import databases
from tests.benchmarks.measure import check
from tests.benchmarks.operations import Keys, Operation, is_page_of, is_potion
from tests.benchmarks.own import DEPTH, HEAD, LINES, LONGEST_PAGE, PLACE_ORDER, Shop
from tests.benchmarks.processes import Entry

BASKETS = 200
# No run is long enough to sell so many.
STOCK = 1_000_000_000_000
_STORE = ("Equal Measure", "1 Scale Street", "1000", "Brassel", "Belgium", "EUR")
_NEXT = re.compile(r'<([^>]*)>; rel="next"')


def fill(url: URL, keys: Keys) -> Shop:
    """Add a customer with a token, and a store with products, to the rows that are there."""
    store, customer, token = uuid7(), uuid7(), token_format.generate()
    products = [uuid7() for _ in range(BASKETS * LINES)]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    rows: dict[str, list[tuple[object, ...]]] = {
        "users (pk, email, full_name)": [(customer, "ada@alchemist.example", "Ada")],
        "tokens (pk, user_id, label, digest, expires_at)": [
            (uuid7(), customer, "benchmark", token_format.digest(token), tomorrow)
        ],
        "stores (pk, name, street, zipcode, city, country, currency)": [(store, *_STORE)],
        "products (pk, store_id, currency, name, price, stock)": [
            (pk, store, "EUR", f"product {number}", "9.99", STOCK)
            for number, pk in enumerate(products)
        ],
    }
    databases.copy(url, rows)
    texts = [str(pk) for pk in products]
    baskets = tuple(tuple(texts[at : at + LINES]) for at in range(0, len(texts), LINES))
    return Shop(**asdict(keys), token=token, baskets=baskets)


def visit(entry: Entry, shop: Shop) -> Shop:
    """Ask a service of this shop for what only it can tell: an order, an ETag, a far cursor."""
    _, order = check(entry, PLACE_ORDER)
    headers, _ = check(entry, HEAD)
    return replace(shop, order=order["pk"], etag=headers["ETag"], cursor=_cursor(entry))


def _cursor(entry: Entry) -> str:
    """Walk the longest pages of potions, by the links to the next."""
    first, cursor = f"/potions?limit={LONGEST_PAGE}", ""
    for _ in range(DEPTH // LONGEST_PAGE):
        path = f"{first}&cursor={cursor}" if cursor else first
        page = Operation("walk", "", path, is_page_of(is_potion, LONGEST_PAGE))
        headers, _ = check(entry, page)
        following = _NEXT.search(headers["Link"])
        assert following, headers["Link"]
        cursor = parse_qs(urlsplit(following[1]).query)["cursor"][0]
    return cursor
