"""The HTTP server of the metrics, without gunicorn."""

import socket
from http.client import HTTPConnection
from time import monotonic, sleep

import pytest

from alchemist import __version__
from alchemist.server.metrics import directory, endpoint
from tests.servers import TIMEOUT, free_port


@pytest.fixture(autouse=True)
def _separate_server(tmp_path, monkeypatch):
    """Stop the server of a test, and wait less for its address."""
    monkeypatch.setenv(directory.VARIABLE, str(tmp_path))
    monkeypatch.setattr(endpoint, "RETRY_INTERVAL", 0.01)
    monkeypatch.setattr(endpoint, "_servers", [])
    yield
    for server in endpoint._servers:
        server.shutdown()
        server.server_close()


def scrape(port, method="GET", host="127.0.0.1"):
    deadline = monotonic() + TIMEOUT
    while True:
        connection = HTTPConnection(host, port, timeout=TIMEOUT)
        try:
            connection.request(method, "/metrics")
            response = connection.getresponse()
            return response.status, response.read().decode()
        except OSError:
            assert monotonic() < deadline
            sleep(0.01)
        finally:
            connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_it_reports_the_version(host):
    port = free_port()
    endpoint.start_server_thread(f"{host}:{port}", is_upgrade=False)
    status, text = scrape(port, host=host.strip("[]"))
    assert status == 200
    assert f'version="{__version__}"' in text
    assert scrape(port, "POST", host.strip("[]"))[0] == 405


def test_in_an_upgrade_it_waits_for_the_address():
    with socket.create_server(("127.0.0.1", 0)) as former:
        port = former.getsockname()[1]
        with pytest.raises(SystemExit, match="cannot be used"):
            endpoint.start_server_thread(f"127.0.0.1:{port}", is_upgrade=False)
        endpoint.start_server_thread(f"127.0.0.1:{port}", is_upgrade=True)
    assert scrape(port)[0] == 200
