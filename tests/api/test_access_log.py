"""The log: a line of JSON a request, whatever was sent, and nothing in it that is secret."""

import json
import logging
import re
import runpy
import socket
import sys
from contextlib import closing
from datetime import datetime
from io import StringIO

import gunicorn.util
import pytest
from gunicorn.config import Config
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import IntegrityError

from alchemist import database as db
from alchemist.api import access_log, log_formats
from alchemist.database import statement_times
from alchemist.domains.ingredients import service
from alchemist.domains.users import token_format
from alchemist.domains.users.models import Token
from tests.factories import bearer, make_ingredient, make_potion, make_user, sign_in
from tests.servers import TIMEOUT, Gunicorn

POTIONS = "/api/v2/potions"
INGREDIENTS = "/api/v2/ingredients"
JSON = {"Content-Type": "application/json"}
NO_PK = "01935f2e-7c1a-7b3e-9d3c-0123456789ab"
# Line breaks to JSON, to Python, or to a terminal, and what moves a cursor.
FORGED = "a\r\nb\u2028c\x85d\x1b[2Je\x00f"


@pytest.fixture
def lines(caplog):
    """Return what parses the lines so far: of requests, or of another logger."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(log_formats.JsonFormatter())
    caplog.set_level(logging.INFO, "alchemist")
    logging.getLogger("alchemist").addHandler(handler)

    def parse(logger="alchemist.requests"):
        told = [json.loads(line) for line in stream.getvalue().splitlines()]
        return [line for line in told if line["logger"] == logger]

    yield parse
    logging.getLogger("alchemist").removeHandler(handler)


def formatted(message, *args, **how):
    record = logging.getLogger("x").makeRecord(
        "x", logging.ERROR, __file__, 1, message, args, **{"exc_info": None} | how
    )
    return log_formats.JsonFormatter().format(record)


def test_a_request_is_a_line(client, lines):
    potion = make_potion()
    answer = client.get(f"{POTIONS}/{potion.pk}", headers={"X-Request-ID": "one"})
    [line] = lines()
    assert datetime.fromisoformat(line["at"]).utcoffset().total_seconds() == 0
    assert 0 < line["ms"] < 10_000
    wanted = {
        "level": "info",
        "request_id": answer.headers["X-Request-ID"],
        "client_request_id": "one",
        "method": "GET",
        "route": f"{POTIONS}/<uuid:pk>",
        "status": 200,
        "statements": 1,
        "user_id": None,
        "token_id": None,
    }
    assert {name: line[name] for name in wanted} == wanted
    assert "code" not in line
    assert answer.headers["X-Client-Request-ID"] == "one"


def test_a_line_counts_the_statements_of_its_request_alone(client, lines):
    client.get(POTIONS)
    root = make_ingredient(name="Root")
    # Whose name is compared, in a statement of its own.
    recipe = [{"pk": str(root.pk), "name": "Root"}]
    client.post(POTIONS, json={"name": "Draught", "ingredients": recipe})
    client.get(POTIONS)
    first, creation, second = (line["statements"] for line in lines())
    assert (first, second) == (1, 1)
    assert creation > 1


def test_a_line_names_the_caller_and_the_token(client_with_auth, lines):
    user = make_user(role="admin")
    headers = sign_in(user)
    client_with_auth.get("/api/v2/me", headers=headers)
    client_with_auth.get(POTIONS)
    told, anonymous = lines()
    assert told["user_id"] == str(user.pk)
    assert re.fullmatch(r"[0-9a-f-]{36}", told["token_id"])
    assert (anonymous["user_id"], anonymous["token_id"]) == (None, None)


@pytest.mark.parametrize(
    ("method", "path", "logged"),
    [
        ("GET", "/nowhere?swordfish", "/nowhere"),
        ("GET", "/a%1b%20%c3%a9", "/a%1B%20%C3%A9"),
        ("PUT", f"{POTIONS}?swordfish", POTIONS),
        ("GET", f"/{'x' * 2000}", f"/{'x' * 499}"),
    ],
)
def test_a_log_line_has_the_path_if_no_route_matches(client, lines, method, path, logged):
    client.open(path, method=method)
    [line] = lines()
    assert (line["route"], line["path"]) == (None, logged)


def test_a_line_with_a_route_has_no_path(client, lines):
    client.get(f"{POTIONS}/{make_potion().pk}")
    [line] = lines()
    assert "path" not in line


def test_the_user_agent_is_logged_if_it_is_configured(make_committing_app, lines):
    headers = {"User-Agent": "till/1.0 " + "x" * 500}
    make_committing_app().test_client().get(POTIONS, headers=headers)
    make_committing_app(log_user_agent=True).test_client().get(POTIONS, headers=headers)
    default, configured = lines()
    assert "user_agent" not in default
    assert configured["user_agent"].startswith("till/1.0 x")
    assert len(configured["user_agent"]) == access_log.MAX_USER_AGENT_LENGTH


def test_a_line_of_a_403_names_the_caller_and_the_token(client_with_auth, lines):
    user = make_user()
    assert client_with_auth.get("/api/v2/coupons", headers=sign_in(user)).status_code == 403
    [line] = lines()
    assert (line["status"], line["user_id"]) == (403, str(user.pk))
    assert re.fullmatch(r"[0-9a-f-]{36}", line["token_id"])


def test_a_missing_permission_of_a_known_caller_is_a_warning_that_names_it(client_with_auth, lines):
    client_with_auth.get("/api/v2/coupons", headers=sign_in(make_user()))
    client_with_auth.get("/api/v2/coupons")
    known, anonymous = lines()
    assert (known["level"], known["permission"]) == ("warning", "coupons:read")
    assert (anonymous["level"], anonymous["status"]) == ("info", 401)


@pytest.mark.parametrize("ended", [{"revoked_at": "2026-01-01"}, {"expires_at": "2026-01-01"}])
def test_a_token_that_has_ended_is_a_warning_that_names_its_user(client_with_auth, lines, ended):
    user = make_user()
    headers = sign_in(user)
    token = db.session.query(Token).filter_by(user_id=user.pk).one()
    for name, day in ended.items():
        setattr(token, name, datetime.fromisoformat(f"{day}T00:00:00+00:00"))
    db.session.commit()
    assert client_with_auth.get(POTIONS, headers=headers).status_code == 401
    [line] = lines()
    assert (line["level"], line["status"]) == ("warning", 401)
    assert (line["user_id"], line["token_id"]) == (str(user.pk), str(token.pk))


def test_a_suspended_user_is_a_warning(client_with_auth, lines):
    user = make_user(suspended_at=datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
    secret = token_format.generate()
    db.insert(Token(user_id=user.pk, label="T", digest=token_format.digest(secret), **LIVE))
    assert client_with_auth.get(POTIONS, headers=bearer(secret)).status_code == 403
    [line] = lines()
    assert (line["level"], line["code"]) == ("warning", "user-suspended")
    assert line["user_id"] == str(user.pk)


LIVE = {"expires_at": datetime.fromisoformat("2099-01-01T00:00:00+00:00")}


def test_a_line_has_the_address_of_the_client_if_configured(app, client, lines, monkeypatch):
    client.get(POTIONS)
    monkeypatch.setitem(app.extensions, "log_client_address", True)
    client.get(POTIONS)
    without, with_address = lines()
    assert "client_address" not in without
    assert with_address["client_address"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/nowhere", 404, "not-found"),
        ("/api/docs", 405, "method-not-allowed"),
        (INGREDIENTS, 422, "required"),
        (f"{POTIONS}?x=%ff", 400, "malformed-request"),
    ],
)
def test_a_client_error_is_logged_at_level_info_with_its_code(client, lines, path, status, code):
    assert client.post(path, json={}).status_code == status
    [line] = lines()
    assert (line["level"], line["status"], line["code"]) == ("info", status, code)
    assert "exception" not in line


def raising(error):
    def create(**_values):
        raise error

    return create


def test_a_defect_is_a_line_of_level_error_beside_its_stack(app, client, lines, monkeypatch):
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    monkeypatch.setattr(service, "create", raising(ZeroDivisionError("by nothing")))
    answer = client.post(INGREDIENTS, json={"name": "Mandrake"})
    [line] = lines()
    assert (line["level"], line["status"], line["code"]) == ("error", 500, "internal")
    assert (line["exception"], line["reason"]) == ("builtins.ZeroDivisionError", "by nothing")
    [defect] = lines("alchemist.app")
    assert defect["request_id"] == line["request_id"] == answer.json["request_id"]
    assert defect["stack"].startswith("Traceback")
    assert "in create" in defect["stack"]
    assert "ZeroDivisionError" not in answer.text


def test_an_outage_is_a_line_of_level_warning_with_its_reason(
    make_committing_app, fresh_database, lines
):
    gone = fresh_database.set(host="/nowhere", query={})
    assert make_committing_app(database_url=gone).test_client().get(POTIONS).status_code == 503
    [line] = lines()
    assert (line["level"], line["code"]) == ("warning", "unavailable")
    assert line["exception"] == "sqlalchemy.exc.OperationalError"
    assert "/nowhere" in line["reason"]


def test_the_reason_of_a_failed_statement_is_without_values(client, lines, monkeypatch):
    state = "ERRCODE = '55P03', MESSAGE = 'no lock', DETAIL = 'swordfish'"
    failing = text(f"DO $$ BEGIN RAISE EXCEPTION USING {state}; END $$")
    monkeypatch.setattr(service, "create", lambda **_: db.fetch_autocommit(failing))
    assert client.post(INGREDIENTS, json={"name": "Mandrake"}).status_code == 503
    [line] = lines()
    assert (line["sqlstate"], line["reason"]) == ("55P03", "no lock")
    assert "swordfish" not in json.dumps(line)


def test_a_stack_is_without_values(client):
    row = make_ingredient()
    same = text("INSERT INTO ingredients (pk, name) VALUES (:pk, 'Mandrake')")
    with pytest.raises(IntegrityError) as caught:
        db.session.execute(same, {"pk": row.pk})
    said = formatted("Failed.", exc_info=(type(caught.value), caught.value, caught.tb))
    assert json.loads(said)["sqlstate"] == "23505"
    assert str(row.pk) not in said
    assert "UniqueViolation" in json.loads(said)["stack"]


def test_a_stack_tells_of_the_exception_behind_an_exception():
    try:
        try:
            {}["sword" + "fish"]
        except KeyError as error:
            raise ValueError("second") from error
    except ValueError:
        said = formatted("Failed.", exc_info=sys.exc_info())
    line = json.loads(said)
    assert line["stack"].index("KeyError") < line["stack"].index("ValueError")
    assert (line["exception"], line["reason"]) == ("builtins.ValueError", "second")
    assert "swordfish" not in said


def test_a_long_reason_is_cut():
    error = ValueError("x" * 10_000)
    line = json.loads(formatted("Failed.", exc_info=(ValueError, error, None)))
    assert len(line["reason"]) == log_formats.MAX_MESSAGE_LENGTH


def test_what_is_forged_stays_inside_of_its_string():
    said = formatted("Path %s", FORGED)
    assert json.loads(said)["message"] == f"Path {FORGED}"
    assert said.isascii()
    assert said.isprintable()


def test_level_warning_switches_the_lines_of_requests_off(client, lines, caplog):
    client.get(POTIONS)
    caplog.set_level(logging.WARNING, "alchemist")
    client.get(POTIONS)
    assert len(lines()) == 1


# On a real server


@pytest.fixture
def logged(shared_gunicorn):
    """Return what parses all lines since the test began; every one of them must be JSON."""
    begin = len(shared_gunicorn.log.read_bytes())

    def parse():
        lines = shared_gunicorn.log.read_bytes()[begin:].splitlines()
        told = [json.loads(line) for line in lines]
        # The first worker to boot answers, and the others tell of themselves later.
        return [line for line in told if not line["message"].startswith("Booting worker")]

    return parse


def exchange(server, sent):
    with closing(
        socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)
    ) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_all_that_gunicorn_says_is_json(shared_gunicorn):
    lines = [json.loads(line) for line in shared_gunicorn.log.read_text().splitlines()]
    said = [line["message"] for line in lines]
    assert any(message.startswith("Starting gunicorn") for message in said)
    assert any(message.startswith("Booting worker") for message in said)
    assert {line["logger"] for line in lines} <= {"gunicorn.error", "alchemist.requests"}


def test_a_request_on_the_wire_is_one_line(shared_gunicorn, logged):
    shared_gunicorn.request("GET", f"{POTIONS}?name=swordfish", **{"X-Request-ID": "two"})
    [line] = logged()
    assert (line["client_request_id"], line["route"], line["status"]) == ("two", POTIONS, 200)


UNREADABLE = {
    "no request": (b"nonsense swordfish\r\n\r\n", 400),
    "a forged version": (b"GET /?swordfish HTTP/9\r\n\r\n", 400),
    "a long line": (b"GET /?swordfish=%s HTTP/1.1\r\n\r\n" % (b"x" * 9000), 414),
    "a broken header": (b"GET / HTTP/1.1\r\nAuthorization : swordfish\r\n\r\n", 400),
    "many headers": (b"GET / HTTP/1.1\r\n" + b"A: swordfish\r\n" * 500 + b"\r\n", 431),
}


@pytest.mark.parametrize(("sent", "status"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_request_that_never_reaches_the_app_is_a_line(shared_gunicorn, logged, sent, status):
    received = exchange(shared_gunicorn, sent).decode()
    [line] = logged()
    assert (line["status"], line["level"]) == (status, "info")
    assert f"X-Request-ID: {line['request_id']}\r\n" in received
    assert "swordfish" not in json.dumps(line)


def test_no_request_forges_a_line(shared_gunicorn, logged):
    forged = "%0d%0a%7b%7d%e2%80%a8%1b%5b2J"
    for path in (f"/{forged}", f"{POTIONS}?name={forged}", f"{POTIONS}/{forged}"):
        shared_gunicorn.request("GET", path, **{"X-Request-ID": "x y\u00a0{}"})
    exchange(shared_gunicorn, b"GET /\x1b[2J\xe2\x80\xa8 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    lines = logged()
    assert len(lines) == 4
    assert all(set(line) >= {"at", "status", "request_id"} for line in lines)
    assert "[2J" not in json.dumps(lines)


def test_a_query_is_not_repeated_where_gunicorn_itself_fails(monkeypatch, caplog):
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/alchemist")
    monkeypatch.setattr(gunicorn.util, "write_error", gunicorn.util.write_error)
    monkeypatch.setattr(access_log, "configure_logging", lambda *_: None)
    log = runpy.run_path(str(db.PROJECT_ROOT / "gunicorn.conf.py"))["JsonLogger"](Config())
    monkeypatch.setattr(log.error_log, "handlers", [caplog.handler])
    log.exception("Error handling request %s %s", "GET", "/livez?swordfish")
    assert caplog.messages == ["Error handling request GET /livez"]


def test_no_secret_is_in_the_log(fresh_database, tmp_path):
    """Of the database, of a header, of a body, of a query; not even where the service fails."""
    database = fresh_database.set(password="swordfish")
    with Gunicorn(database, tmp_path, ALCHEMIST_LOG_LEVEL="debug") as server:
        secret = {"Cookie": "swordfish"}
        token = {"Authorization": "Bearer swordfish"}
        assert server.request("GET", POTIONS, **token).status == 401
        body = json.dumps({"name": "swordfish"})
        assert server.request("POST", INGREDIENTS, body, **JSON, **secret).status == 201
        assert server.request("GET", f"{POTIONS}?name=swordfish", **secret).status == 200
        server.request("POST", INGREDIENTS, body[:-1], **JSON, **secret)
        with create_engine(fresh_database, poolclass=NullPool).begin() as connection:
            connection.execute(text("ALTER TABLE ingredients RENAME TO gone"))
        failed = server.request("POST", f"{INGREDIENTS}?swordfish", body, **JSON, **secret)
        assert failed.status == 422
        assert server.request("POST", INGREDIENTS, body, **JSON, **secret).status == 500
    log = server.log.read_text()
    assert "UndefinedTable" in log
    assert "swordfish" not in log


def test_level_warning_leaves_only_what_is_wrong(fresh_database, tmp_path):
    with Gunicorn(fresh_database, tmp_path, ALCHEMIST_LOG_LEVEL="warning") as server:
        server.request("GET", POTIONS)
    assert server.log.read_text() == ""


@pytest.mark.parametrize(("rate", "logged"), [(0.0, []), (1.0, [200, 304])])
def test_a_share_of_the_successes_is_logged_and_every_error(
    client, lines, app, monkeypatch, rate, logged
):
    monkeypatch.setitem(app.extensions, "log_success_sample_rate", rate)
    path = f"{INGREDIENTS}/{make_ingredient().pk}"
    etag = client.get(path).headers["ETag"]
    client.get(path, headers={"If-None-Match": etag})
    client.get(f"{INGREDIENTS}/{NO_PK}")
    client.post(INGREDIENTS, json={})
    assert [line["status"] for line in lines()] == [*logged, 404, 422]


def test_the_share_of_successes_is_a_probability(client, lines, app, monkeypatch):
    monkeypatch.setitem(app.extensions, "log_success_sample_rate", 0.25)
    draws = iter([0.0, 0.24, 0.25, 0.99])
    monkeypatch.setattr(access_log.random, "random", lambda: next(draws))
    for _ in range(4):
        client.get("/livez")
    assert len(lines()) == 2


def test_a_slow_statement_is_logged_with_its_operation_and_function_and_no_values(
    client, lines, app, monkeypatch
):
    monkeypatch.setattr(statement_times, "slow_from", 0.0)
    monkeypatch.setitem(app.extensions, "log_success_sample_rate", 0.0)
    answer = client.head(f"{POTIONS}?q=secret")
    [line] = lines("alchemist.statements")
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert (line["level"], line["operation"]) == ("warning", "listPotions")
    assert line["query"] == "api.pagination.page.paginate"
    assert line["ms"] >= 0
    assert "secret" not in json.dumps(line)
    client.post(INGREDIENTS, json={"name": "secret"}, headers={"Idempotency-Key": "a"})
    slow = lines("alchemist.statements")[1:]
    assert {line["operation"] for line in slow} == {"createIngredient"}
    assert "api.idempotency._stored_response_or_lock" in {line["query"] for line in slow}


def test_a_statement_that_is_not_slow_is_not_logged(client, lines, monkeypatch):
    monkeypatch.setattr(statement_times, "slow_from", 60.0)
    client.get(POTIONS)
    assert lines("alchemist.statements") == []


def test_a_failed_statement_that_was_slow_is_logged(client, lines, monkeypatch):
    monkeypatch.setattr(statement_times, "slow_from", 0.0)
    row = make_ingredient()
    make_potion(row)
    answer = client.delete(f"{INGREDIENTS}/{row.pk}", headers={"If-Match": "*"})
    assert answer.status_code == 409
    assert {line["operation"] for line in lines("alchemist.statements")} == {"deleteIngredient"}
