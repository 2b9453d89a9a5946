"""Reading OpenAPI documents: their operations, their schemas, and the requests that they show."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import jsonschema_rs
import pytest

Json = dict[str, Any]

VERSIONS = ("v2", "v1")
_OPERATION_IDS = {
    "v2": """
        listIngredients createIngredient getIngredient updateIngredient
        deleteIngredient createIngredients
        listPotions createPotion getPotion updatePotion deletePotion createPotions
        listUsers createUser getUser updateUser deleteUser createUsers anonymiseUser
        suspendUser reinstateUser
        listTokens createToken getToken deleteToken revokeTokens getMe
        listHeroes createHero getHero updateHero deleteHero createHeroes
        listStores createStore getStore updateStore deleteStore createStores
        listProducts createProduct getProduct updateProduct deleteProduct createProducts
        restockProduct
        listCoupons createCoupon getCoupon updateCoupon deleteCoupon createCoupons
        listRedemptions redeemCoupon getRedemption
        listOrders createOrder quoteOrder getOrder payOrder fulfilOrder cancelOrder
        listAuditEntries getAuditEntry listChanges getIdempotencyKey
    """,
    "v1": """
        v1GetRoot v1GetHealth v1ListIngredients v1CreateIngredient v1GetIngredient
        v1ListPotions v1CreatePotion v1GetPotion v1ListUsers v1GetUser v1CreateUser
        v1CreateHero v1GetHero v1UpdateHero v1DeleteHero
        v1ListStores v1CreateStore v1GetStore v1UpdateStore v1DeleteStore
        v1ListProducts v1CreateProduct v1GetProduct v1UpdateProduct v1DeleteProduct
        v1CreateCoupon v1GetCoupon v1ListOrders v1CreateOrder v1GetOrder
    """,
}
OPERATION_IDS = {version: names.split() for version, names in _OPERATION_IDS.items()}

every_version = pytest.mark.parametrize("version", VERSIONS)
every_operation = pytest.mark.parametrize(
    ("version", "operation_id"),
    [(version, name) for version in VERSIONS for name in OPERATION_IDS[version]],
)


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Yield the path, the method and the object of each operation, except HEAD."""
    for path, path_item in document["paths"].items():
        for method, operation in path_item.items():
            if method != "head":
                yield path, method, operation


def objects(node: Any) -> Iterator[Json]:
    """Yield every object of a document, except those in examples."""
    if isinstance(node, list):
        for item in node:
            yield from objects(item)
    elif isinstance(node, dict):
        yield node
        for name, value in node.items():
            if name not in ("example", "examples"):
                yield from objects(value)


def validator(schema: Json, document: Json) -> jsonschema_rs.Draft202012Validator:
    with_components = {**schema, "components": document["components"]}
    return jsonschema_rs.Draft202012Validator(with_components, validate_formats=True)


def success_response(operation: Json) -> tuple[str, Json]:
    # The examples of a batch create rows: 200 is for those that only update some.
    status = max(status for status in operation["responses"] if status.startswith("2"))
    return status, operation["responses"][status]


def example_request(operation: Json, optional: dict[str, Any] | None = None) -> Json:
    """Return the request of an operation's examples, with these optional parameters."""
    values = {p["name"]: p["example"] for p in operation["parameters"] if "example" in p}
    values |= optional or {}
    by_location: dict[str, dict[str, str]] = {"path": {}, "query": {}, "header": {}}
    for parameter in operation["parameters"]:
        name = parameter["name"]
        if name in values:
            by_location[parameter["in"]][name] = _parameter_text(values[name])
    return {
        "method": operation["method"].upper(),
        "path": operation["path"].format(**by_location["path"]),
        "query_string": urlencode(by_location["query"]),
        "headers": by_location["header"],
    }


def _parameter_text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value)
    return json.dumps(value) if isinstance(value, bool) else str(value)
