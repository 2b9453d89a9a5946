"""Clients that repeat what was not answered until it is, and write down what they were told."""

import json
import random
import threading
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

PATIENCE = 60  # seconds for one act, all repetitions included
TIMEOUT = 6  # seconds for one answer


class Unanswered(Exception):
    """An act that got no final answer in time."""


@dataclass
class Act:
    """Something that a client wants done once, and the final answer to it.

    One that is not `keyed` may be done more often, but no answer to it may be a lie.
    """

    kind: str
    path: str
    body: Any = None
    keyed: bool = True
    key: str = field(default_factory=lambda: uuid4().hex)
    tries: int = 0
    status: int = 0
    answer: Any = None


@dataclass
class Shop:
    """Keys of products, that of a coupon to redeem alone, and the code of one for orders."""

    products: list[str]
    coupon: str
    code: str


class Client(threading.Thread):
    """Places, pays and cancels orders, redeems coupons and makes heroes until told to stop."""

    def __init__(self, port: int, seed: int, shop: Shop, keyed: bool) -> None:
        super().__init__(daemon=True)
        self.port, self.shop, self.keyed = port, shop, keyed
        self.random = random.Random(seed)
        self.over = threading.Event()
        self.acts: list[Act] = []
        self.failure: BaseException | None = None
        self.connection: HTTPConnection | None = None

    def run(self) -> None:
        try:
            while not self.over.is_set():
                act = self._choose()
                self.acts.append(act)
                self._insist(act)
        except BaseException as failure:
            self.failure = failure

    def _choose(self) -> Act:
        chance = self.random.random()
        placed = [act for act in self.acts if act.kind == "order" and act.status == 201]
        if chance < 0.1:
            # Without a key it is one statement, which no COMMIT follows.
            return Act("hero", "/api/v2/heroes", {"nickname": uuid4().hex}, keyed=False)
        if chance < 0.2:
            return Act("redemption", f"/api/v2/coupons/{self.shop.coupon}/redemptions")
        if chance < 0.45 and placed:
            order = self.random.choice(placed[-5:])
            verb = self.random.choice(["pay", "cancel", "cancel"])
            return Act(verb, f"/api/v2/orders/{order.answer['pk']}/{verb}")
        return Act("order", "/api/v2/orders", self._basket())

    def _basket(self) -> dict[str, Any]:
        some = self.random.sample(self.shop.products, self.random.randint(1, 4))
        items = [{"product_id": pk, "quantity": self.random.randint(1, 3)} for pk in some]
        coupon = {"coupon_code": self.shop.code} if self.random.random() < 0.5 else {}
        return {"items": items, **coupon}

    def _insist(self, act: Act) -> None:
        """Repeat the act until it has an answer that is final."""
        deadline = monotonic() + PATIENCE
        while monotonic() < deadline:
            act.tries += 1
            answered = self._try(act)
            if answered and not self._is_passing(*answered):
                act.status, act.answer = answered
                return
            sleep(self.random.uniform(0.01, 0.1))
        raise Unanswered(f"{act.kind} {act.key}: {answered}")

    def _try(self, act: Act) -> tuple[int, Any] | None:
        """Return status and body of an answer; None if there was none."""
        body = json.dumps(act.body) if act.body else None
        headers = {"Content-Type": "application/json"} if act.body else {}
        if self.keyed and act.keyed:
            headers["Idempotency-Key"] = act.key
        try:
            if self.connection is None:
                self.connection = HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
            self.connection.request("POST", act.path, body, headers)
            response = self.connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, HTTPException, ValueError):
            if self.connection is not None:
                self.connection.close()
            self.connection = None
            return None

    @staticmethod
    def _is_passing(status: int, answer: Any) -> bool:
        """Tell whether the answer says to come again."""
        return status == 503 or answer.get("code") == "request-in-progress"
