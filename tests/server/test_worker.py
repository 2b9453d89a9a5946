"""The worker: only complete requests get its threads, and only as many as it can answer."""

import json
import os
import re
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from itertools import count
from math import inf
from select import select
from selectors import DefaultSelector
from threading import Event, Semaphore
from time import monotonic, sleep
from types import SimpleNamespace

import psycopg
import pytest
from gunicorn.config import Config

from alchemist.api.trusted_proxies import TrustedProxies
from alchemist.server import BufferingWorker, Clients, connection_counts
from alchemist.server.buffer_total import BufferTotal
from alchemist.server.chunks import MAX_CHUNKS, MAX_TRAILERS, ChunkedScanner
from alchemist.server.connection_counts import ConnectionCount
from alchemist.server.eviction import EvictionOrder
from alchemist.server.thread_pool import ThreadPool
from tests.faults import bursts
from tests.servers import TIMEOUT, Gunicorn

pytestmark = pytest.mark.slow

URL = "/api/v2/ingredients"
HOST = b"Host: localhost\r\n"
GET = b"GET /api/v2/ingredients HTTP/1.1\r\n" + HOST + b"\r\n"
LIVEZ = b"GET /livez HTTP/1.1\r\n" + HOST
LIVEZ_AND_CLOSE = LIVEZ + b"Connection: close\r\n\r\n"
POST = b"POST /api/v2/ingredients HTTP/1.1\r\nContent-Type: application/json\r\n" + HOST
MIB = 1024 * 1024
INCOMPLETE_REQUESTS = {
    "nothing": b"",
    "half a line": b"GET /api",
    "half a head": GET[:-2],
    "half a body": POST + b'Content-Length: 20\r\n\r\n{"name"',
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{",
}


@pytest.fixture(scope="module")
def small_service(module_database, tmp_path_factory):
    """A service with a single thread: a request that occupies it delays all others."""
    settings = {"WORKERS": "1", "THREADS": "1", "CLIENT_TIMEOUT": "1", "LOCK_TIMEOUT": "3.5"}
    settings["CORS_ORIGINS"] = "https://shop.example"
    environment = {f"ALCHEMIST_{name}": value for name, value in settings.items()}
    # Tests open more connections than this.
    environment["GUNICORN_CMD_ARGS"] = "--worker-connections=100"
    with Gunicorn(
        module_database, tmp_path_factory.mktemp("small_service"), **environment
    ) as server:
        yield server


@pytest.fixture
def connect(small_service):
    """Return a function that sends bytes on a new connection; the connections are closed later."""
    # Requests of other tests are answered before this one.
    while not is_available(small_service):
        pass
    with ExitStack() as stack:

        def connect(*parts, small_recv_buffer=False):
            connection = socket.socket()
            stack.enter_context(closing(connection))
            if small_recv_buffer:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(TIMEOUT)
            connection.connect(("127.0.0.1", small_service.port))
            for part in parts:
                connection.sendall(part)
            return connection

        yield connect


def is_available(server):
    try:
        return server.request("GET", URL).status == 200
    except OSError:
        # The connection was evicted for others.
        return False


@contextmanager
def ingredients_locked(database):
    """Block all requests that read ingredients."""
    url = database.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE ingredients IN ACCESS EXCLUSIVE MODE")
        yield


def read_until_close(connection):
    with suppress(ConnectionResetError):
        return b"".join(iter(lambda: connection.recv(65536), b""))


def readable(connections, seconds):
    return select(connections, [], [], seconds)[0]


def parse_responses(raw):
    """Yield the status and the body of each response, split by Content-Length."""
    while raw:
        head, _, rest = raw.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        yield int(head[9:12]), rest[:length]
        raw = rest[length:]


def statuses(connection):
    return [status for status, _ in parse_responses(read_until_close(connection))]


# Slow clients


def test_an_incomplete_request_occupies_no_thread(small_service, connect):
    for incomplete in INCOMPLETE_REQUESTS.values():
        for _ in range(4):
            connect(incomplete)
    started = monotonic()
    assert small_service.request("GET", URL).status == 200
    # If each of them occupied the thread for a second, it would take twice as long.
    assert monotonic() - started < 2 * len(INCOMPLETE_REQUESTS)


@pytest.mark.parametrize(
    "incomplete", list(INCOMPLETE_REQUESTS.values())[1:], ids=list(INCOMPLETE_REQUESTS)[1:]
)
def test_an_incomplete_request_times_out_with_a_problem(connect, incomplete):
    started = monotonic()
    raw = read_until_close(connect(incomplete))
    assert 0.9 < monotonic() - started < 30
    [(status, body)] = parse_responses(raw)
    assert status == json.loads(body)["status"] == 408
    assert json.loads(body)["code"] == "request-timeout"
    assert json.loads(body)["request_id"].encode() in raw.partition(b"\r\n\r\n")[0]
    assert b"X-Content-Type-Options: nosniff" in raw


def test_a_body_that_trickles_in_times_out_with_a_problem(connect):
    connection = connect(POST + b"Content-Length: 1000\r\n\r\n")
    while not readable([connection], 0.1):
        connection.sendall(b" ")
    assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_a_silent_connection_is_closed_without_a_response(connect):
    assert read_until_close(connect()) == b""


def test_a_client_that_does_not_read_occupies_no_thread(small_service, connect):
    body = json.dumps({"name": "a", "description": "x" * 2000})
    for _ in range(100):
        small_service.request("POST", URL, body, **{"Content-Type": "application/json"})
    page = GET.replace(b"ingredients ", b"ingredients?limit=100 ")
    unread = [connect(page * 100, small_recv_buffer=True) for _ in range(8)]
    started = monotonic()
    assert small_service.request("GET", URL).status == 200
    assert monotonic() - started < 5
    deadline = monotonic() + TIMEOUT
    while bursts.established(small_service.port) and monotonic() < deadline:
        sleep(0.05)
    assert bursts.established(small_service.port) == {}
    assert len(unread) == 8


def test_too_many_connections_close_the_oldest(small_service, connect):
    oldest = connect(GET[:-2])
    newer = [connect() for _ in range(150)]
    assert small_service.request("GET", URL).status == 200
    assert read_until_close(oldest) == b""
    assert len(newer) == 150


def test_buffered_bodies_have_a_total_limit_and_small_requests_stay_possible(
    small_service, connect
):
    incomplete = POST + b"Content-Length: 1048576\r\n\r\n" + b" " * (MIB - 1)
    connections = []
    for _ in range(80):
        with suppress(ConnectionError):
            connections.append(connect(incomplete))
    rejected = readable(connections, TIMEOUT)
    assert rejected
    assert rejected[0].recv(12) in {b"HTTP/1.1 503", b"HTTP/1.1 408"}
    assert small_service.request("GET", URL).status == 200


# Complete requests


def test_pipelined_requests_are_answered_in_their_order(connect):
    paths = ["/livez", "/api/v2/nowhere", "/readyz", "/livez"]
    sent = b"".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for path in paths)
    assert statuses(connect(sent + LIVEZ_AND_CLOSE)) == [200, 404, 200, 200, 200]


def test_a_request_may_arrive_byte_by_byte(connect):
    body = b'8\r\n{"name":\r\n8;a=b\r\n"Sorrel"\r\n1\r\n}\r\n0\r\nX-Trailer: a\r\n\r\n'
    request = POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + body
    connection = connect(*(bytes([byte]) for byte in request))
    assert statuses(connection) == [201]


def test_http_1_0_is_answered_and_closed(connect):
    assert read_until_close(connect(b"GET /livez HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.0 200 ")


def test_a_body_that_is_too_large_is_rejected_without_100_continue(connect):
    connection = connect(POST + b"Content-Length: 9999999\r\nExpect: 100-continue\r\n\r\n")
    assert connection.recv(12) == b"HTTP/1.1 413"


def test_the_rest_of_a_body_that_is_too_large_is_not_parsed_as_a_request(connect):
    connection = connect(POST + b"Content-Length: 2000000\r\n\r\n" + LIVEZ_AND_CLOSE)
    assert statuses(connection) == [413]


def test_endless_chunks_are_rejected(connect):
    connection = connect(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    with suppress(ConnectionError):
        for _ in range(64):
            connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
    assert connection.recv(12) == b"HTTP/1.1 413"


def test_an_endless_head_is_rejected(connect):
    connection = connect()
    with suppress(ConnectionError):
        connection.sendall(LIVEZ + b"X: y\r\n" * 20_000)
    assert connection.recv(12) == b"HTTP/1.1 431"


@pytest.mark.parametrize("name", ["Authorization", "Content-Type", "Host", "Idempotency-Key"])
def test_a_repeated_header_that_is_not_a_list_is_400_and_named(connect, name):
    line = HOST if name == "Host" else f"{name}: a\r\n".encode()
    repeated = b"GET /livez HTTP/1.1\r\n" + HOST + line * (1 if name == "Host" else 2)
    response = read_until_close(connect(repeated + b"\r\n"))
    assert response.startswith(b"HTTP/1.1 400 ")
    assert name.upper().encode() in response


def test_a_repeated_header_that_is_a_list_is_joined(connect):
    headers = b'If-None-Match: "a"\r\n' * 2
    assert statuses(connect(LIVEZ + headers + b"Connection: close\r\n\r\n")) == [200]


def test_a_malformed_body_that_the_app_does_not_read_gets_one_response(connect):
    sent = LIVEZ + b"Transfer-Encoding: chunked\r\n\r\nbrew\r\n\r\n" + LIVEZ_AND_CLOSE
    assert statuses(connect(sent)) == [200]


EMPTY_LINES = [b"\r\n", b"\r\n\r\n", b"\r\n" * 1000]


@pytest.mark.parametrize("lines", EMPTY_LINES)
def test_empty_lines_before_a_request_are_ignored(connect, lines):
    assert statuses(connect(lines + LIVEZ_AND_CLOSE)) == [200]
    assert statuses(connect(*(bytes([byte]) for byte in lines[:8]), LIVEZ_AND_CLOSE)) == [200]


def test_an_empty_line_after_a_body_does_not_begin_a_request(connect):
    body = b'Content-Length: 14\r\n\r\n{"name": "Rue"}\r\n'.replace(b"14", b"15")
    connection = connect(POST + body)
    assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")
    # The connection is idle: it ends without a 408.
    assert read_until_close(connection) == b""


@pytest.mark.parametrize(
    "headers",
    [
        *(b"Connection: close\r\n", b"Connection: close, TE\r\n", b"Connection: te,CLOSE\r\n"),
        *(b"Connection: TE\r\nConnection: close\r\n", b"Connection: keep-alive, close\r\n"),
    ],
)
def test_close_anywhere_in_connection_closes_the_connection(connect, headers):
    response = read_until_close(connect(LIVEZ + headers + b"TE: trailers\r\n\r\n"))
    assert response.startswith(b"HTTP/1.1 200 ")
    assert b"Connection: close\r\n" in response
    assert b"Keep-Alive: " not in response


@pytest.mark.parametrize(
    ("coding", "status"),
    [
        *((b"gzip, chunked", 501), (b"deflate,chunked", 501), (b"compress, Chunked", 501)),
        *((b"identity, chunked", 501), (b"gzip\r\nTransfer-Encoding: chunked", 501)),
        *((b"brew, chunked", 501), (b"gzip", 400), (b"chunked, gzip", 400)),
        (b"Chunked", 201),
    ],
)
def test_a_body_in_another_transfer_coding_is_rejected(connect, coding, status):
    body = b'Connection: close\r\n\r\nf\r\n{"name": "Rue"}\r\n0\r\n\r\n'
    connection = connect(POST + b"Transfer-Encoding: " + coding + b"\r\n" + body)
    assert statuses(connection) == [status]


def test_options_asks_about_the_server_as_a_whole(connect):
    request = b"OPTIONS * HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    response = read_until_close(connect(request))
    assert response.startswith(b"HTTP/1.1 204 ")
    assert b"\r\nAllow: DELETE, GET, HEAD, OPTIONS, PATCH, POST\r\n" in response


def test_a_response_announces_less_time_than_the_connection_stays_open(connect):
    connection = connect(LIVEZ + b"\r\n")
    started = monotonic()
    announced = re.search(rb"\r\nKeep-Alive: timeout=(\d+)\r\n", connection.recv(65536))
    assert read_until_close(connection) == b""
    assert monotonic() - started > int(announced[1]) + 0.5


def test_too_many_chunks_are_rejected_before_the_body_is_complete(connect):
    connection = connect(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    connection.sendall(b"1\r\n \r\n" * (MAX_CHUNKS + 1))
    [(status, body)] = parse_responses(read_until_close(connection))
    assert status == 400
    assert "16,384 chunks" in json.loads(body)["detail"]


def test_trailers_without_an_end_are_rejected(connect):
    connection = connect(POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
    connection.sendall(b"X: y\r\n" * (MAX_TRAILERS // 6 + 1))
    assert statuses(connection) == [400]


# Scripts of other origins

ORIGIN = b"Origin: https://shop.example\r\n"
FOREIGN_ORIGIN = b"Origin: https://evil.example\r\n"
REJECTED = {
    "408 in the head": (408, LIVEZ + b"%sX: "),
    "408 in the body": (408, POST + b"%sContent-Length: 9\r\n\r\n{"),
    "400": (400, LIVEZ + b"%sbrew\r\n\r\n"),
    "400 for a body": (400, POST + b"%sContent-Length: x\r\n\r\n"),
    "400 for chunks": (
        400,
        POST + b"%sTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 17_000,
    ),
    "414": (414, b"GET /" + b"a" * 8190 + b" HTTP/1.1\r\n" + HOST + b"%s\r\n"),
    "431": (431, LIVEZ + b"%s" + b"X: y\r\n" * 101 + b"\r\n"),
    "501": (501, POST + b"%sTransfer-Encoding: brew, chunked\r\n\r\n"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_a_script_can_read_what_the_server_itself_answers(connect, name):
    status, request = REJECTED[name]
    response = read_until_close(connect(request.replace(b"%s", ORIGIN)))
    assert response.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nAccess-Control-Allow-Origin: https://shop.example\r\n" in response
    assert re.search(rb"\r\nAccess-Control-Expose-Headers: .*X-Request-ID", response)
    assert b"\r\nVary: Origin, Authorization\r\n" in response


@pytest.mark.parametrize("origin", [FOREIGN_ORIGIN, b"", b"Origin: null\r\n", b"Origin: \xff\r\n"])
def test_scripts_of_other_origins_cannot(connect, origin):
    status, request = REJECTED["400"]
    response = read_until_close(connect(request.replace(b"%s", origin)))
    assert response.startswith(b"HTTP/1.1 %d " % status)
    assert b"Access-Control-" not in response
    assert b"\r\nVary: Origin, Authorization\r\n" in response


def test_a_rejected_script_can_read_the_503_and_its_preflight_succeeds(
    small_service, connect, module_database
):
    preflight = b"OPTIONS" + GET[3:-2] + ORIGIN + b"Access-Control-Request-Method: GET\r\n\r\n"
    with ingredients_locked(module_database):
        connections = [connect(GET[:-2] + ORIGIN + b"\r\n") for _ in range(30)]
        [rejected, *_] = readable(connections, TIMEOUT)
        answer = rejected.recv(65536)
        preflight_answer = connect(preflight).recv(65536)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert preflight_answer.startswith(b"HTTP/1.1 204 ")
    for each in (answer, preflight_answer):
        assert b"\r\nAccess-Control-Allow-Origin: https://shop.example\r\n" in each


# Overload


def test_excess_requests_are_rejected_at_once_and_livez_still_answers(
    small_service, connect, module_database
):
    with ingredients_locked(module_database):
        connections = [connect(GET) for _ in range(30)]
        [rejected, *_] = readable(connections, TIMEOUT)
        raw = rejected.recv(65536)
        assert small_service.request("GET", "/livez").status == 200
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert {
        b"Retry-After: 1",
        b"Content-Type: application/problem+json",
        b"Connection: keep-alive",
        b"Keep-Alive: timeout=5",
    } < set(head.split(b"\r\n"))
    assert json.loads(body)["code"] == "unavailable"
    rejected.sendall(LIVEZ_AND_CLOSE)
    assert read_until_close(rejected).startswith(b"HTTP/1.1 200 ")


def test_livez_answers_even_if_no_thread_becomes_free(small_service, connect, module_database):
    with ingredients_locked(module_database):
        blocked = connect(GET)
        assert small_service.request("GET", "/livez").status == 200
    assert read_until_close(blocked).startswith(b"HTTP/1.1 200 ")


def test_a_rejected_head_request_gets_no_body(connect, module_database):
    with ingredients_locked(module_database):
        connections = [connect(b"HEAD" + GET[3:]) for _ in range(30)]
        [rejected, *_] = readable(connections, TIMEOUT)
        assert rejected.recv(65536).endswith(b"\r\n\r\n")


def test_a_request_that_is_queued_too_long_is_rejected(connect, module_database):
    with ingredients_locked(module_database):
        in_thread = connect(GET)
        queued = connect(GET)
        assert readable([in_thread, queued], TIMEOUT) == [queued]
        assert queued.recv(65536).startswith(b"HTTP/1.1 503 ")
    assert in_thread.recv(65536).startswith(b"HTTP/1.1 200 ")


# Threads


@pytest.fixture
def may_continue():
    event = Event()
    event.set()
    return event


@pytest.fixture
def pool(may_continue):
    """A single thread, which calls the functions that are submitted."""
    pool = ThreadPool(1, lambda function: function(), may_continue)
    yield pool
    pool.shutdown(wait=True)


def test_a_thread_survives_an_exception(pool, caplog):
    is_handled = Event()
    pool.submit({}.popitem)
    pool.submit(is_handled.set)
    assert is_handled.wait(TIMEOUT)
    assert "could not be served" in caplog.text


def test_an_expired_connection_is_not_handled_and_the_next_one_is(pool):
    handled, busy, done = [], Event(), Event()
    pool.submit(lambda: busy.wait(TIMEOUT))
    expired, unexpired = partial(handled.append, "expired"), partial(handled.append, "unexpired")
    pool.submit(expired)
    while len(pool) > 1:
        sleep(0.001)
    between = monotonic()
    pool.submit(unexpired)
    pool.submit(done.set)
    assert pool.remove_expired(submitted_before=between) == [expired]
    busy.set()
    assert done.wait(TIMEOUT)
    assert handled == ["unexpired"]


def test_a_thread_waits_for_the_permission_to_continue(pool, may_continue):
    is_handled = Event()
    may_continue.clear()
    pool.submit(is_handled.set)
    assert not is_handled.wait(0.05)
    assert len(pool) == 1
    may_continue.set()
    assert is_handled.wait(TIMEOUT)


def test_a_shutdown_ends_threads_that_may_not_continue(pool, may_continue):
    may_continue.clear()
    pool.submit(lambda: None)
    pool.shutdown(wait=True)


def test_shutdown_waits_for_the_queue(pool):
    handled = []
    for number in range(5):
        pool.submit(partial(handled.append, number))
    pool.shutdown(wait=True)
    assert handled == [0, 1, 2, 3, 4]


# Workers


def test_a_burst_spreads_over_the_workers(shared_gunicorn):
    while min(bursts.connections_of_workers(shared_gunicorn, URL)) == 0:
        # The second worker may not have started yet.
        pass
    for _ in range(3):
        counts = bursts.connections_of_workers(shared_gunicorn, URL)
        assert sum(counts) == bursts.CONNECTIONS
        assert max(counts) <= 10


epochs = count(100_000, 100_000)


@pytest.fixture
def clock(monkeypatch):
    """The clock of the counts, which is far ahead: those of other tests are stale."""
    time = [next(epochs)]
    monkeypatch.setattr(connection_counts, "monotonic", lambda: time[0])
    return time


def test_a_worker_has_excess_when_another_has_clearly_fewer(clock):
    busy, idle = ConnectionCount(), ConnectionCount()
    busy.publish(2)
    idle.publish(1)
    assert not busy.has_clearly_more_than_others()
    busy.publish(3)
    assert busy.has_clearly_more_than_others()
    assert not idle.has_clearly_more_than_others()


def test_a_worker_that_does_not_accept_is_ignored(clock):
    busy, stopping = ConnectionCount(), ConnectionCount()
    busy.publish(9)
    stopping.publish(connection_counts.NOT_ACCEPTING)
    assert not busy.has_clearly_more_than_others()


def test_a_dead_worker_is_ignored(clock):
    busy, dead = ConnectionCount(), ConnectionCount()
    dead.publish(0)
    busy.publish(9)
    assert busy.has_clearly_more_than_others()
    clock[0] += connection_counts.STALE_AFTER
    busy.publish(9)
    assert not busy.has_clearly_more_than_others()


def test_the_slot_of_a_live_worker_is_not_reused(clock):
    live = ConnectionCount()
    for _ in range(2 * connection_counts.SLOTS):
        clock[0] += 1
        live.publish(1)
        assert ConnectionCount()._slot != live._slot


def test_a_stop_finishes_requests_in_flight_and_accepts_no_connections(fresh_database, tmp_path):
    with Gunicorn(fresh_database, tmp_path, ALCHEMIST_LOCK_TIMEOUT="3.5") as server:
        address = ("127.0.0.1", server.port)
        with (
            ThreadPoolExecutor(1) as pool,
            ingredients_locked(fresh_database),
            closing(socket.create_connection(address, TIMEOUT)) as idle,
        ):
            response = pool.submit(server.request, "GET", URL)
            while not has_lock_waiter(fresh_database):
                sleep(0.01)
            idle.sendall(LIVEZ + b"\r\n")
            assert b"Connection: keep-alive" in idle.recv(65536)
            server.process.send_signal(signal.SIGTERM)
            # Without a pause: the worker soon closes connections that send nothing.
            idle.sendall(LIVEZ + b"\r\n")
            while b"Connection: keep-alive" in (answer := idle.recv(65536)):
                idle.sendall(LIVEZ + b"\r\n")
            assert b"Connection: close" in answer
            while accepts_connections(address):
                sleep(0.01)
        assert response.result().status == 200


def test_an_immediate_stop_finishes_requests_in_flight(fresh_database, tmp_path):
    with Gunicorn(fresh_database, tmp_path, ALCHEMIST_WORKERS="1") as server:
        [worker] = bursts.workers(server.process.pid)
        with ThreadPoolExecutor(1) as pool, ingredients_locked(fresh_database):
            response = pool.submit(server.request, "GET", URL)
            while not has_lock_waiter(fresh_database):
                sleep(0.01)
            os.kill(worker, signal.SIGQUIT)
            sleep(0.2)
        assert response.result().status == 200


def test_a_worker_that_is_stopped_while_it_starts_registers_no_closed_listener():
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        worker = BufferingWorker(1, os.getpid(), [listener], None, 30, Config(), None)
        worker.poller = DefaultSelector()
        worker.alive = False
        worker.set_accept_enabled(True)
        assert not worker.poller.get_map()
        worker.poller.close()
        worker.tmp.close()


def has_lock_waiter(database):
    url = database.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        [waiters] = connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
    return waiters > 0


def accepts_connections(address):
    with closing(socket.socket()) as probe:
        return probe.connect_ex(address) == 0


def test_the_service_also_listens_on_a_unix_socket(fresh_database, tmp_path):
    path = str(tmp_path / "http.sock")
    server = Gunicorn(fresh_database, tmp_path)
    binds = f"--bind=127.0.0.1:{server.port} --bind=unix:{path}"
    server.environment["GUNICORN_CMD_ARGS"] = binds
    with server, closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(path)
        connection.sendall(LIVEZ_AND_CLOSE)
        assert read_until_close(connection).startswith(b"HTTP/1.1 200 ")


def test_the_service_listens_on_several_addresses(fresh_database, tmp_path):
    path = str(tmp_path / "http.sock")
    server = Gunicorn(fresh_database, tmp_path)
    server.environment["ALCHEMIST_BIND"] = f"127.0.0.1:{server.port}, unix:{path}"
    with server, closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(path)
        connection.sendall(LIVEZ_AND_CLOSE)
        assert read_until_close(connection).startswith(b"HTTP/1.1 200 ")


def test_tls_is_rejected_at_the_start(fresh_database, tmp_path):
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
def test_the_end_of_chunks_is_recognised_whatever_the_reads(trailers):
    body = CHUNKED + trailers
    scanner, received = ChunkedScanner(), bytearray()
    results = []
    for byte in body:
        received.append(byte)
        results.append(scanner.is_complete(received))
    assert results == [False] * (len(body) - 1) + [True]


class CountingBytes(bytearray):
    """Counts the bytes that `find` may look at."""

    searched = 0

    def find(self, text, start=0, end=None):
        end = len(self) if end is None else min(end, len(self))
        self.searched += max(0, end - start)
        return super().find(text, start, end)


def test_trailers_are_searched_once():
    scanner, received = ChunkedScanner(), CountingBytes(b"0\r\n")
    for byte in b"X: y\r\n" * 1000:
        received.append(byte)
        assert not scanner.is_complete(received)
    assert received.searched < 6 * len(received)


@pytest.mark.parametrize("line", [b"brew\r\n", b"-1\r\n", b"\r\n", b"1" * 9000])
def test_malformed_chunks_are_complete_at_once(line):
    assert ChunkedScanner().is_complete(bytearray(line))


# Buffers


class StubConnection:
    """What the totals and the order of evictions know of a connection."""

    def __init__(self, deadline=1.0, unsent_bytes=0):
        self.deadline, self.unsent_bytes = deadline, unsent_bytes


@pytest.fixture
def total():
    return BufferTotal(10_000, lambda connection: connection.unsent_bytes)


def test_there_is_room_until_the_connections_together_exceed_the_limit(total):
    connections = [StubConnection(unsent_bytes=5000) for _ in range(3)]
    for connection in connections[:2]:
        total.recount(connection)
    assert total.has_room.is_set()
    total.recount(connections[2])
    assert not total.has_room.is_set()
    connections[0].unsent_bytes = 100
    total.recount(connections[0])
    assert total.has_room.is_set()


def test_closed_connections_make_room(total):
    connections = [StubConnection(unsent_bytes=9000) for _ in range(2)]
    for connection in connections:
        total.recount(connection)
    assert not total.has_room.is_set()
    for connection in connections:
        total.remove(connection)
        total.remove(connection)
        assert total.has_room.is_set()


class CountingSet(set):
    """Counts the walks over its members."""

    walks = 0

    def __iter__(self):
        self.walks += 1
        return super().__iter__()


def test_evictions_do_not_walk_over_all_connections_each_time():
    connections = CountingSet(StubConnection(deadline) for deadline in range(1000))
    order = EvictionOrder(connections)
    evicted = []
    for number in range(1000):
        connections.add(StubConnection(deadline=1000 + number))
        evicted.append(order.pop())
        connections.remove(evicted[-1])
    assert [connection.deadline for connection in evicted] == list(range(1000))
    assert connections.walks == 1


def test_a_connection_whose_deadline_has_changed_is_evicted_in_its_new_place():
    first, second, third = [StubConnection(deadline) for deadline in (1, 2, 3)]
    connections = {first, second, third}
    order = EvictionOrder(connections)
    assert order.pop() is first
    connections.remove(first)
    second.deadline = 4
    assert order.pop() is third
    connections.remove(third)
    assert order.pop() is second


def test_a_connection_with_a_response_is_evicted_last_and_one_with_a_thread_never():
    idle, sending = StubConnection(2), StubConnection(1, unsent_bytes=1)
    connections = {idle, sending, StubConnection(inf)}
    order = EvictionOrder(connections)
    for evicted in (idle, sending):
        assert order.pop() is evicted
        connections.remove(evicted)
    assert order.pop() is None


# Fairness


@pytest.fixture
def wide_pool(may_continue):
    """Four threads, which call the functions that are submitted."""
    pool = ThreadPool(4, lambda function: function(), may_continue, max_queued=8)
    yield pool
    pool.shutdown(wait=True)


class Blocker:
    """Functions that occupy a thread until they may go on."""

    def __init__(self):
        self.may_end = Event()
        self.started = Semaphore(0)

    def __call__(self):
        self.started.release()
        assert self.may_end.wait(TIMEOUT)

    def has_started(self, count):
        """Return whether as many as `count`, and no more, have started."""
        started = all(self.started.acquire(timeout=TIMEOUT) for _ in range(count))
        return started and not self.started.acquire(timeout=0.05)


@pytest.fixture
def blocker():
    blocker = Blocker()
    yield blocker
    blocker.may_end.set()


def test_a_client_gets_half_of_the_threads_and_others_the_rest(wide_pool, blocker):
    for _ in range(3):
        assert wide_pool.submit(blocker, ("here", "token"))
    assert blocker.has_started(2)
    for clients in (("here",), ("elsewhere", "token")):
        assert wide_pool.submit(blocker, clients)
    assert blocker.has_started(0)
    for _ in range(3):
        assert wide_pool.submit(blocker, ("elsewhere",))
    assert blocker.has_started(2)


def test_connections_that_had_to_wait_are_handled_later(wide_pool, blocker):
    done = Semaphore(0)
    for _ in range(2):
        wide_pool.submit(blocker, ("here", "token"))
    assert blocker.has_started(2)
    for clients in (("here", "other"), ("elsewhere", "token"), ("here", "token"), ("here",)):
        assert wide_pool.submit(done.release, clients)
    assert not done.acquire(timeout=0.05)
    blocker.may_end.set()
    assert all(done.acquire(timeout=TIMEOUT) for _ in range(4))
    assert len(wide_pool) == 0


def test_a_client_gets_half_of_the_queue(wide_pool, blocker):
    for _ in range(2):
        wide_pool.submit(blocker, ("here",))
    assert blocker.has_started(2)
    assert [wide_pool.submit(blocker, ("here",)) for _ in range(6)] == 4 * [True] + 2 * [False]
    assert wide_pool.submit(blocker, ("elsewhere",))
    assert blocker.has_started(1)


def test_connections_without_a_client_get_all_threads(wide_pool, blocker):
    for _ in range(4):
        wide_pool.submit(blocker)
    assert blocker.has_started(4)


def test_a_shutdown_handles_connections_that_had_to_wait(wide_pool, blocker):
    done = Semaphore(0)
    for _ in range(2):
        wide_pool.submit(blocker, ("here",))
    assert blocker.has_started(2)
    for _ in range(3):
        wide_pool.submit(done.release, ("here",))
    wide_pool.shutdown(wait=False)
    assert all(done.acquire(timeout=TIMEOUT) for _ in range(3))


LIMITED = {"ALCHEMIST_LIMIT_REQUESTS": "1000000", "ALCHEMIST_OPEN_ACCESS": "false"}


@pytest.mark.parametrize(
    ("environment", "is_served"),
    [(LIMITED, True), ({"ALCHEMIST_OPEN_ACCESS": "false"}, False)],
    ids=["with limits", "without"],
)
def test_a_client_that_occupies_threads_leaves_some_for_others(
    fresh_database, tmp_path, environment, is_served
):
    """Two clients of a trusted proxy: one sends what waits for a lock, the other does not."""
    environment = environment | {
        "ALCHEMIST_WORKERS": "1",
        "ALCHEMIST_THREADS": "2",
        "ALCHEMIST_TRUSTED_PROXIES": "127.0.0.1",
    }
    first, second = (f"X-Forwarded-For: 192.0.2.{number}\r\n".encode() for number in (1, 2))
    request_first = GET.replace(HOST, HOST + first)
    with Gunicorn(fresh_database, tmp_path, **environment) as server, ExitStack() as stack:
        address = ("127.0.0.1", server.port)
        stack.enter_context(ingredients_locked(fresh_database))
        for _ in range(2):
            blocked = stack.enter_context(socket.create_connection(address, timeout=TIMEOUT))
            blocked.sendall(request_first)
        other = stack.enter_context(socket.create_connection(address, timeout=TIMEOUT))
        other.sendall(b"GET /api/v2/stores HTTP/1.1\r\n" + HOST + second + b"\r\n")
        assert bool(readable([other], 0.5)) is is_served


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        (("192.0.2.7", 4711), [], ("192.0.2.7",)),
        (("192.0.2.7", 4711), [("AUTHORIZATION", "Bearer a")], ("192.0.2.7", "Bearer a")),
        (("192.0.2.7", 4711), [("X-FORWARDED-FOR", "198.51.100.1")], ("192.0.2.7",)),
        (("10.0.0.1", 4711), [("X-FORWARDED-FOR", "198.51.100.1")], ("198.51.100.1",)),
        (("2001:db8::1", 4711, 0, 0), [], ("20010db800000000/64",)),
        ("", [], ()),
    ],
)
def test_a_request_is_from_an_address_and_maybe_from_a_token(peer, headers, expected):
    connection = SimpleNamespace(client=peer, request=SimpleNamespace(headers=headers))
    assert Clients(TrustedProxies(["10.0.0.0/8"])).address_and_token_of(connection) == expected
