"""Open access: for whoever sits at this machine, when asked for, and for nobody else."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection
from time import monotonic, sleep

import pytest
from sqlalchemy import text

from alchemist import config
from alchemist import database as db
from alchemist.api.trusted_proxies import HEADERS
from alchemist.config import ConfigurationError
from alchemist.database import PROJECT_ROOT
from alchemist.domains.users import permissions
from alchemist.embedded import spawn
from tests.factories import make_user, sign_in
from tests.servers import TIMEOUT, Gunicorn

URL = "/api/v2/ingredients"
NEW = {"name": "Mandrake"}

HERE = [
    "localhost",
    "localhost:8000",
    "LOCALHOST",
    "LocalHost:8000",
    "127.0.0.1",
    "127.0.0.1:8000",
    "127.9.9.9",
    "[::1]:8000",
    "[::1]",
]
ELSEWHERE = [
    "evil.example",
    "evil.example:8000",
    "127.0.0.1.evil.example",
    "127.0.0.1.evil.example:8000",
    "localhost.evil",
    "evil.localhost.example",
    "localhost@evil.example",
    "0.0.0.0:8000",
    "192.0.2.1",
    "[::]:8000",
    "[2001:db8::1]:8000",
    "2130706433",
    "127.1",
    "0x7f.0.0.1",
    "",
]


def create(client, host="localhost", peer="127.0.0.1", **headers):
    environ = {"REMOTE_ADDR": peer, "HTTP_HOST": host}
    return client.post(URL, json=NEW, headers=headers, environ_overrides=environ)


def count():
    statement = text("SELECT count(*) FROM ingredients WHERE name = :name")
    return db.session.scalar(statement, NEW)


@pytest.mark.parametrize("host", HERE)
def test_a_host_of_this_machine_is_open(client, host):
    assert create(client, host).status_code == 201


@pytest.mark.parametrize("host", ELSEWHERE)
def test_a_foreign_host_is_refused(client, host):
    answer = create(client, host)
    assert answer.status_code in (400, 403)
    assert answer.json["code"] in ("not-local", "malformed-request")
    assert count() == 0


ABSOLUTE = {
    "http://localhost:8000": 201,
    "HTTP://LOCALHOST": 201,
    "http://[::1]:8000": 201,
    "http://me@localhost": 201,
    "http://evil.example": 403,
    "HTTPS://evil.example:8000": 403,
    "http://localhost@evil.example": 403,
    "http://localhost:8000@evil.example": 403,
    "http://": 403,
}


@pytest.mark.parametrize(("origin", "status"), ABSOLUTE.items())
def test_an_absolute_target_is_of_this_machine_as_well_as_the_host(client, origin, status):
    environ = {"RAW_URI": f"{origin}{URL}", "HTTP_HOST": "localhost"}
    assert client.post(URL, json=NEW, environ_overrides=environ).status_code == status
    assert count() == (status == 201)


def test_a_foreign_host_is_not_mended_by_an_absolute_target(client):
    environ = {"RAW_URI": f"http://localhost{URL}", "HTTP_HOST": "evil.example"}
    assert client.post(URL, json=NEW, environ_overrides=environ).status_code == 403


def test_a_url_in_the_query_is_no_target(client):
    environ = {"RAW_URI": f"{URL}?name=http://evil.example/", "HTTP_HOST": "localhost"}
    assert client.get(URL, environ_overrides=environ).status_code == 200


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.0.0.2", "::1", ""])
def test_a_peer_on_this_machine_is_let_in(client, peer):
    assert create(client, peer=peer).status_code == 201


@pytest.mark.parametrize(
    "peer", ["192.0.2.1", "10.0.0.1", "2001:db8::1", "0.0.0.0", "localhost.evil"]
)
def test_a_peer_elsewhere_is_refused(client, peer):
    answer = create(client, peer=peer)
    assert (answer.status_code, answer.json["code"]) == (403, "not-local")
    assert count() == 0


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Real-Ip", "Forwarded", "X-Forwarded-Host"]
)
def test_nobody_comes_closer_by_a_header(client, header):
    value = "for=127.0.0.1;host=localhost" if header == "Forwarded" else "127.0.0.1"
    assert create(client, "evil.example", "192.0.2.1", **{header: value}).status_code == 403
    assert create(client, "evil.example", **{header: value}).status_code == 403
    assert create(client, peer="192.0.2.1", **{header: value}).status_code == 403


@pytest.mark.parametrize("path", [URL, "/api/v2/users", "/api/v2/me", "/api/v1/potions"])
def test_a_foreign_host_reads_nothing_either(client, path):
    environ = {"HTTP_HOST": "evil.example"}
    assert client.get(path, environ_overrides=environ).status_code == 403


@pytest.mark.parametrize(
    "header",
    [
        *({"Origin": "https://evil.example"}, {"Origin": "null"}),
        *({"Origin": "http://localhost:3000"}, {"Origin": "https://localhost"}),
        *({"Origin": "http://127.0.0.1"}, {"Sec-Fetch-Site": "cross-site"}),
    ],
)
def test_a_page_of_somebody_else_does_nothing_in_the_users_browser(client, header):
    """A form that a foreign page sends needs no CORS, and some operations need no body."""
    user = make_user(email="ada@alchemist.example")
    form = header | {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.post(f"/api/v2/users/{user.pk}/anonymise", headers=form)
    assert answer.status_code == 403
    emails = db.session.scalars(text("SELECT email FROM users")).all()
    assert emails == ["ada@alchemist.example"]


@pytest.mark.parametrize("host", ["localhost:8000", "LOCALHOST:8000", "127.0.0.1", "[::1]:8000"])
def test_a_page_of_the_service_itself_may(client, host):
    assert create(client, host, Origin=f"http://{host.lower()}").status_code == 201


@pytest.mark.parametrize("header", HEADERS)
def test_a_request_that_a_proxy_forwards_is_rejected(client, header):
    answer = create(client, **{header: "localhost"})
    assert (answer.status_code, answer.json["code"]) == (403, "not-local")
    assert count() == 0


CONFIGURED = "http://localhost:3000"


@pytest.mark.parametrize(
    ("origin", "status"),
    [(CONFIGURED, 201), ("http://localhost:3001", 403), ("https://evil.example", 403)],
)
def test_a_page_of_a_configured_origin_may_write(app, client, monkeypatch, origin, status):
    monkeypatch.setitem(app.extensions, "cors_origins", (CONFIGURED,))
    # `localhost` and 127.0.0.1 are different sites.
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    assert create(client, "127.0.0.1:8000", **headers).status_code == status


def test_a_token_that_is_sent_counts(client):
    user = make_user(role="customer")
    response = client.get("/api/v2/me", headers=sign_in(user))
    assert response.json["user"]["pk"] == str(user.pk)
    assert response.json["permissions"] == sorted(permissions.CUSTOMER)
    response = client.post(URL, json=NEW, headers=sign_in(user))
    assert response.status_code == 403
    assert "ingredients:write" in response.json["detail"]


@pytest.mark.parametrize("authorization", ["Bearer nonsense", "Basic YTpi", "Bearer", ""])
def test_a_bad_token_is_rejected(client, authorization):
    response = client.get(URL, headers={"Authorization": authorization})
    assert response.status_code == 401
    assert "invalid_token" in response.headers["WWW-Authenticate"]


def test_a_token_does_not_open_access_from_elsewhere(client):
    headers = sign_in(make_user(role="admin"))
    assert create(client, "evil.example", **headers).status_code == 403


def test_it_is_off_unless_asked_for(monkeypatch, tmp_path, database):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ALCHEMIST_OPEN_ACCESS", raising=False)
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/alchemist")
    assert config.load().open_access is False
    assert config.Settings(database_url=database).open_access is False


def test_without_it_and_without_a_token_a_write_is_refused(gunicorn_with_auth):
    gunicorn = gunicorn_with_auth
    answer = gunicorn.request("POST", URL, '{"name": "M"}', **{"Content-Type": "application/json"})
    assert answer.status == 401
    assert gunicorn.request("GET", URL).body == b"[]"


# At the start

LOOPBACK = [
    *("127.0.0.1:8000", "127.0.0.5:1", "localhost:8000", "[::1]:8000", "unix:/run/a.sock"),
    *("tcp://127.0.0.1:8000", "127.0.0.1:8000, unix:/run/a.sock,[::1]:8000"),
]
REACHABLE = [
    "0.0.0.0:8000",
    "[::]:8000",
    ":8000",
    "8000",
    "192.0.2.1:8000",
    "[2001:db8::1]:8000",
    "alchemist.example:8000",
    "127.0.0.1.evil.example:8000",
    "localhost.evil:8000",
    "tcp://0.0.0.0:8000",
    "127.0.0.1:8000,0.0.0.0:8000",
    "unix:/run/a.sock, 0.0.0.0:8000",
]


@pytest.mark.parametrize("bind", LOOPBACK)
def test_a_loopback_address_or_a_unix_socket_is_fine(bind):
    config.require_local_bind(bind)


@pytest.mark.parametrize("bind", REACHABLE)
def test_another_address_is_refused_by_its_name(bind):
    with pytest.raises(ConfigurationError) as refused:
        config.require_local_bind(bind)
    [mistake] = refused.value.errors
    assert mistake.startswith("ALCHEMIST_OPEN_ACCESS: ")
    assert config.split_addresses(bind)[-1] in mistake


def start(url, *arguments, **environment):
    """Run gunicorn to its end, which must come at once."""
    known = {name: value for name, value in os.environ.items() if "ALCHEMIST" not in name}
    known |= {"DATABASE_URL": url.render_as_string(hide_password=False)}
    return subprocess.run(
        [sys.executable, "-m", "gunicorn", *arguments, "wsgi:app"],
        cwd=PROJECT_ROOT,
        env=known | {"ALCHEMIST_OPEN_ACCESS": "true"} | environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


STARTS = {
    "setting": ([], {"ALCHEMIST_BIND": "0.0.0.0:0"}),
    "option": (["--bind", "0.0.0.0:0"], {}),
    "second option": (["--bind", "127.0.0.1:0", "--bind", "0.0.0.0:0"], {}),
    "gunicorn's variable": ([], {"GUNICORN_CMD_ARGS": "--bind=0.0.0.0:0"}),
}


@pytest.mark.parametrize("how", STARTS)
def test_gunicorn_does_not_start_where_others_reach_it(database, how):
    arguments, environment = STARTS[how]
    ended = start(database, *arguments, **environment)
    assert ended.returncode not in (0, None)
    # gunicorn notes that it starts before it asks.
    lines = (ended.stdout + ended.stderr).strip().splitlines()
    [said] = [line for line in lines if "Starting gunicorn" not in line]
    assert said.startswith("ALCHEMIST_OPEN_ACCESS: ")
    assert "0.0.0.0" in said


def test_gunicorn_starts_with_it_on_loopback(fresh_database, tmp_path):
    with Gunicorn(fresh_database, tmp_path, ALCHEMIST_OPEN_ACCESS="true") as server:
        sent = {"Content-Type": "application/json"}
        assert server.request("POST", URL, '{"name": "M"}', **sent).status == 201
        foreign = sent | {"Host": "evil.example"}
        assert server.request("POST", URL, '{"name": "M"}', **foreign).status == 403
        absolute, host = "http://evil.example/api/v2/users", {"Host": "localhost"}
        assert server.request("GET", absolute, **host).status == 403


class OnSocket(HTTPConnection):
    """A connection to the server behind a unix socket."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.host)


def ask_on(path, host):
    connection = OnSocket(str(path))
    with closing(connection):
        connection.request("GET", URL, headers={"Host": host})
        return connection.getresponse().status


def _listens(path):
    """Tell whether somebody does: between `bind` and `listen` there is a file already."""
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.fixture
def unix_socket(fresh_database, tmp_path):
    """The socket on which gunicorn serves with open access."""
    path = tmp_path / "socket"
    environment = {
        "DATABASE_URL": fresh_database.render_as_string(hide_password=False),
        "ALCHEMIST_OPEN_ACCESS": "true",
        "ALCHEMIST_BIND": f"unix:{path}",
    }
    command = [sys.executable, "-m", "gunicorn", "wsgi:app"]
    with (tmp_path / "log").open("wb") as log:
        process = spawn.spawn(
            command,
            signal.SIGTERM,
            cwd=PROJECT_ROOT,
            env=os.environ | environment,
            stdout=log,
            stderr=log,
        )
    deadline = monotonic() + TIMEOUT
    while not _listens(path):
        assert process.poll() is None
        assert monotonic() < deadline
        sleep(0.05)
    yield path
    process.terminate()
    process.wait(TIMEOUT)


def test_gunicorn_starts_with_it_on_a_unix_socket(unix_socket):
    assert ask_on(unix_socket, "localhost") == 200
    assert ask_on(unix_socket, "evil.example") == 403
