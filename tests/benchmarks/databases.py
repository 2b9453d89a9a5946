"""The rows that every contestant serves: 1,000 ingredients and 10,000 potions of 5 each."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import PIPE, run

import psycopg
from alembic import command
from psycopg import sql
from sqlalchemy import URL, make_url
from uuid_utils.compat import uuid7

from alchemist import database as db
from tests.benchmarks.operations import INGREDIENTS_PER_POTION, Keys
from tests.benchmarks.subjects import peers_environment

INGREDIENTS = 1_000
POTIONS = 10_000


def connect(url: URL | str) -> psycopg.Connection[tuple[object, ...]]:
    native = make_url(url).set(drivername="postgresql")
    return psycopg.connect(native.render_as_string(hide_password=False), autocommit=True)


def version(url: URL) -> str:
    with connect(url) as connection:
        return str(connection.info.parameter_status("server_version"))


def create(server: URL, name: str) -> URL:
    with connect(server) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return server.set(database=name)


def fill_peers(url: URL, python: Path, directory: Path) -> Keys:
    """Fill by the peers' own script, which prints the two keys."""
    loaded = run(
        [python, "load.py"],
        cwd=directory,
        env=peers_environment(url),
        stdout=PIPE,
        text=True,
        check=True,
    )
    return Keys(*loaded.stdout.split())


def fill_alchemist(url: URL) -> Keys:
    """Migrate and fill: the same numbers and names as the peers', with keys in creation order."""
    command.upgrade(db.alembic_config(url), "head")
    chance = random.Random(1)
    ingredients = [(uuid7(), f"ingredient {number}") for number in range(INGREDIENTS)]
    potions = [(uuid7(), f"potion {number}") for number in range(POTIONS)]
    contents = [
        (potion, ingredient, position)
        for potion, _name in potions
        for position, (ingredient, _name) in enumerate(
            chance.sample(ingredients, INGREDIENTS_PER_POTION)
        )
    ]
    rows: dict[str, list[tuple[object, ...]]] = {
        "ingredients (pk, name)": [*ingredients],
        "potions (pk, name)": [*potions],
        "potion_ingredients (potion_id, ingredient_id, position)": [*contents],
    }
    copy(url, rows)
    return Keys(str(ingredients[5][0]), str(potions[5][0]))


def copy(url: URL, rows: Mapping[str, Sequence[tuple[object, ...]]]) -> None:
    """Write rows by table and columns, one table after the other, and let the planner know."""
    with connect(url) as connection:
        for target, values in rows.items():
            with connection.cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN") as lines:
                for row in values:
                    lines.write_row(row)
        connection.execute("VACUUM ANALYZE")
