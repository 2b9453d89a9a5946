"""The six operations that are compared, and what a right answer to each looks like."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

INGREDIENTS_PER_POTION = 5
PAGE = 50


@dataclass(frozen=True)
class Keys:
    """One ingredient and one potion that are there, to ask for and to brew with."""

    ingredient: str
    potion: str


@dataclass(frozen=True)
class Request:
    """What is sent; of several bodies, one after the other."""

    method: str
    path: str
    headers: dict[str, str]
    bodies: tuple[str, ...]


@dataclass(frozen=True)
class Operation:
    """`path` and `headers` name what of the keys they take; `bodies` makes bodies of them."""

    name: str
    title: str
    path: str
    is_right: Callable[[Any], bool]
    method: str = "GET"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    bodies: Callable[[Any], tuple[str, ...]] = lambda _keys: ()

    def request(self, prefix: str, keys: Keys) -> Request:
        bodies = self.bodies(keys)
        kind = {"Content-Type": "application/json"} if bodies else {}
        headers = {name: value.format(keys=keys) for name, value in self.headers.items()}
        return Request(self.method, prefix + self.path.format(keys=keys), kind | headers, bodies)


def is_ingredient(answer: Any) -> bool:
    return bool(answer["name"].startswith("ingredient "))


def is_potion(answer: Any) -> bool:
    return bool(answer["name"].startswith("potion ")) and (
        len(answer["ingredients"]) == INGREDIENTS_PER_POTION
    )


def is_page_of(is_item: Callable[[Any], bool], length: int) -> Callable[[Any], bool]:
    return lambda answer: len(answer) == length and all(map(is_item, answer))


def _brine(keys: Keys) -> tuple[str, ...]:
    return (json.dumps({"name": "brine", "ingredients": [keys.ingredient]}),)


# Creations come last: they make the tables grow, and every reader must find the same rows.
COMPARED = (
    Operation("get-ingredient", "one ingredient", "/ingredients/{keys.ingredient}", is_ingredient),
    Operation(
        "list-ingredients",
        "50 ingredients",
        f"/ingredients?limit={PAGE}",
        is_page_of(is_ingredient, PAGE),
    ),
    Operation("get-potion", "one potion", "/potions/{keys.potion}", is_potion),
    Operation("list-potions", "50 potions", f"/potions?limit={PAGE}", is_page_of(is_potion, PAGE)),
    Operation(
        "create-ingredient",
        "create ingredient",
        "/ingredients",
        lambda answer: answer["name"] == "salt",
        method="POST",
        status=201,
        bodies=lambda _keys: (json.dumps({"name": "salt"}),),
    ),
    Operation(
        "create-potion",
        "create potion",
        "/potions",
        lambda answer: answer["name"] == "brine" and len(answer["ingredients"]) == 1,
        method="POST",
        status=201,
        bodies=_brine,
    ),
)
