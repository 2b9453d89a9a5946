"""The rows that every contestant serves: 1,000 ingredients and 10,000 potions of 5 each."""

import random
from collections.abc import Sequence
from pathlib import Path
from subprocess import PIPE, run

import psycopg
from alembic import command
from psycopg import sql
from sqlalchemy import URL, make_url
from uuid_utils.compat import uuid7

from alchemist import db

from . import processes
from .contestants import peers_environment
from .operations import INGREDIENTS_PER_POTION, Keys

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


def pin(server: URL, cpu: int) -> None:
    """Bind the postmaster, and so every backend that it forks from now on, to one CPU."""
    with connect(server) as connection:
        postmaster = processes.parent(connection.info.backend_pid)
    processes.pin(postmaster, cpu)


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
    with connect(url) as connection:
        _copy(connection, "ingredients (pk, name)", ingredients)
        _copy(connection, "potions (pk, name)", potions)
        _copy(connection, "potion_ingredients (potion_id, ingredient_id, position)", contents)
        connection.execute("VACUUM ANALYZE")
    return Keys(str(ingredients[5][0]), str(potions[5][0]))


def _copy(
    connection: psycopg.Connection[tuple[object, ...]],
    target: str,
    rows: Sequence[tuple[object, ...]],
) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
