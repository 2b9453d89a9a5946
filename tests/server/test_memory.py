"""The memory of a worker stays bounded, whatever lists its clients ask for."""

from itertools import permutations, product

import pytest

from tests.faults import bursts, memory
from tests.servers import Gunicorn

KEYS = ("name", "price", "created_at", "updated_at", "pk")
MAX_GROWTH = 165  # MiB


@pytest.mark.slow
def test_a_worker_gives_back_the_memory_of_dropped_statements(fresh_database, tmp_path):
    with Gunicorn(fresh_database, tmp_path, ALCHEMIST_WORKERS="1") as server:
        [worker] = bursts.workers(server.process.pid)
        before = memory.memory(worker).private
        # Each is a statement that is compiled, cached and soon dropped.
        for keys, first_sign, sign in product(permutations(KEYS), ("", "-"), ("", "-")):
            sort = f"{first_sign}{keys[0]},{sign}{f',{sign}'.join(keys[1:])}"
            answer = server.request("GET", f"/api/v2/products?expand=store,potion&sort={sort}")
            assert answer.status == 200
        assert memory.memory(worker).private - before < MAX_GROWTH
