"""The service under test: a real gunicorn with several workers, and what it has open."""

from pathlib import Path

from sqlalchemy import URL

from alchemist.database import PROJECT_ROOT
from tests.servers import ProductionGunicorn

WORKERS, THREADS = 3, 4
# Seconds after which an unpaid order expires.
ORDER_TTL = 3
# gunicorn handles one SIGHUP after the other, and needs seconds for each.
STOP_SECONDS = 90


class Service(ProductionGunicorn):
    application = "tests.faults.fault_injection:app"

    def __init__(self, database: URL, directory: Path, defect: str) -> None:
        self.kill_file = directory / "kill"
        super().__init__(
            database,
            directory,
            ALCHEMIST_WORKERS=str(WORKERS),
            ALCHEMIST_THREADS=str(THREADS),
            ALCHEMIST_ORDER_TTL=str(ORDER_TTL),
            FAULTS_KILL_FILE=str(self.kill_file),
            FAULTS_DEFECT=defect,
            PYTHONPATH=str(PROJECT_ROOT),
        )

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(STOP_SECONDS)

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def files(self) -> list[int]:
        """Return how many files each worker has open."""
        return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.workers()]
