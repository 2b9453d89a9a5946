"""Responses that are larger than what a worker buffers: none is cut."""

from contextlib import ExitStack
from http.client import HTTPConnection
from time import sleep

import pytest

from tests.faults import large_lists
from tests.servers import TIMEOUT, Gunicorn

pytestmark = pytest.mark.slow


def test_lists_that_clients_begin_to_read_late_are_complete(fresh_database, tmp_path):
    large_lists.fill(fresh_database)
    settings = {"ALCHEMIST_WORKERS": "1", "ALCHEMIST_THREADS": "4"}
    with Gunicorn(fresh_database, tmp_path, **settings) as server, ExitStack() as stack:
        connections = [HTTPConnection("127.0.0.1", server.port, TIMEOUT) for _ in range(10)]
        for connection in connections:
            stack.callback(connection.close)
            connection.request("GET", large_lists.PATH)
        # Those that get no thread within a second are rejected.
        sleep(3)
        responses = [connection.getresponse() for connection in connections]
        statuses = [response.status for response in responses]
        for response in responses:
            assert len(response.read()) == int(response.headers["Content-Length"])
        assert set(statuses) == {200, 503}
        # More than the limit of 64 MiB, by what the threads had begun.
        assert 4 <= statuses.count(200) <= 9
        assert server.request("GET", "/api/v2/products?limit=1").status == 200


def test_a_client_that_reads_a_large_list_steadily_has_as_long_as_it_needs(
    fresh_database, tmp_path
):
    large_lists.fill(fresh_database)
    with Gunicorn(fresh_database, tmp_path, ALCHEMIST_CLIENT_TIMEOUT="0.5") as server:
        connection = HTTPConnection("127.0.0.1", server.port, TIMEOUT)
        connection.request("GET", large_lists.PATH)
        response = connection.getresponse()
        length = 0
        # Twenty times as fast as is required, in case the machine is busy.
        while part := response.read(1024 * 1024):
            length += len(part)
            sleep(0.1)
        assert length == int(response.headers["Content-Length"])
        connection.close()
