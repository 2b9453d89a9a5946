"""The worker: nobody has its threads but whole requests, as many of them as it can answer."""

import json
import os
import re
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from itertools import count
from select import select
from selectors import DefaultSelector
from threading import Event
from time import monotonic, sleep

import psycopg
import pytest
from gunicorn.config import Config

from alchemist.server import BufferingWorker, connection_counts
from alchemist.server.chunks import ChunkedScanner
from alchemist.server.thread_pool import ThreadPool
from tests.faults import bursts
from tests.servers import PATIENCE, Gunicorn

URL = "/api/v2/ingredients"
HOST = b"Host: localhost\r\n"
GET = b"GET /api/v2/ingredients HTTP/1.1\r\n" + HOST + b"\r\n"
LIVE = b"GET /livez HTTP/1.1\r\n" + HOST
LAST = LIVE + b"Connection: close\r\n\r\n"
POST = b"POST /api/v2/ingredients HTTP/1.1\r\nContent-Type: application/json\r\n" + HOST
MIB = 1024 * 1024
HALVES = {
    "nothing": b"",
    "half a line": b"GET /api",
    "half a head": GET[:-2],
    "half a body": POST + b'Content-Length: 20\r\n\r\n{"name"',
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{",
}


@pytest.fixture(scope="module")
def narrow(module_database, tmp_path_factory):
    """A service with a single thread, so that whoever holds it is felt by everybody."""
    settings = {"WORKERS": "1", "THREADS": "1", "CLIENT_TIMEOUT": "1", "LOCK_TIMEOUT": "3.5"}
    environment = {f"ALCHEMIST_{name}": value for name, value in settings.items()}
    # None of these tests may count on luck to find room for its connections.
    environment["GUNICORN_CMD_ARGS"] = "--worker-connections=100"
    with Gunicorn(module_database, tmp_path_factory.mktemp("narrow"), **environment) as server:
        yield server


@pytest.fixture
def connect(narrow):
    """Return what sends bytes on a new connection, which is closed in the end."""
    # What other tests have left behind is through when this is answered.
    while not is_through(narrow):
        pass
    with ExitStack() as stack:

        def act(*parts, small=False):
            connection = socket.socket()
            stack.enter_context(closing(connection))
            if small:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(PATIENCE)
            connection.connect(("127.0.0.1", narrow.port))
            for part in parts:
                connection.sendall(part)
            return connection

        yield act


def is_through(server):
    try:
        return server.request("GET", URL).status == 200
    except OSError:
        # There was no room yet.
        return False


@contextmanager
def locked(database):
    """Let every request that reads ingredients wait, for the time of a `with`."""
    url = database.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE ingredients IN ACCESS EXCLUSIVE MODE")
        yield


def to_the_end(connection):
    with suppress(ConnectionResetError):
        return b"".join(iter(lambda: connection.recv(65536), b""))


def answered(connections, seconds):
    return select(connections, [], [], seconds)[0]


def replies(raw):
    """Return the status and the body of each answer, by their announced lengths."""
    while raw:
        head, _, rest = raw.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        yield int(head[9:12]), rest[:length]
        raw = rest[length:]


# Clients that are slow


def test_half_a_request_holds_no_thread(narrow, connect):
    for half in HALVES.values():
        for _ in range(4):
            connect(half)
    started = monotonic()
    assert narrow.request("GET", URL).status == 200
    # A thread that each of them held in turn would have taken four times as long.
    assert monotonic() - started < 5


@pytest.mark.parametrize("half", [half for half in HALVES.values() if half], ids=list(HALVES)[1:])
def test_half_a_request_is_a_problem_in_the_end(connect, half):
    started = monotonic()
    raw = to_the_end(connect(half))
    assert 0.9 < monotonic() - started < 5
    [(status, body)] = replies(raw)
    assert status == json.loads(body)["status"] == 408
    assert json.loads(body)["code"] == "request-timeout"
    assert json.loads(body)["request_id"].encode() in raw.partition(b"\r\n\r\n")[0]
    assert b"X-Content-Type-Options: nosniff" in raw


def test_a_body_that_trickles_is_a_problem_in_the_end(connect):
    connection = connect(POST + b"Content-Length: 1000\r\n\r\n")
    while not answered([connection], 0.1):
        connection.sendall(b" ")
    assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_a_silent_client_is_left_without_a_word(connect):
    assert to_the_end(connect()) == b""


def test_a_client_that_does_not_read_holds_no_thread(narrow, connect):
    body = json.dumps({"name": "a", "description": "x" * 2000})
    for _ in range(100):
        narrow.request("POST", URL, body, **{"Content-Type": "application/json"})
    page = GET.replace(b"ingredients ", b"ingredients?limit=100 ")
    lazy = [connect(page * 100, small=True) for _ in range(8)]
    started = monotonic()
    assert narrow.request("GET", URL).status == 200
    assert monotonic() - started < 5
    deadline = monotonic() + PATIENCE
    while bursts.established(narrow.port) and monotonic() < deadline:
        sleep(0.05)
    assert bursts.established(narrow.port) == {}
    assert len(lazy) == 8


def test_more_connections_than_there_may_be_end_the_oldest(narrow, connect):
    first = connect(GET[:-2])
    crowd = [connect() for _ in range(150)]
    assert narrow.request("GET", URL).status == 200
    assert to_the_end(first) == b""
    assert len(crowd) == 150


def test_bodies_together_have_their_limit_and_small_requests_stay_possible(narrow, connect):
    bulk = POST + b"Content-Length: 1048576\r\n\r\n" + b" " * (MIB - 1)
    crowd = []
    for _ in range(80):
        with suppress(ConnectionError):
            crowd.append(connect(bulk))
    refused = answered(crowd, PATIENCE)
    assert refused
    assert refused[0].recv(12) in {b"HTTP/1.1 503", b"HTTP/1.1 408"}
    assert narrow.request("GET", URL).status == 200


# Whole requests


def test_pipelined_requests_are_answered_in_their_order(connect):
    paths = ["/livez", "/api/v2/nowhere", "/readyz", "/livez"]
    sent = b"".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for path in paths)
    found = [status for status, _ in replies(to_the_end(connect(sent + LAST)))]
    assert found == [200, 404, 200, 200, 200]


def test_a_request_may_arrive_byte_by_byte(connect):
    body = b'8\r\n{"name":\r\n8;a=b\r\n"Sorrel"\r\n1\r\n}\r\n0\r\nX-Trailer: a\r\n\r\n'
    whole = POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + body
    connection = connect(*(whole[place : place + 1] for place in range(len(whole))))
    assert [status for status, _ in replies(to_the_end(connection))] == [201]


def test_http_1_0_is_answered_and_closed(connect):
    assert to_the_end(connect(b"GET /livez HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.0 200 ")


def test_nobody_is_asked_to_continue_with_a_body_that_is_too_large(connect):
    connection = connect(POST + b"Content-Length: 9999999\r\nExpect: 100-continue\r\n\r\n")
    assert connection.recv(12) == b"HTTP/1.1 413"


def test_the_rest_of_a_body_that_is_too_large_is_no_request(connect):
    connection = connect(POST + b"Content-Length: 2000000\r\n\r\n" + LAST)
    assert [status for status, _ in replies(to_the_end(connection))] == [413]


def test_chunks_without_end_are_refused(connect):
    connection = connect(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    with suppress(ConnectionError):
        for _ in range(64):
            connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
    assert connection.recv(12) == b"HTTP/1.1 413"


def test_a_head_without_end_is_refused(connect):
    connection = connect()
    with suppress(ConnectionError):
        connection.sendall(LIVE + b"X: y\r\n" * 20_000)
    assert connection.recv(12) == b"HTTP/1.1 431"


def test_a_malformed_body_that_nobody_reads_is_answered_once(connect):
    sent = LIVE + b"Transfer-Encoding: chunked\r\n\r\nbrew\r\n\r\n" + LAST
    assert [status for status, _ in replies(to_the_end(connect(sent)))] == [200]


# Overload


def test_what_is_too_much_is_refused_at_once_and_livez_still_answers(
    narrow, connect, module_database
):
    with locked(module_database):
        asked = [connect(GET) for _ in range(30)]
        [refused, *_] = answered(asked, PATIENCE)
        raw = refused.recv(65536)
        assert narrow.request("GET", "/livez").status == 200
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert {
        b"Retry-After: 1",
        b"Content-Type: application/problem+json",
        b"Connection: keep-alive",
    } < set(head.split(b"\r\n"))
    assert json.loads(body)["code"] == "unavailable"
    refused.sendall(LAST)
    assert to_the_end(refused).startswith(b"HTTP/1.1 200 ")


def test_livez_answers_too_if_it_waited_for_a_thread_in_vain(narrow, connect, module_database):
    with locked(module_database):
        asked = connect(GET)
        assert narrow.request("GET", "/livez").status == 200
    assert to_the_end(asked).startswith(b"HTTP/1.1 200 ")


def test_a_refusal_of_head_has_no_body(connect, module_database):
    with locked(module_database):
        asked = [connect(b"HEAD" + GET[3:]) for _ in range(30)]
        [refused, *_] = answered(asked, PATIENCE)
        assert refused.recv(65536).endswith(b"\r\n\r\n")


def test_what_waits_too_long_is_refused(connect, module_database):
    with locked(module_database):
        first = connect(GET)
        second = connect(GET)
        assert answered([first, second], PATIENCE) == [second]
        assert second.recv(65536).startswith(b"HTTP/1.1 503 ")
    assert first.recv(65536).startswith(b"HTTP/1.1 200 ")


# Threads


@pytest.fixture
def pool():
    """A single thread; what it is given is a function that it calls."""
    pool = ThreadPool(1, lambda act: act())
    yield pool
    pool.shutdown(wait=True)


def test_a_thread_outlives_what_it_cannot_serve(pool, caplog):
    served = Event()
    pool.put({}.popitem)
    pool.put(served.set)
    assert served.wait(PATIENCE)
    assert "could not be served" in caplog.text


def test_who_is_taken_back_is_not_served_and_the_next_one_is(pool):
    served, busy, done = [], Event(), Event()
    pool.put(lambda: busy.wait(PATIENCE))
    late, next_one = partial(served.append, "late"), partial(served.append, "next")
    pool.put(late)
    while len(pool) > 1:
        sleep(0.001)
    between = monotonic()
    pool.put(next_one)
    pool.put(done.set)
    assert pool.take_back(since=between) == [late]
    busy.set()
    assert done.wait(PATIENCE)
    assert served == ["next"]


def test_a_pool_that_ends_serves_first_who_waits(pool):
    served = []
    for number in range(5):
        pool.put(partial(served.append, number))
    pool.shutdown(wait=True)
    assert served == [0, 1, 2, 3, 4]


# Workers


def test_a_burst_spreads_over_the_workers(shared_gunicorn):
    while min(bursts.spread(shared_gunicorn, URL)) == 0:
        # The second one may be starting still.
        pass
    for _ in range(3):
        found = bursts.spread(shared_gunicorn, URL)
        assert sum(found) == bursts.CONNECTIONS
        assert max(found) <= 10


ages = count(100_000, 100_000)


@pytest.fixture
def clock(monkeypatch):
    """The time of the shares: far ahead, so that those of other tests are forgotten."""
    time = [next(ages)]
    monkeypatch.setattr(connection_counts, "monotonic", lambda: time[0])
    return time


def test_a_worker_is_ahead_when_another_has_clearly_less(clock):
    one, other = connection_counts.ConnectionCount(), connection_counts.ConnectionCount()
    one.tell(2)
    other.tell(1)
    assert not one.is_ahead()
    one.tell(3)
    assert one.is_ahead()
    assert not other.is_ahead()


def test_a_worker_that_does_not_accept_is_not_waited_for(clock):
    one, other = connection_counts.ConnectionCount(), connection_counts.ConnectionCount()
    one.tell(9)
    other.tell(connection_counts.NO_SLOT)
    assert not one.is_ahead()


def test_a_dead_worker_is_forgotten(clock):
    one, dead = connection_counts.ConnectionCount(), connection_counts.ConnectionCount()
    dead.tell(0)
    one.tell(9)
    assert one.is_ahead()
    clock[0] += connection_counts.STALE_AFTER
    one.tell(9)
    assert not one.is_ahead()


def test_a_living_workers_place_is_not_taken(clock):
    living = connection_counts.ConnectionCount()
    for _ in range(2 * connection_counts.SLOTS):
        clock[0] += 1
        living.tell(1)
        assert connection_counts.ConnectionCount()._place != living._place


def test_a_stop_answers_what_is_in_flight_and_accepts_nothing_new(fresh_database, tmp_path):
    with Gunicorn(fresh_database, tmp_path, ALCHEMIST_LOCK_TIMEOUT="3.5") as server:
        address = ("127.0.0.1", server.port)
        with (
            ThreadPoolExecutor(1) as pool,
            locked(fresh_database),
            closing(socket.create_connection(address, PATIENCE)) as idle,
        ):
            asked = pool.submit(server.request, "GET", URL)
            while not waits_for_lock(fresh_database):
                sleep(0.01)
            idle.sendall(LIVE + b"\r\n")
            assert b"Connection: keep-alive" in idle.recv(65536)
            server.process.send_signal(signal.SIGTERM)
            while is_open(address):
                sleep(0.01)
            idle.sendall(LIVE + b"\r\n")
            assert b"Connection: close" in idle.recv(65536)
        assert asked.result().status == 200


def test_a_worker_that_ends_at_once_answers_what_has_begun(fresh_database, tmp_path):
    with Gunicorn(fresh_database, tmp_path, ALCHEMIST_WORKERS="1") as server:
        [worker] = bursts.workers(server.process.pid)
        with ThreadPoolExecutor(1) as pool, locked(fresh_database):
            asked = pool.submit(server.request, "GET", URL)
            while not waits_for_lock(fresh_database):
                sleep(0.01)
            os.kill(worker, signal.SIGQUIT)
            sleep(0.2)
        assert asked.result().status == 200


def test_a_worker_that_is_told_to_stop_while_it_starts_watches_nothing_that_is_closed():
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        worker = BufferingWorker(1, os.getpid(), [listener], None, 30, Config(), None)
        worker.poller = DefaultSelector()
        worker.alive = False
        worker.set_accept_enabled(True)
        assert not worker.poller.get_map()
        worker.poller.close()
        worker.tmp.close()


def waits_for_lock(database):
    url = database.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
    return found[0] > 0


def is_open(address):
    with closing(socket.socket()) as probe:
        return probe.connect_ex(address) == 0


def test_a_unix_socket_is_served_too(fresh_database, tmp_path):
    path = str(tmp_path / "http.sock")
    server = Gunicorn(fresh_database, tmp_path)
    binds = f"--bind=127.0.0.1:{server.port} --bind=unix:{path}"
    server.environment["GUNICORN_CMD_ARGS"] = binds
    with server, closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(path)
        connection.sendall(LAST)
        assert to_the_end(connection).startswith(b"HTTP/1.1 200 ")


def test_tls_is_refused(fresh_database, tmp_path):
    certificate = tmp_path / "certificate.pem"
    certificate.touch()
    with (
        pytest.raises(RuntimeError, match="speaks no TLS"),
        Gunicorn(fresh_database, tmp_path, GUNICORN_CMD_ARGS=f"--certfile={certificate}"),
    ):
        pass


# Chunks

CHUNKED = b"5\r\nhello\r\n0A;x=y\r\n" + b"0\r\n\r\n".ljust(10) + b"\r\n0\r\n"


@pytest.mark.parametrize("trailers", [b"\r\n", b"X: 0\r\nY: 1\r\n\r\n"])
def test_the_end_of_chunks_is_found_wherever_they_are_cut(trailers):
    whole = CHUNKED + trailers
    chunks, data = ChunkedScanner(), bytearray()
    found = []
    for byte in whole:
        data.append(byte)
        found.append(chunks.end_in(data))
    assert found == [False] * (len(whole) - 1) + [True]


@pytest.mark.parametrize("line", [b"brew\r\n", b"-1\r\n", b"\r\n", b"1" * 9000])
def test_malformed_chunks_are_not_waited_for(line):
    assert ChunkedScanner().end_in(bytearray(line))
