"""How many statements an operation sends to PostgreSQL, by the log of a service that keeps one."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tests.benchmarks import measure, processes
from tests.benchmarks.operations import Operation
from tests.benchmarks.processes import Entry
from tests.benchmarks.subjects import Contestant, Home


def count(
    contestant: Contestant,
    home: Home,
    operations: Iterable[Operation],
    cpu: int,
    directory: Path,
) -> dict[str, int]:
    """Return the statements of a request by the names of operations; none was measured meanwhile.

    BEGIN and COMMIT are not among them.
    """
    logging = replace(home, environment=home.environment | {"ALCHEMIST_LOG_LEVEL": "info"})
    with processes.serving(contestant, logging, cpu, directory) as entry:
        return {operation.name: _counted(entry, operation) for operation in operations}


def _counted(entry: Entry, operation: Operation) -> int:
    # The token of the first is looked up; for a second after that, as mostly under load, it is not.
    for _ in range(2):
        measure.check(entry, operation)
    line = json.loads(entry.log.read_text().splitlines()[-1])
    return int(line["statements"])
