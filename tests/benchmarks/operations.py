"""The six operations that are measured, and what a right answer to each looks like."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

INGREDIENTS_PER_POTION = 5
PAGE = 50


@dataclass(frozen=True)
class Keys:
    """One ingredient and one potion that are there, to ask for and to brew with."""

    ingredient: str
    potion: str


@dataclass(frozen=True)
class Operation:
    name: str
    title: str
    path: str
    is_right: Callable[[Any], bool]
    body: str | None = None

    @property
    def status(self) -> int:
        return 201 if self.body else 200

    def path_with(self, keys: Keys) -> str:
        return self.path.format(ingredient=keys.ingredient, potion=keys.potion)

    def body_with(self, keys: Keys) -> str | None:
        return self.body and self.body.replace("INGREDIENT", keys.ingredient)


def _is_ingredient(answer: Any) -> bool:
    return bool(answer["name"].startswith("ingredient "))


def _is_potion(answer: Any) -> bool:
    return bool(answer["name"].startswith("potion ")) and (
        len(answer["ingredients"]) == INGREDIENTS_PER_POTION
    )


def _is_page_of(is_item: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda answer: len(answer) == PAGE and all(map(is_item, answer))


# Creations come last: they make the tables grow, and every reader must find the same rows.
OPERATIONS = (
    Operation("get-ingredient", "one ingredient", "/ingredients/{ingredient}", _is_ingredient),
    Operation(
        "list-ingredients",
        "50 ingredients",
        f"/ingredients?limit={PAGE}",
        _is_page_of(_is_ingredient),
    ),
    Operation("get-potion", "one potion", "/potions/{potion}", _is_potion),
    Operation("list-potions", "50 potions", f"/potions?limit={PAGE}", _is_page_of(_is_potion)),
    Operation(
        "create-ingredient",
        "create ingredient",
        "/ingredients",
        lambda answer: answer["name"] == "salt",
        body=json.dumps({"name": "salt"}),
    ),
    Operation(
        "create-potion",
        "create potion",
        "/potions",
        lambda answer: answer["name"] == "brine" and len(answer["ingredients"]) == 1,
        body=json.dumps({"name": "brine", "ingredients": ["INGREDIENT"]}),
    ),
)
