"""What a valid request cannot know by the document alone: keys, cursors and tags that exist,
addresses that are one's own.

Schemathesis loads this module.
"""

import os
import re
from functools import cache
from itertools import cycle
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import requests
import schemathesis
from schemathesis import Case, GenerationMode, HookContext
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

from alchemist.api.fields import Text
from tests.servers import TIMEOUT

# Where the rows are that a body may refer to.
REFERENCES = {"store_id": "stores", "potion_id": "potions", "hero_id": "heroes"}
# The fields of version 1 that take a number as text.
NUMBERS = {"price", "quantity", "init_count", "remaining_count"}
READ_ONLY = {
    *("pk", "created_at", "updated_at", "suspended_at", "store_id", "currency"),
    *("store", "remaining_count"),
}
OWN_TAG = re.compile(r'"[0-9a-f]{24}"')
asker = requests.Session()
asker.headers["Authorization"] = f"Bearer {os.environ['ALCHEMIST_TOKEN']}"


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    if case.meta is None:
        return
    base = case.operation.base_url.rstrip("/")
    _spare_oneself(base, case)
    # Schemathesis calls a header invalid in a case that it calls valid, if it has no example.
    is_negative = case.meta.generation.mode == GenerationMode.NEGATIVE
    wrong = {
        location
        for location, component in case.meta.components.items()
        if is_negative and component.mode == GenerationMode.NEGATIVE
    }
    if not wrong or ParameterLocation.BODY in wrong:
        _use_fitting_tag(case.headers)
    if not wrong:
        case.body = _without_read_only(case.operation.method, _make_visible(case.body))
        _use_numbers_in_range(case.body)
        case.query = _make_visible(case.query)
        _use_each_sort_key_once(case.query)
        _use_existing_ingredients(base, case.body)
        _use_existing_user(base, case.body)
        _use_existing_rows(base, case.body)
        _use_existing_goods(base, case.body)
        _use_what_goes_together(case.body)
        _use_fresh_names(case.body)
        _use_fresh_names(case.query)
        _use_time_to_come(case.body)
        _use_web_address(case.body)
        if case.meta.phase.name != TestPhase.STATEFUL and "user_id" in case.path_parameters:
            _use_existing_token(base, case.path_parameters)
        _use_fitting_cursor(base + case.formatted_path, case.query)
        _use_start_of_feed(case.query)
        _use_fresh_key(case.headers)
        _use_what_old_clients_know(base, case.body)


def _use_fitting_tag(headers: Any) -> None:
    """Let the request come as far as its body.

    A tag of the service itself stays: a link carried it over, and it fits or is old.
    """
    if "If-Match" in headers and not OWN_TAG.fullmatch(headers["If-Match"]):
        headers["If-Match"] = "*"


def _use_start_of_feed(query: Any) -> None:
    """Begin at the start: any other position is one that the feed has returned."""
    if isinstance(query, dict) and "after" in query:
        query["after"] = "start"


def _use_fresh_key(headers: Any) -> None:
    """Do not ask again, with a key of before, for the answer of before."""
    if "Idempotency-Key" in headers:
        headers["Idempotency-Key"] = uuid4().hex


def _use_existing_ingredients(base: str, body: Any) -> None:
    """Let a recipe name ingredients that there are, each of them once."""
    lines = body.get("ingredients") if isinstance(body, dict) else None
    if not isinstance(lines, list):
        return
    rows = asker.get(f"{base}/api/v2/ingredients?limit=200", timeout=TIMEOUT).json()
    names = {row["pk"]: row["name"] for row in rows}
    pairs = zip(lines, names, strict=False)
    body["ingredients"] = [
        {**line, "pk": pk, "name": names[pk]} if isinstance(line, dict) else pk
        for line, pk in pairs
    ]


def _without_read_only(method: str, body: Any) -> Any:
    """Leave out of a patch what must be equal to what is stored."""
    if method.upper() != "PATCH" or not isinstance(body, dict):
        return body
    return {name: value for name, value in body.items() if name not in READ_ONLY}


def _make_visible(value: Any) -> Any:
    """Add a letter to texts of invisible characters: the documented pattern accepts some."""
    if isinstance(value, dict):
        return {name: _make_visible(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_make_visible(member) for member in value]
    is_blank = isinstance(value, str) and value and not Text(max=len(value)).deserialize(value)
    return f"a{value[1:]}" if is_blank else value


def _use_each_sort_key_once(query: Any) -> None:
    """Sort by no key in both directions, which JSON Schema cannot forbid."""
    if isinstance(query, dict) and "sort" in query:
        sort = query["sort"]
        keys = sort.split(",") if isinstance(sort, str) else sort
        query["sort"] = ",".join({key.removeprefix("-"): key for key in keys}.values())


def _use_web_address(body: Any) -> None:
    """Name a website: Schemathesis takes any text for an IRI."""
    if isinstance(body, dict) and body.get("domain") is not None:
        body["domain"] = "https://ladle.example/größe"


def _use_numbers_in_range(body: Any) -> None:
    """Let text that spells a number spell a small one, and numbers for text have few digits.

    Version 1 takes both, and no schema can tell the range of a number in text. A quantity of more
    than a million costs too much.
    """
    if not isinstance(body, dict):
        return
    for total in body.get("expected_totals") or ():
        # Every currency has whole amounts.
        total["total"] = "7"
    for part in (body, *(item for item in body.get("items", ()) if isinstance(item, dict))):
        for name in NUMBERS & part.keys():
            if isinstance(part[name], str):
                part[name] = "7"
            elif part[name] is not None and part[name] > 1_000_000:
                part[name] = 7
        for name in part.keys() - NUMBERS:
            if isinstance(part[name], int | float) and len(str(part[name])) > 40:
                part[name] = 7


def _use_existing_rows(base: str, body: Any) -> None:
    for name, resource in REFERENCES.items():
        if isinstance(body, dict) and body.get(name) is not None:
            [row] = asker.get(f"{base}/api/v2/{resource}?limit=1", timeout=TIMEOUT).json()
            body[name] = row["pk"]


def _use_existing_goods(base: str, body: Any) -> None:
    """Order what there is, at prices at which 100 lines of a million fit into 12 digits."""
    lines = body.get("items") if isinstance(body, dict) else None
    if not isinstance(lines, list):
        return
    goods = asker.get(f"{base}/api/v2/products?limit=200&max_price=90", timeout=TIMEOUT).json()
    for line, product in zip(lines, cycle(goods), strict=False):
        line["product_id"] = product["pk"]
    if body.get("coupon_code") is not None:
        [coupon] = asker.get(f"{base}/api/v2/coupons?limit=1", timeout=TIMEOUT).json()
        body["coupon_code"] = coupon["code"]


def _use_what_goes_together(body: Any) -> None:
    """Let a coupon have no more uses left than it has, and begin before it ends."""
    if not isinstance(body, dict):
        return
    counts = body.get("init_count"), body.get("remaining_count")
    if None not in counts:
        body["remaining_count"] = min(map(int, counts))
    for name, year in (("valid_from", "1996"), ("valid_until", "2396")):
        if body.get(name) is not None:
            body[name] = f"{year}{body[name][4:]}"


@cache
def _oneself(base: str) -> str:
    pk: str = asker.get(f"{base}/api/v2/me", timeout=TIMEOUT).json()["user"]["pk"]
    return pk


def _somebody(base: str) -> str:
    """Return a new user, whose tokens may permit anything: those before may be gone by now."""
    address = f"{uuid4().hex}@alchemist.example"
    user = {"email": address, "full_name": "Somebody", "role": "admin"}
    pk: str = asker.post(f"{base}/api/v2/users", json=user, timeout=TIMEOUT).json()["pk"]
    return pk


def _spare_oneself(base: str, case: Case) -> None:
    """Keep the right to ask: change somebody else, and revoke tokens of others."""
    for name in ("pk", "user_id"):
        if case.method != "GET" and case.path_parameters.get(name) == _oneself(base):
            case.path_parameters[name] = _somebody(base)


def _use_existing_token(base: str, path: dict[str, Any]) -> None:
    """Name a user who is there and, where it is asked for, a token that is."""
    path["user_id"] = _somebody(base)
    if "pk" in path:
        tokens = f"{base}/api/v2/users/{path['user_id']}/tokens"
        path["pk"] = asker.post(tokens, json={"label": "Reserve"}, timeout=TIMEOUT).json()["pk"]


def _use_time_to_come(body: Any) -> None:
    """Let a token expire in the future, which no schema can tell; that year has every day."""
    if isinstance(body, dict) and body.get("expires_at") is not None:
        body["expires_at"] = f"2096{body['expires_at'][4:]}"


def _use_existing_user(base: str, body: Any) -> None:
    """Let a hero or a store belong to somebody who is there."""
    for name in ("user_id", "owner_id"):
        if isinstance(body, dict) and body.get(name) is not None:
            body[name] = _somebody(base)


def _use_fresh_names(body: Any) -> None:
    """Take no address or nickname a second time; of addresses, take one that people have."""
    if isinstance(body, dict) and "email" in body:
        body["email"] = f"{uuid4().hex}@alchemist.example"
    if isinstance(body, dict) and "nickname" in body:
        body["nickname"] = f"{str(body['nickname'])[:200]} {uuid4().hex}"


def _use_fitting_cursor(url: str, query: dict[str, Any]) -> None:
    """Continue the very list that is asked for, or start it if it has but one row."""
    if query.pop("cursor", None) is None:
        return
    filters = {
        name: ",".join(value) if isinstance(value, list) else value for name, value in query.items()
    }
    first = asker.get(url, params=filters | {"limit": "1"}, timeout=TIMEOUT)
    if "next" in first.links:
        query["cursor"] = parse_qs(urlsplit(first.links["next"]["url"]).query)["cursor"][0]


def _use_what_old_clients_know(base: str, body: Any) -> None:
    """Let version 1 name a store and products that are there; let prices end at the cent.

    No float is a multiple of a hundredth to the last digit.
    """
    if not isinstance(body, dict):
        return
    if "storeId" in body:
        body["storeId"] = _first(base, "stores")
    if isinstance(body.get("price"), float):
        body["price"] = round(body["price"], 2)
    for line in body.get("items", ()):
        if "productId" in line:
            line.pop("product_id", None)
            line["productId"] = _first(base, "products?max_price=90")


def _first(base: str, resource: str) -> str:
    pk: str = asker.get(f"{base}/api/v2/{resource}", timeout=TIMEOUT).json()[0]["pk"]
    return pk
