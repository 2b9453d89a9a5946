"""`alchemist purge`, run again and again while clients buy and the database crashes.

As a program, it is the command with the faults of the service: it may be killed after a COMMIT.
"""

import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Event, Thread
from time import sleep

from sqlalchemy import Connection, text

COMMANDS = 2  # at once
PAUSE = (0.2, 1.0)  # seconds
UNRELEASED = text("SELECT pk::text FROM orders WHERE expires_at <= clock_timestamp()")


class Purger:
    """Runs commands until it is stopped. Those that the database fails meanwhile may fail."""

    def __init__(self, environment: Mapping[str, str], directory: Path, seed: int) -> None:
        self._environment = {**environment, "PWD": str(directory)}
        self._directory, self._random = directory, random.Random(seed)
        self._stopped = Event()
        self._threads = [Thread(target=self._run, daemon=True) for _ in range(COMMANDS)]
        # The number of commands by exit code, and of the orders that they cancelled.
        self.exit_codes: Counter[int] = Counter()
        self.cancelled = 0

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._random.uniform(*PAUSE)):
            self.purge()

    def purge(self) -> int:
        """Run the command; return its exit code."""
        result = subprocess.run(
            [sys.executable, "-m", "tests.faults.purging"],
            check=False,
            env=self._environment,
            cwd=self._directory,
            capture_output=True,
            text=True,
        )
        self.exit_codes[result.returncode] += 1
        if cancelled := re.search(r"(\d+) orders cancelled", result.stdout):
            self.cancelled += int(cancelled[1])
        return result.returncode

    def unreleased_orders(self, connection: Connection, ttl: float) -> Iterator[str]:
        """Yield the orders that a purge leaves when all unpaid orders have expired."""
        sleep(ttl)
        if code := self.purge():
            yield f"the last purge ended with {code}"
        for pk in connection.scalars(UNRELEASED):
            yield f"order {pk} has expired and is not cancelled"


def main() -> None:
    # It reads the environment of the service when it is imported.
    from alchemist.cli import main as alchemist  # noqa: PLC0415
    from tests.faults import fault_injection  # noqa: F401, PLC0415

    alchemist(["purge"], prog_name="alchemist")


if __name__ == "__main__":
    main()
