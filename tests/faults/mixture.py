"""A client that sends random requests of all kinds, with random tokens."""

import json
import random
import re
from collections import Counter
from http.client import HTTPConnection, HTTPResponse
from typing import Any, NamedTuple
from uuid import uuid4

from alchemist.cli import sample_data
from tests.factories import bearer

TIMEOUT = 30  # seconds
KINDS = ("ingredients", "potions", "stores", "products", "heroes", "coupons", "orders")
# Values of the filters of each list, of which a request has some.
FILTERS: dict[str, dict[str, list[str]]] = {
    "ingredients": {"q": ["root", "dust", "moon"], "name": ["Moonstone dust", "Nothing"]},
    "potions": {"q": ["tea", "of"], "name": ["Slow tea"]},
    "stores": {"q": ["ladle"], "currency": ["EUR", "GBP"], "city": ["Brassel"]},
    "products": {
        "q": ["pot"],
        "min_price": ["1", "2.50"],
        "max_price": ["9"],
        "in_stock": ["true"],
    },
    "heroes": {"q": ["thistle"], "role": ["mage", "priest"]},
    "coupons": {"active": ["true", "false"]},
    "orders": {"status": ["placed", "paid"]},
    "users": {"q": ["ada"], "role": ["admin", "customer"]},
    "audit": {"resource": ["ingredients", "heroes"]},
}
# The sorts of the list that has most of them.
SORTS = ("pk", "name", "price", "created_at")
V1_PATHS = ("potions", "stores/", "products/", "orders/", "user/get-users", "health", "nowhere")
NEXT = re.compile(r'<([^>]+)>; rel="next"')


class Request(NamedTuple):
    """A request, and the statuses that its response may have."""

    path: str
    statuses: tuple[int, ...] = (200,)
    method: str = "GET"
    body: Any = None
    headers: dict[str, str] = {}


class Client:
    """Sends random requests on one connection; `statuses` counts the responses by their status."""

    def __init__(self, port: int, seed: int, secrets: list[str]) -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        self.random, self.secrets = random.Random(seed), secrets
        self.keys = {kind: [row["pk"] for row in sample_data.sample_rows(kind)] for kind in KINDS}
        self.statuses: Counter[int] = Counter()
        self.wrong_responses: list[str] = []
        self.seen: Request | None = None
        self.next: str | None = None

    def send_unusual_requests(self, times: int) -> None:
        for _ in range(times):
            self._exchange(self.unusual_list_request())

    def send_requests(self, times: int) -> None:
        kinds, weights = zip(*WEIGHTS.items(), strict=True)
        for kind in self.random.choices(kinds, weights, k=times):
            self._exchange(kind(self))

    def _exchange(self, request: Request) -> None:
        headers = bearer(self.random.choice(self.secrets), **request.headers)
        body = None if request.body is None else json.dumps(request.body)
        if body:
            headers["Content-Type"] = "application/json"
        self.connection.request(request.method, request.path, body, headers)
        response = self.connection.getresponse()
        content = response.read()
        self.statuses[response.status] += 1
        if response.status not in request.statuses:
            self.wrong_responses.append(f"{request}: {response.status} {content[:300]!r}")
        self._remember(request, response)

    def _remember(self, request: Request, response: HTTPResponse) -> None:
        if (etag := response.headers["ETag"]) and request.method == "GET":
            self.seen = Request(request.path, (200, 304), headers={"If-None-Match": etag})
        if link := NEXT.search(response.headers["Link"] or ""):
            self.next = link[1]

    def _some_path(self) -> str:
        kind = self.random.choice(KINDS)
        return f"/api/v2/{kind}/{self.random.choice(self.keys[kind])}"

    def read(self) -> Request:
        return Request(self._some_path())

    def revalidate(self) -> Request:
        return self.seen or self.read()

    def browse(self) -> Request:
        kind = self.random.choice(list(FILTERS))
        return Request(self._list(kind, limit=str(self.random.randint(1, 50))))

    def unusual_list_request(self) -> Request:
        names = self.random.sample(SORTS, self.random.randint(1, len(SORTS)))
        sort = ",".join(self.random.choice(["", "-"]) + name for name in names)
        count = {"count": "exact"} if self.random.random() < 0.5 else {}
        return Request(self._list("products", sort=sort, limit="3", **count))

    def _list(self, kind: str, **parameters: str) -> str:
        filters = FILTERS[kind]
        for name in self.random.sample(list(filters), self.random.randint(0, len(filters))):
            parameters[name] = self.random.choice(filters[name]).replace(" ", "%20")
        return f"/api/v2/{kind}?" + "&".join(f"{name}={is_}" for name, is_ in parameters.items())

    def find_by_ingredients(self) -> Request:
        keys = self.random.sample(self.keys["ingredients"], self.random.randint(1, 20))
        name = self.random.choice(["ingredient", "brewable_with"])
        return Request(f"/api/v2/potions?{name}={','.join(keys)}")

    def next_page(self) -> Request:
        return Request(self.next) if self.next else self.browse()

    def create(self) -> Request:
        body = {
            "name": f"Ingredient {uuid4().hex}",
            "description": "x" * self.random.randint(1, 999),
        }
        headers = {"Idempotency-Key": uuid4().hex} if self.random.random() < 0.5 else {}
        return Request("/api/v2/ingredients", (201,), "POST", body, headers)

    def change(self) -> Request:
        path = f"/api/v2/ingredients/{self.random.choice(self.keys['ingredients'])}"
        body = {"description": f"It was seen {self.random.random()}."}
        return Request(path, (200,), "PATCH", body, {"If-Match": "*"})

    def quote(self) -> Request:
        item = {"product_id": self.random.choice(self.keys["products"]), "quantity": 10_000}
        return Request("/api/v2/orders/quote", (200, 409), "POST", {"items": [item]})

    def request_missing_row(self) -> Request:
        template = self.random.choice(["ingredients/{}", "orders/{}", "{}", "potions/x{}"])
        return Request(f"/api/v2/{template.format(uuid4())}", (404,))

    def send_invalid_request(self) -> Request:
        if self.random.random() < 0.5:
            return Request(f"/api/v2/products?{uuid4().hex}=1&sort={uuid4().hex}", (422,))
        body = {uuid4().hex: 1, "ingredients": [str(uuid4())]}
        return Request("/api/v2/potions", (422,), "POST", body)

    def read_v1(self) -> Request:
        path = self.random.choice(V1_PATHS)
        return Request(f"/api/v1/{path}", (404 if path == "nowhere" else 200,))


# How often each is chosen, in a hundred. A shape that is new costs as much as ten that are not.
WEIGHTS = {
    Client.read: 27,
    Client.revalidate: 10,
    Client.browse: 18,
    Client.unusual_list_request: 2,
    Client.find_by_ingredients: 6,
    Client.next_page: 6,
    Client.create: 7,
    Client.change: 3,
    Client.quote: 2,
    Client.request_missing_row: 6,
    Client.send_invalid_request: 6,
    Client.read_v1: 7,
}
