"""Standbys answer reads, but never with a state that is older than the client knows."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from random import Random
from time import monotonic, sleep

import pytest

from tests.servers import TIMEOUT, ProductionGunicorn
from tests.standbys import Primary, Standby, frozen, kill, urls, wait_until

pytestmark = pytest.mark.slow

INGREDIENTS = "/api/v2/ingredients"
JSON = {"Content-Type": "application/json", "If-Match": "*"}
NODES, CLIENTS, PAIRS = 3, 6, 300
# Seconds for a standby to be used again.
RECOVERY = 8


class Node(ProductionGunicorn):
    """A service node with one worker, whose log has every request."""

    def request(self, method, path, body=None, **headers):
        return super().request(method, path, body and json.dumps(body), **headers)

    def reads(self):
        """Return the log lines of all reads."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line[0] == "{"]
        return [line for line in lines if line.get("method") == "GET" and line["statements"]]

    def uses_replica(self, path=INGREDIENTS, **headers):
        """Read, and return whether the standby answered alone."""
        before = len(self.reads())
        assert self.request("GET", path, **headers).status == 200
        wait_until(lambda: len(self.reads()) > before)
        last = self.reads()[-1]
        return last.get("replica", False) and last["statements"] == 1

    def wait_for_replica(self):
        wait_until(self.uses_replica, RECOVERY)


class UnguardedNode(Node):
    application = "tests.faults.unguarded_replicas:app"


@pytest.fixture(scope="module")
def primary(tmp_path_factory):
    with Primary(tmp_path_factory.mktemp("primary") / "data") as primary:
        primary.execute("CREATE EXTENSION pg_stat_statements")
        yield primary


@pytest.fixture(scope="module")
def standby(primary, tmp_path_factory):
    with Standby(tmp_path_factory.mktemp("standby") / "data", primary, "one") as standby:
        yield standby


@pytest.fixture(scope="module")
def start(primary, standby, tmp_path_factory):
    """Return what starts nodes that read from the standby until the module ends."""
    with ExitStack() as stack:

        def start_nodes(number, reads, node=Node, url=None, **environment):
            environment |= {
                "ALCHEMIST_WORKERS": "1",
                "ALCHEMIST_REPLICA_URL": url or urls([standby]),
                "ALCHEMIST_REPLICA_READS": reads,
            }
            return [
                stack.enter_context(
                    node(primary.url, tmp_path_factory.mktemp("node"), **environment)
                )
                for _ in range(number)
            ]

        yield start_nodes


@pytest.fixture(scope="module")
def started_by_position(start):
    return start(NODES, "position")


@pytest.fixture(scope="module")
def started_by_application(start):
    return start(NODES, "applied")


@pytest.fixture
def position_nodes(started_by_position):
    for node in started_by_position:
        node.wait_for_replica()
    return started_by_position


@pytest.fixture
def applied_nodes(started_by_application, primary):
    """Nodes whose commits wait until the standby has applied them."""
    standby_names = {"synchronous_standby_names": "one", "synchronous_commit": "remote_apply"}
    primary.configure(**standby_names)
    for node in started_by_application:
        node.wait_for_replica()
    yield started_by_application
    primary.configure(synchronous_standby_names="", synchronous_commit="on")


@pytest.fixture
def apply_delay(standby):
    """Return what delays the standby."""

    def delay(milliseconds):
        standby.configure(recovery_min_apply_delay=f"{milliseconds}ms")

    yield delay
    delay(0)


def create(node, name="Mandrake"):
    response = node.request("POST", INGREDIENTS, {"name": name}, **JSON)
    assert response.status == 201, response.body
    return response


def position_of(response):
    return {"Alchemist-Position": response.headers["Alchemist-Position"]}


def write_and_read(nodes, seed, pairs):
    """Write on one node and read on another, many times; return how many reads were stale."""
    random = Random(seed)
    path = f"{INGREDIENTS}/{json.loads(create(nodes[0]).body)['pk']}"
    stale = 0
    with ExitStack() as stack:
        connections = [HTTPConnection("127.0.0.1", node.port, timeout=TIMEOUT) for node in nodes]
        for connection in connections:
            stack.callback(connection.close)

        def send(method, body=None, **headers):
            connection = random.choice(connections)
            connection.request(method, path, body and json.dumps(body), headers)
            response = connection.getresponse()
            return response, json.loads(response.read())

        for number in range(pairs):
            written, _ = send("PATCH", {"name": f"{seed} {number}"}, **JSON)
            assert written.status == 200
            position = written.headers.get("Alchemist-Position")
            read, body = send("GET", **({"Alchemist-Position": position} if position else {}))
            assert read.status == 200
            stale += body["name"] != f"{seed} {number}"
    return stale


def count_stale_reads(nodes, pairs=PAIRS):
    with ThreadPoolExecutor(CLIENTS) as pool:
        runs = [pool.submit(write_and_read, nodes, n, pairs // CLIENTS) for n in range(CLIENTS)]
        return sum(run.result() for run in runs)


def count_replica_reads(nodes):
    return sum(line.get("replica", False) for node in nodes for line in node.reads())


def test_commits_that_wait_for_the_standby_are_read_there(applied_nodes, apply_delay):
    apply_delay(20)
    before = count_replica_reads(applied_nodes)
    assert count_stale_reads(applied_nodes) == 0
    assert count_replica_reads(applied_nodes) - before > 0.5 * PAIRS


def test_a_standby_that_has_replayed_the_position_answers(position_nodes, apply_delay):
    before = count_replica_reads(position_nodes)
    assert count_stale_reads(position_nodes) == 0
    assert count_replica_reads(position_nodes) > before
    apply_delay(50)
    assert count_stale_reads(position_nodes) == 0


@pytest.mark.parametrize("reads", ["applied", "position"])
def test_without_the_guard_there_are_stale_reads(reads, start, apply_delay):
    nodes = start(1, reads, UnguardedNode)
    apply_delay(50)
    assert count_stale_reads(nodes, CLIENTS) > 0


def test_a_read_takes_nothing_from_the_primary(applied_nodes, primary):
    node = applied_nodes[0]
    path = f"{INGREDIENTS}/{json.loads(create(node).body)['pk']}"
    primary.execute("SELECT pg_stat_statements_reset()")
    for _ in range(50):
        assert node.uses_replica(path)
        assert node.uses_replica()
    calls = "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query LIKE '%FROM ingre%'"
    assert primary.execute(calls) == [(0,)]


def test_a_row_that_the_standby_lacks_is_read_from_the_primary(position_nodes, standby):
    node = position_nodes[0]
    standby.execute("SELECT pg_wal_replay_pause()")
    try:
        created = create(node)
        path = created.headers["Location"]
        assert node.request("GET", path).status == 200
        assert node.request("HEAD", path).status == 200
        # A list without a position is that of the standby.
        pk = json.loads(created.body)["pk"]
        newest = f"{INGREDIENTS}?sort=-pk&limit=1"
        assert pk not in node.request("GET", newest).body.decode()
        assert pk in node.request("GET", newest, **position_of(created)).body.decode()
        # Clients of version 1 know no positions, and see every write.
        assert pk in node.request("GET", "/api/v1/ingredients").body.decode()
    finally:
        standby.execute("SELECT pg_wal_replay_resume()")
    wait_until(lambda: pk in node.request("GET", newest).body.decode())


def test_writes_answer_their_position_only_if_reads_need_it(position_nodes, applied_nodes):
    position = create(position_nodes[0]).headers["Alchemist-Position"]
    assert re.fullmatch(r"1-[0-9A-F]+/[0-9A-F]+", position)
    assert "Alchemist-Position" not in create(applied_nodes[0]).headers


def test_what_needs_the_state_of_all_transactions_is_read_from_the_primary(position_nodes):
    node = position_nodes[0]
    key = {"Idempotency-Key": "mandrake"}
    assert node.request("POST", INGREDIENTS, {"name": "Mandrake"}, **JSON, **key).status == 201
    assert not node.uses_replica("/api/v2/idempotency-keys/mandrake")
    assert not node.uses_replica("/api/v2/changes?after=start")
    assert not node.uses_replica("/api/v1/ingredients")
    assert node.uses_replica()


def test_version_1_reads_what_is_applied(applied_nodes):
    assert applied_nodes[0].uses_replica("/api/v1/ingredients")


def test_a_standby_that_is_not_synchronous_is_not_read(applied_nodes, primary):
    node = applied_nodes[0]
    primary.configure(synchronous_standby_names="")
    wait_until(lambda: not node.uses_replica(), RECOVERY)
    assert "Commits do not wait for it" in node.log.read_text()
    primary.configure(synchronous_standby_names="one")
    node.wait_for_replica()
    primary.configure(synchronous_commit="on")
    wait_until(lambda: not node.uses_replica(), RECOVERY)
    primary.configure(synchronous_commit="remote_apply", synchronous_standby_names="ANY 1 (one, b)")
    sleep(2)
    assert not node.uses_replica()


def test_a_role_that_may_not_read_the_statistics_reads_from_the_primary(start, primary, standby):
    primary.execute(
        "CREATE ROLE clerk LOGIN",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk",
    )
    [node] = start(1, "position", url=urls([standby]).replace("alchemist@", "clerk@"))
    wait_until(lambda: not node.uses_replica() and "pg_read_all_stats" in node.log.read_text())
    primary.execute("GRANT pg_read_all_stats TO clerk")
    node.wait_for_replica()


@contextmanager
def reading(node):
    """Read all the time; afterwards every response must have been 200."""
    answers, is_over = [], []

    def read():
        while not is_over:
            began = monotonic()
            answers.append((node.request("GET", INGREDIENTS).status, monotonic() - began))

    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(read) for _ in range(3)]
        try:
            yield
        finally:
            is_over.append(True)
        for run in runs:
            run.result()
    assert {status for status, _ in answers} == {200}
    # Few waited for the standby: it is left alone.
    assert sum(seconds > 0.9 for _, seconds in answers) < 20


def test_a_frozen_standby_costs_no_request(position_nodes, standby):
    node = position_nodes[0]
    with reading(node):
        with frozen(standby):
            sleep(5)
            assert not node.uses_replica()
        node.wait_for_replica()


def test_a_killed_standby_costs_no_request(position_nodes, standby):
    node = position_nodes[0]
    with reading(node):
        kill(standby)
        sleep(1)
        assert not node.uses_replica()
        standby.start()
        node.wait_for_replica()


def test_a_repetition_is_acknowledged_only_when_the_standby_has_the_first_request(
    start, primary, standby
):
    """The commit that was canceled while it waited for the standby is seen on the primary."""
    timeouts = {"STATEMENT_TIMEOUT": "2", "REQUEST_TIMEOUT": "3", "REPLICA_TIMEOUT": "0.5"}
    [node] = start(1, "position", **{f"ALCHEMIST_{name}": t for name, t in timeouts.items()})
    primary.configure(synchronous_standby_names="one", synchronous_commit="on")
    try:
        key = {"Idempotency-Key": "moonstone"}

        def repeat():
            return node.request("POST", INGREDIENTS, {"name": "Moonstone"}, **JSON, **key)

        with frozen(standby):
            assert repeat().status == 503
            assert primary.execute("SELECT count(*) FROM ingredients WHERE name = 'Moonstone'") == [
                (1,)
            ]
            assert repeat().status == 503
            assert node.request("GET", "/api/v2/idempotency-keys/moonstone").status == 503
        wait_until(lambda: repeat().status == 201)
        assert repeat().headers["Idempotent-Replayed"] == "true"
    finally:
        primary.configure(synchronous_standby_names="", synchronous_commit="on")
