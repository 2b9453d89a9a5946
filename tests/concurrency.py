"""Many clients of a real server at once, each with a connection that is kept alive."""

import json
import random
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from queue import Empty, SimpleQueue
from threading import Barrier
from time import monotonic, sleep
from typing import Any, Self

from sqlalchemy import Connection, text

from tests.servers import TIMEOUT, Answer, Gunicorn

TRIES = 20
# Less than gunicorn keeps an idle connection; what it is about to close is not worth a request.
FRESH = 3  # seconds


class Client:
    """Repeats what is answered 503, and notes how often; nothing else is repeated."""

    def __init__(self, server: Gunicorn) -> None:
        self.connection = HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
        self.used_at = monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        if body is not None:
            headers["Content-Type"] = "application/json"
        for repeated in range(TRIES):
            sent = None if body is None else json.dumps(body)
            if monotonic() - self.used_at > FRESH:
                self.connection.close()
            self.connection.request(method, path, sent, headers)
            answer = Answer(self.connection.getresponse())
            self.used_at = monotonic()
            answer.repeated = repeated
            if answer.status != 503:
                break
            sleep(random.uniform(0, 0.1))
        return answer

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.ask("POST", f"/api/v2/{path}", body, **headers)

    def patch(self, path: str, body: Any) -> Answer:
        return self.ask("PATCH", f"/api/v2/{path}", body, **{"If-Match": "*"})

    def delete(self, path: str) -> Answer:
        return self.ask("DELETE", f"/api/v2/{path}", **{"If-Match": "*"})

    def get(self, path: str) -> Any:
        answer = self.ask("GET", f"/api/v2/{path}")
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def create(self, kind: str, **values: Any) -> Any:
        answer = self.post(kind, values)
        assert answer.status == 201, answer.body
        return json.loads(answer.body)


Job = Callable[[Client], Any]


def run_concurrently(server: Gunicorn, jobs: Iterable[Job], size: int = 16) -> list[Any]:
    """Return what the jobs do, which as many clients take in turn and begin at once."""
    todo: SimpleQueue[tuple[int, Job]] = SimpleQueue()
    done: dict[int, Any] = {}
    for numbered in enumerate(jobs):
        todo.put(numbered)
    start = Barrier(size)

    def work() -> None:
        with Client(server) as client:
            start.wait(TIMEOUT)
            while True:
                try:
                    number, job = todo.get_nowait()
                except Empty:
                    return
                done[number] = job(client)

    with ThreadPoolExecutor(size) as pool:
        for run in [pool.submit(work) for _ in range(size)]:
            run.result()
    return [done[number] for number in sorted(done)]


def run_simultaneously(server: Gunicorn, *jobs: Job) -> list[Any]:
    """Return what the jobs do, each done by a client of its own at the same moment."""
    return run_concurrently(server, jobs, len(jobs))


def codes(answer: Answer) -> set[str]:
    """Return the codes of a refusal's entries, or that of the refusal if it has none."""
    problem = json.loads(answer.body)
    return {entry["code"] for entry in problem.get("errors", [])} or {problem["code"]}


def statuses(answers: Iterable[Answer]) -> list[int]:
    return sorted(answer.status for answer in answers)


def await_a_waiter(connection: Connection) -> None:
    """Return when another connection waits for a lock of this one."""
    _await(connection, "pg_backend_pid() = ANY (pg_blocking_pids(pid))")


def await_waiting(connection: Connection, pid: int) -> None:
    """Return when the server process `pid` waits for a lock."""
    _await(connection, f"pid = {pid}")


def _await(connection: Connection, condition: str) -> None:
    """Return when a lock is not granted for which the condition is true."""
    waiting = text(f"SELECT count(*) FROM pg_locks WHERE NOT granted AND {condition}")
    deadline = monotonic() + TIMEOUT
    while not connection.scalar(waiting):
        assert monotonic() < deadline
        sleep(0.01)
