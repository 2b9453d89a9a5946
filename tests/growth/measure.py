"""The pages of a list: their time, the blocks they read, and the plan of PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

from flask import Flask
from sqlalchemy import text

from alchemist.api import read_blueprint
from alchemist.api.pagination import encode_cursor
from tests.api.pagination import plans
from tests.growth.rows import key

# So often a statement runs until PostgreSQL has decided between a custom and a generic plan.
REPETITIONS_UNTIL_PLAN = 12
LIMIT = 50


@dataclass(frozen=True)
class Pages:
    """The first page of a list, one in the middle and the last: milliseconds, and blocks read."""

    times: list[float]
    blocks: list[int]
    rows: int


def is_similar(values: Sequence[float], factor: float, small: float) -> bool:
    """Return whether no value is more than `factor` times another, or all are at most `small`."""
    return max(values) <= max(factor * min(values), small)


class Reader:
    """A client of the service in this process that can request any page of a list."""

    def __init__(self, app: Flask, headers: Mapping[str, str] | None = None) -> None:
        self.app, self.client, self.headers = app, app.test_client(), headers

    def get(self, path: str) -> Any:
        answer = self.client.get(path, headers=self.headers)
        assert answer.status_code == 200, (path, answer.json)
        return answer

    def time(self, path: str, times: int = 7) -> float:
        """Return the shortest of some times in milliseconds: longer ones were disturbed."""
        taken = []
        for _ in range(times):
            started = perf_counter()
            self.get(path)
            taken.append((perf_counter() - started) * 1000)
            if sum(taken) > 3000:
                break
        return min(taken)

    def pages(self, path: str, sort: str, query: str, middle: int) -> Pages:
        """Measure the first page, the one after the row `middle`, and the last."""
        paths = self._paths(path, sort, query, middle)
        rows = len(self.get(paths[0]).json)
        return Pages([self.time(page) for page in paths], [*map(self.blocks, paths)], rows)

    def depths(self, path: str, sort: str, query: str, middle: int) -> list[int]:
        """Return the blocks that those pages read."""
        return [self.blocks(page) for page in self._paths(path, sort, query, middle)]

    def _paths(self, path: str, sort: str, query: str, middle: int) -> list[str]:
        start = f"{path}?limit={LIMIT}&sort={sort}&{query}"
        if len(self.get(start).json) < LIMIT:
            return [start]
        return [
            start,
            *(self._path_after(start, row) for row in self._rows(path, sort, query, middle)),
        ]

    def blocks(self, path: str) -> int:
        engine = self.app.extensions["engines"].autocommit
        found = plans.recorded(lambda: self.get(path))
        with engine.connect() as connection:
            return plans.blocks(connection, *found)

    def _rows(self, path: str, sort: str, query: str, middle: int) -> list[dict[str, Any]]:
        opposite = ",".join(
            name.removeprefix("-") if name.startswith("-") else f"-{name}"
            for name in sort.split(",")
        )
        reversed_rows = self.get(f"{path}?limit={LIMIT + 1}&sort={opposite}&{query}").json
        return [self.get(f"{path}/{key(middle)}").json, reversed_rows[-1]]

    def _path_after(self, start: str, row: Mapping[str, Any]) -> str:
        """Return the path of the page that begins after a row."""
        with patch.object(read_blueprint, "paginate", wraps=read_blueprint.paginate) as paginate:
            self.get(start)
        _schema, _query, list_key, args, *_ = paginate.call_args.args
        # `rows.fill` makes each text its own sort key.
        cursor = encode_cursor([row[part.name] for part in args["sort"]], list_key, args["sort"])
        return f"{start}&{urlencode({'cursor': cursor})}"

    def warm_up(self, *paths: str, times: int = REPETITIONS_UNTIL_PLAN) -> None:
        """Request each in turn, until PostgreSQL has decided on its plans."""
        for _ in range(times):
            for path in paths:
                self.get(path)

    def plan(self, path: str) -> str:
        """Return the plan of the statement that the service runs: generic or custom."""
        engine = self.app.extensions["engines"].autocommit
        statement, parameters = plans.recorded(lambda: self.get(path))
        with engine.connect() as connection:
            used = connection.execute(GENERIC, {"text": plans.numbered(statement)[0]}).scalar()
        with engine.connect() as connection, connection.begin():
            how = plans.generic if used else plans.custom
            return how(connection, statement, parameters)


GENERIC = text("SELECT generic_plans FROM pg_prepared_statements WHERE statement = :text")


def nodes(plan: str) -> list[str]:
    """Return how a plan reads tables, but for what is nested in the rows of the page."""
    rows = plan.split("SubPlan", maxsplit=1)[0].replace("->", "")
    found = [line for line in rows.splitlines() if "Scan" in line and "Subquery" not in line]
    return [line.split("(")[0].strip() for line in found if "CTE" not in line]
