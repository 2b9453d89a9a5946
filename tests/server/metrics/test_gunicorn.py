"""The metrics of a real gunicorn, under load and when workers are killed."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import closing, suppress
from http.client import HTTPConnection
from itertools import pairwise
from shutil import copy, copytree, ignore_patterns
from threading import Event, Thread
from time import monotonic, sleep

import pytest
from prometheus_client.parser import text_string_to_metric_families

from alchemist.database import PROJECT_ROOT
from alchemist.server.metrics import endpoint
from tests.deploy import monitoring
from tests.faults import bursts
from tests.servers import TIMEOUT, Gunicorn, free_port

pytestmark = pytest.mark.slow
POTIONS = "/api/v2/potions"
WORKERS = 4


class MeasuredGunicorn(Gunicorn):
    """A gunicorn that serves its metrics."""

    live_status = 200

    def __init__(self, database, log_directory, **environment):
        self.metrics_port = free_port()
        bind = f"127.0.0.1:{self.metrics_port}"
        self.directory_of_files = log_directory / "metrics"
        self.directory_of_files.mkdir()
        options = f"--worker-tmp-dir={self.directory_of_files}"
        variables = {"ALCHEMIST_METRICS_BIND": bind, "GUNICORN_CMD_ARGS": options}
        super().__init__(database, log_directory, **variables | environment)

    def _is_live(self):
        with suppress(OSError):
            return self.request("GET", "/livez").status == self.live_status
        return False

    def scrape(self):
        """Return the samples by name and labels."""
        connection = HTTPConnection("127.0.0.1", self.metrics_port, timeout=TIMEOUT)
        with closing(connection):
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            assert response.status == 200
            families = text_string_to_metric_families(response.read().decode())
            return {
                (sample.name, frozenset(sample.labels.items())): sample.value
                for family in families
                for sample in family.samples
            }

    def scrape_until(self, condition):
        deadline = monotonic() + TIMEOUT
        while not condition(samples := self.scrape()):
            assert monotonic() < deadline, samples
            sleep(0.1)
        return samples


@pytest.fixture(scope="module")
def measured(module_database, tmp_path_factory):
    directory = tmp_path_factory.mktemp("measured")
    with MeasuredGunicorn(module_database, directory, ALCHEMIST_WORKERS=str(WORKERS)) as server:
        server.scrape_until(lambda samples: value(samples, "alchemist_workers") == WORKERS)
        yield server
        assert "could not be published" not in server.log.read_text()


def value(samples, name, **labels):
    return samples.get((name, frozenset(labels.items())))


def names(samples):
    return {name for name, _ in samples}


@pytest.fixture
def load(measured):
    """Clients that list potions until the test ends; those of a killed worker try again."""
    stop = Event()

    def send():
        while not stop.is_set():
            try:
                measured.request("GET", POTIONS)
            except OSError:
                sleep(0.01)

    threads = [Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join(TIMEOUT)


def totals(samples):
    """Return those that may only grow."""
    endings = ("_total", "_seconds_count", "_seconds_bucket", "_seconds_sum")
    return {key: number for key, number in samples.items() if key[0].endswith(endings)}


def test_totals_only_grow_while_a_worker_is_killed_and_its_gauges_vanish(measured, load):
    killed, *_ = bursts.workers(measured.process.pid)
    before = measured.scrape_until(lambda samples: value(samples, "alchemist_queue_requests_total"))
    seen = [totals(before)]
    os.kill(killed, signal.SIGKILL)
    deadline = monotonic() + TIMEOUT
    while set(bursts.workers(measured.process.pid)) & {killed} or len(seen) < 20:
        assert monotonic() < deadline
        samples = measured.scrape()
        assert value(samples, "alchemist_workers") <= WORKERS
        seen.append(totals(samples))
    measured.scrape_until(lambda samples: value(samples, "alchemist_workers") == WORKERS)
    for earlier, later in pairwise(seen):
        shrunk = [key for key, number in earlier.items() if later.get(key, 0) < number]
        assert shrunk == []
    assert len(bursts.workers(measured.process.pid)) == WORKERS
    files = [file.name for file in measured.directory_of_files.glob("*/*.db")]
    assert [name for name in files if name.endswith(f"_{killed}.db")] == []
    assert len({re.search(r"_(\d+)\.db", name)[1] for name in files if "ended" not in name}) <= (
        WORKERS
    )


def test_a_scrape_reports_the_requests_the_pools_and_the_version(measured):
    labels = {
        "http_request_method": "GET",
        "http_route": "/api/v2/stores",
        "http_response_status_code": "200",
    }
    assert measured.request("GET", labels["http_route"]).status == 200
    samples = measured.scrape_until(lambda samples: value(samples, "alchemist_db_statements_total"))
    assert value(samples, "http_server_request_duration_seconds_count", **labels) == 1
    pool = {"db_client_connection_pool_name": "autocommit"}
    assert value(samples, "db_client_connection_max", **pool) == WORKERS * 4
    assert value(samples, "alchemist_connections") is not None
    assert "alchemist_build_info" in names(samples)


def test_the_dashboard_the_alerts_and_the_readme_name_metrics_and_labels_of_a_scrape(measured):
    with socket.create_connection(("127.0.0.1", measured.port)) as client:
        client.sendall(b"nonsense\r\n\r\n")
        assert client.recv(1000)
    rejections = ("alchemist_rejected_requests_total", frozenset({("reason", "bad-request")}))
    samples = measured.scrape_until(lambda samples: rejections in samples)
    names_and_labels = [monitoring.metrics_and_labels(query) for query in monitoring.queries()]
    scraped_labels = {label for _, labels in samples for label, _ in labels}
    metrics, labels = (set.union(*sets) for sets in zip(*names_and_labels, strict=True))
    assert metrics - monitoring.ADDED_METRICS - names(samples) == set()
    assert labels - monitoring.ADDED_LABELS - scraped_labels == set()
    readme = (PROJECT_ROOT / "README.md").read_text()
    table = readme.partition("<summary>Metrics</summary>")[2].partition("</details>")[0]
    documented = set(re.findall(r"`((?:alchemist|http_server|db_client)_[a-z_]+)`", table))
    histogram = "http_server_request_duration_seconds"
    assert documented - names(samples) == {histogram}
    assert {name for name in names(samples) if not name.startswith(histogram)} <= documented


def test_the_metrics_are_not_served_at_the_address_of_the_api(measured):
    assert measured.request("GET", "/metrics").status == 404


def test_slow_clients_do_not_hold_up_a_scrape(measured):
    with socket.create_connection(("127.0.0.1", measured.metrics_port)) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\nA: ")
        assert "alchemist_workers" in names(measured.scrape())
        slow.settimeout(TIMEOUT)
        assert slow.recv(1000) == b""
    idle = [
        socket.create_connection(("127.0.0.1", measured.metrics_port))
        for _ in range(endpoint.MAX_CONNECTIONS + 1)
    ]
    idle[-1].settimeout(TIMEOUT)
    assert idle[-1].recv(1) == b""
    for each in idle:
        each.close()


def test_the_files_go_with_gunicorn(fresh_database, tmp_path):
    with MeasuredGunicorn(fresh_database, tmp_path) as server:
        assert list(server.directory_of_files.glob("alchemist-metrics-*"))
    assert list(server.directory_of_files.iterdir()) == []


def test_requests_that_no_thread_takes_are_counted_by_the_reason(fresh_database, tmp_path):
    with (
        MeasuredGunicorn(fresh_database, tmp_path, ALCHEMIST_CLIENT_TIMEOUT="0.2") as server,
        socket.create_connection(("127.0.0.1", server.port)) as slow,
    ):
        slow.sendall(b"GET / HTTP/1.1\r\n")
        server.scrape_until(
            lambda samples: value(
                samples, "alchemist_rejected_requests_total", reason="client-timeout"
            )
        )


@pytest.mark.parametrize("options", ["", "--bind=127.0.0.1:9"])
def test_gunicorn_does_not_start_with_one_address_for_both(fresh_database, options):
    result = subprocess.run(
        [sys.executable, "-m", "gunicorn", "wsgi:app", *options.split()],
        cwd=PROJECT_ROOT,
        env=os.environ
        | {
            "DATABASE_URL": fresh_database.render_as_string(hide_password=False),
            "ALCHEMIST_BIND": "127.0.0.1:8" if options else "127.0.0.1:9",
            "ALCHEMIST_METRICS_BIND": "127.0.0.1:9",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert result.returncode == 1
    message = "ALCHEMIST_METRICS_BIND: 127.0.0.1:9 is an address of the API: use another."
    assert result.stderr.strip().endswith(message)


def test_gunicorn_does_not_start_if_the_address_is_taken(fresh_database, tmp_path):
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(RuntimeError, match=r"ALCHEMIST_METRICS_BIND: .* cannot be used: Address"),
        MeasuredGunicorn(
            fresh_database,
            tmp_path,
            ALCHEMIST_METRICS_BIND=f"127.0.0.1:{taken.getsockname()[1]}",
        ),
    ):
        pass


def test_code_that_cannot_be_imported_does_not_end_a_service_that_reloads(fresh_database, tmp_path):
    code = tmp_path / "code"
    ignored = ignore_patterns("__pycache__")
    copytree(PROJECT_ROOT / "alchemist", code / "alchemist", ignore=ignored)
    copy(PROJECT_ROOT / "gunicorn.conf.py", code)
    (code / "wsgi.py").write_text("This is no Python.")
    server = MeasuredGunicorn(fresh_database, tmp_path, ALCHEMIST_WORKERS="1")
    server.environment["GUNICORN_CMD_ARGS"] += " --reload"
    server.directory = code
    server.live_status = 500
    with server:
        assert server.request("GET", "/livez").status == 500
        copy(PROJECT_ROOT / "wsgi.py", code)
        server.process.send_signal(signal.SIGHUP)
        server.scrape_until(lambda samples: value(samples, "alchemist_workers") == 1)
        assert server.request("GET", "/livez").status == 200
