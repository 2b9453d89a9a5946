"""Clients that repeat each action until they have a final response, and record all of them."""

import json
import random
import threading
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

ACTION_TIMEOUT = 60  # seconds, with all repetitions
RESPONSE_TIMEOUT = 6  # seconds


class NoFinalResponse(Exception):
    """An action got no final response in time."""


@dataclass
class Action:
    """What a client wants to do once, and the final response.

    Without a key it may be done more than once, but every response must be true.
    """

    kind: str
    path: str
    body: Any = None
    has_key: bool = True
    key: str = field(default_factory=lambda: uuid4().hex)
    # Of a seller; others have open access.
    token: str = ""
    attempts: int = 0
    status: int = 0
    response: Any = None


@dataclass
class Shop:
    """The keys of the products and of a coupon for redemptions, and the code of one for orders.

    `sellers` are tokens of the owners of stores, by the key of the store.
    """

    products: list[str]
    coupon: str
    code: str
    sellers: dict[str, str]


class Client(threading.Thread):
    """Buys and sells until it is stopped.

    That is, it places, pays, fulfils and cancels orders, redeems coupons and makes heroes.
    """

    def __init__(self, port: int, seed: int, shop: Shop, has_key: bool) -> None:
        super().__init__(daemon=True)
        self.port, self.shop, self.has_key = port, shop, has_key
        self.random = random.Random(seed)
        self.stopped = threading.Event()
        self.actions: list[Action] = []
        self.failure: BaseException | None = None
        self.connection: HTTPConnection | None = None

    def run(self) -> None:
        try:
            while not self.stopped.is_set():
                action = self._choose_action()
                self.actions.append(action)
                self._repeat_until_final(action)
        except BaseException as failure:
            self.failure = failure

    def _choose_action(self) -> Action:
        chance = self.random.random()
        placed = [
            action for action in self.actions if action.kind == "order" and action.status == 201
        ]
        if chance < 0.1:
            # Without a key it is one statement, which no COMMIT follows.
            return Action("hero", "/api/v2/heroes", {"nickname": uuid4().hex}, has_key=False)
        if chance < 0.2:
            return Action("redemption", f"/api/v2/coupons/{self.shop.coupon}/redemptions")
        if chance < 0.35 and placed:
            order = self.random.choice(placed[-5:])
            verb = self.random.choice(["pay", "cancel", "cancel"])
            return Action(verb, f"/api/v2/orders/{order.response['pk']}/{verb}")
        paid = [action for action in self.actions if action.kind == "pay" and action.status == 200]
        if chance < 0.55 and paid:
            return self._fulfilment(self.random.choice(paid[-5:]).response)
        if chance < 0.65 and placed:
            return Action("pay", f"/api/v2/orders/{placed[-1].response['pk']}/pay")
        return Action("order", "/api/v2/orders", self._random_cart())

    def _fulfilment(self, order: dict[str, Any]) -> Action:
        """Let one of the sellers of an order fulfil their items."""
        store = self.random.choice(order["items"])["store_id"]
        path = f"/api/v2/orders/{order['pk']}/fulfil"
        return Action("fulfil", path, token=self.shop.sellers[store])

    def _random_cart(self) -> dict[str, Any]:
        products = self.random.sample(self.shop.products, self.random.randint(1, 4))
        items = [{"product_id": pk, "quantity": self.random.randint(1, 3)} for pk in products]
        coupon = {"coupon_code": self.shop.code} if self.random.random() < 0.5 else {}
        return {"items": items, **coupon}

    def _repeat_until_final(self, action: Action) -> None:
        """Send the action until its response is final."""
        deadline = monotonic() + ACTION_TIMEOUT
        while monotonic() < deadline:
            action.attempts += 1
            received = self._try(action)
            if received and not self._is_temporary(*received):
                action.status, action.response = received
                return
            sleep(self.random.uniform(0.01, 0.1))
        raise NoFinalResponse(f"{action.kind} {action.key}: {received}")

    def _try(self, action: Action) -> tuple[int, Any] | None:
        """Return status and body of the response, or None if there was none."""
        body = json.dumps(action.body) if action.body else None
        headers = {"Content-Type": "application/json"} if action.body else {}
        if self.has_key and action.has_key:
            headers["Idempotency-Key"] = action.key
        if action.token:
            headers["Authorization"] = f"Bearer {action.token}"
        try:
            if self.connection is None:
                self.connection = HTTPConnection("127.0.0.1", self.port, timeout=RESPONSE_TIMEOUT)
            self.connection.request("POST", action.path, body, headers)
            response = self.connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, HTTPException, ValueError):
            if self.connection is not None:
                self.connection.close()
            self.connection = None
            return None

    @staticmethod
    def _is_temporary(status: int, body: Any) -> bool:
        """Return whether the response asks for a repetition."""
        return status == 503 or body.get("code") == "request-in-progress"
