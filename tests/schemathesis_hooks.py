"""Replace what the document alone cannot make valid: keys, cursors, ETags and unique names.

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
from marshmallow import ValidationError
from schemathesis import Case, GenerationMode, HookContext
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

from alchemist.api.fields import Text
from tests.servers import TIMEOUT

# The resources that the fields of a body refer to.
REFERENCES = {"store_id": "stores", "potion_id": "potions", "hero_id": "heroes"}
# The fields of version 1 that take a number as text.
NUMBERS = {"price", "quantity", "init_count", "remaining_count"}
READ_ONLY = {
    *("pk", "created_at", "updated_at", "suspended_at", "store_id", "currency"),
    *("store", "remaining_count"),
}
POSITION = "Alchemist-Position"
SERVICE_ETAG = re.compile(r'"[0-9a-f]{24}"')
http = requests.Session()
http.headers["Authorization"] = f"Bearer {os.environ['ALCHEMIST_TOKEN']}"


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    if case.meta is None:
        return
    base = case.operation.base_url.rstrip("/")
    _protect_own_token(base, case)
    # Schemathesis calls a header invalid in a case that it calls valid, if it has no example.
    is_negative = case.meta.generation.mode == GenerationMode.NEGATIVE
    wrong = {
        location
        for location, component in case.meta.components.items()
        if is_negative and component.mode == GenerationMode.NEGATIVE
    }
    if not wrong or ParameterLocation.BODY in wrong:
        _use_matching_etag(case.headers)
    if ParameterLocation.QUERY not in wrong:
        _request_all_members(case.query)
    if not wrong:
        case.body = _without_read_only(case.operation.method, _make_visible(case.body))
        # A batch of one: two entries could have the same unique value.
        case.body = case.body[:1] if isinstance(case.body, list) else case.body
        for body in case.body if isinstance(case.body, list) else [case.body]:
            _use_valid_body(base, body)
        case.query = _make_visible(case.query)
        _use_each_sort_key_once(case.query)
        _use_unused_names(case.query)
        if case.meta.phase.name != TestPhase.STATEFUL and "user_id" in case.path_parameters:
            _use_existing_token(base, case.path_parameters)
        _use_existing_key(base, case.path_parameters)
        _use_valid_cursor(base + case.formatted_path, case.query)
        _use_start_of_feed(case.query)
        _use_new_key(case.headers)
        _use_valid_position(case.headers)


def _use_valid_body(base: str, body: Any) -> None:
    _use_numbers_in_range(body)
    _use_existing_ingredients(base, body)
    _use_existing_user(base, body)
    _use_existing_rows(base, body)
    _use_existing_products(base, body)
    _use_consistent_values(body)
    _use_unused_names(body)
    _use_future_expiry(body)
    _use_http_url(body)
    _use_existing_v1_rows(base, body)


def _use_valid_position(headers: Any) -> None:
    """Use a position: Schemathesis takes any text for a valid one if the header is optional."""
    if POSITION in headers:
        headers[POSITION] = "1-16/B374D848"


def _use_matching_etag(headers: Any) -> None:
    """Make the precondition true, so that the body is checked.

    An ETag of the service stays: it came with a link, and is current or stale.
    """
    if "If-Match" in headers and not SERVICE_ETAG.fullmatch(headers["If-Match"]):
        headers["If-Match"] = "*"


def _use_start_of_feed(query: Any) -> None:
    """Begin at the start: all other positions come from the feed."""
    if isinstance(query, dict) and "after" in query:
        query["after"] = "start"


def _request_all_members(query: Any) -> None:
    """Send no `fields`: the schema of a response requires all members."""
    if isinstance(query, dict):
        query.pop("fields", None)


def _use_new_key(headers: Any) -> None:
    """Use a new key, so that no stored response is replayed."""
    if "Idempotency-Key" in headers:
        headers["Idempotency-Key"] = uuid4().hex


def _use_existing_ingredients(base: str, body: Any) -> None:
    """Use existing ingredients, each of them once."""
    lines = body.get("ingredients") if isinstance(body, dict) else None
    if not isinstance(lines, list):
        return
    rows = http.get(f"{base}/api/v2/ingredients?limit=200", timeout=TIMEOUT).json()
    names = {row["pk"]: row["name"] for row in rows}
    pairs = zip(lines, names, strict=False)
    body["ingredients"] = [
        {**line, "pk": pk, "name": names[pk]} if isinstance(line, dict) else pk
        for line, pk in pairs
    ]


def _without_read_only(method: str, body: Any) -> Any:
    """Remove read-only members from a patch: they must be equal to the stored values."""
    if method.upper() != "PATCH" or not isinstance(body, dict):
        return body
    return {name: value for name, value in body.items() if name not in READ_ONLY}


def _make_visible(value: Any) -> Any:
    """Add a letter to texts of invisible characters: the documented pattern accepts some."""
    if isinstance(value, dict):
        return {name: _make_visible(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_make_visible(member) for member in value]
    try:
        is_blank = isinstance(value, str) and value and not Text(max=len(value)).deserialize(value)
    except ValidationError:
        # The service answers what it is that a text must not contain.
        return value
    return f"a{value[1:]}" if is_blank else value


def _use_each_sort_key_once(query: Any) -> None:
    """Sort by each key once: JSON Schema cannot forbid both directions."""
    if isinstance(query, dict) and "sort" in query:
        sort = query["sort"]
        keys = sort.split(",") if isinstance(sort, str) else sort
        query["sort"] = ",".join({key.removeprefix("-"): key for key in keys}.values())


def _use_http_url(body: Any) -> None:
    """Use a URL: Schemathesis makes IRIs of any scheme."""
    if isinstance(body, dict) and body.get("domain") is not None:
        body["domain"] = "https://ladle.example/größe"


def _use_numbers_in_range(body: Any) -> None:
    """Use small numbers.

    Version 1 accepts text for numbers, whose range a schema cannot say. A quantity of more than a
    million costs too much.
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
            [row] = http.get(f"{base}/api/v2/{resource}?limit=1", timeout=TIMEOUT).json()
            body[name] = row["pk"]


def _use_existing_products(base: str, body: Any) -> None:
    """Order existing products, with prices at which 100 lines of a million fit into 12 digits."""
    lines = body.get("items") if isinstance(body, dict) else None
    if not isinstance(lines, list):
        return
    products = http.get(f"{base}/api/v2/products?limit=200&max_price=90", timeout=TIMEOUT).json()
    for line, product in zip(lines, cycle(products), strict=False):
        line["product_id"] = product["pk"]
    if body.get("coupon_code") is not None:
        [coupon] = http.get(f"{base}/api/v2/coupons?limit=1", timeout=TIMEOUT).json()
        body["coupon_code"] = coupon["code"]


def _use_consistent_values(body: Any) -> None:
    """Give a coupon no more remaining uses than initial ones, and a start before its end."""
    if not isinstance(body, dict):
        return
    counts = body.get("init_count"), body.get("remaining_count")
    if None not in counts:
        body["remaining_count"] = min(map(int, counts))
    for name, year in (("valid_from", "1996"), ("valid_until", "2396")):
        if body.get(name) is not None:
            body[name] = f"{year}{body[name][4:]}"


@cache
def _own_user_pk(base: str) -> str:
    pk: str = http.get(f"{base}/api/v2/me", timeout=TIMEOUT).json()["user"]["pk"]
    return pk


def _create_user(base: str) -> str:
    """Create an admin; return the pk."""
    address = f"{uuid4().hex}@alchemist.example"
    user = {"email": address, "full_name": "Somebody", "role": "admin"}
    pk: str = http.post(f"{base}/api/v2/users", json=user, timeout=TIMEOUT).json()["pk"]
    return pk


def _protect_own_token(base: str, case: Case) -> None:
    """Change and revoke others only: the token of these tests must stay valid."""
    for name in ("pk", "user_id"):
        if case.method != "GET" and case.path_parameters.get(name) == _own_user_pk(base):
            case.path_parameters[name] = _create_user(base)


def _use_existing_token(base: str, path: dict[str, Any]) -> None:
    """Use an existing user and, if the path has one, an existing token."""
    path["user_id"] = _create_user(base)
    if "pk" in path:
        tokens = f"{base}/api/v2/users/{path['user_id']}/tokens"
        path["pk"] = http.post(tokens, json={"label": "Reserve"}, timeout=TIMEOUT).json()["pk"]


def _use_existing_key(base: str, path: dict[str, Any]) -> None:
    """Use an idempotency key that has a response."""
    if "key" in path:
        path["key"] = uuid4().hex
        headers = {"Idempotency-Key": path["key"]}
        body = {"name": "Moonstone dust"}
        http.post(f"{base}/api/v2/ingredients", json=body, headers=headers, timeout=TIMEOUT)


def _use_future_expiry(body: Any) -> None:
    """Let a token expire in the future, in a leap year, which has every day."""
    if isinstance(body, dict) and body.get("expires_at") is not None:
        body["expires_at"] = f"2096{body['expires_at'][4:]}"


def _use_existing_user(base: str, body: Any) -> None:
    """Let a hero or a store belong to an existing user."""
    for name in ("user_id", "owner_id"):
        if isinstance(body, dict) and body.get(name) is not None:
            body[name] = _create_user(base)


def _use_unused_names(body: Any) -> None:
    """Use an e-mail address and a nickname that no row has."""
    if isinstance(body, dict) and "email" in body:
        body["email"] = f"{uuid4().hex}@alchemist.example"
    if isinstance(body, dict) and "nickname" in body:
        body["nickname"] = f"{str(body['nickname'])[:200]} {uuid4().hex}"


def _use_valid_cursor(url: str, query: dict[str, Any]) -> None:
    """Use a cursor of this list and these filters, or none if the list has one page."""
    if query.pop("cursor", None) is None:
        return
    filters = {
        name: ",".join(value) if isinstance(value, list) else value for name, value in query.items()
    }
    first = http.get(url, params=filters | {"limit": "1"}, timeout=TIMEOUT)
    if "next" in first.links:
        query["cursor"] = parse_qs(urlsplit(first.links["next"]["url"]).query)["cursor"][0]


def _use_existing_v1_rows(base: str, body: Any) -> None:
    """Use an existing store and products in version 1, and prices with two decimals.

    The `multipleOf` of the document does not suit floats.
    """
    if not isinstance(body, dict):
        return
    if "storeId" in body:
        body["storeId"] = _first_pk(base, "stores")
    if isinstance(body.get("price"), float):
        body["price"] = round(body["price"], 2)
    for line in body.get("items", ()):
        if "productId" in line:
            line.pop("product_id", None)
            line["productId"] = _first_pk(base, "products?max_price=90")


def _first_pk(base: str, resource: str) -> str:
    pk: str = http.get(f"{base}/api/v2/{resource}", timeout=TIMEOUT).json()[0]["pk"]
    return pk
