"""A sample of hostile input for every operation of both documents, in process.

`python -m tests.hostile` tries more, on a real gunicorn.
"""

import json
import os
from dataclasses import replace
from random import Random

import pytest

from alchemist import database as db
from alchemist import errors
from alchemist.api.security_headers import HEADERS
from tests.factories import make_user, sign_in
from tests.hostile.exchange import Answer, Request
from tests.hostile.families import FAMILIES, judged, requests, sample
from tests.hostile.invariants import violations
from tests.hostile.operations import operations
from tests.hostile.transports import into
from tests.hostile.wire import judge

pytestmark = pytest.mark.slow

SEED = 20261120
# Of each family and operation. More of them find more and take longer.
MOST = int(os.environ.get("HOSTILE_REQUESTS", "3"))


@pytest.fixture
def send(app, sample_transaction, closed_access):
    """Return a function that sends requests of an admin to the app with the sample data."""
    authorization = sign_in(make_user(role="admin"))["Authorization"]
    db.session.commit()
    return into(app, authorization)


class RolledBack:
    """Undoes what happens within, commits of the app included: each request finds the same rows."""

    def __enter__(self):
        db.session.remove()
        self.savepoint = db.session.session_factory.kw["bind"].begin_nested()

    def __exit__(self, *_):
        db.session.remove()
        self.savepoint.rollback()


@pytest.mark.parametrize("family", [*FAMILIES, "cursors"])
@pytest.mark.parametrize("version", ["v2", "v1"])
def test_nothing_hostile_breaks_an_operation(app, send, version, family):
    chance = Random(SEED)
    found = []
    for operation in operations(version, app.extensions["versions"][version].document):
        for request in sample(requests(family, operation, send), MOST, chance):
            with RolledBack():
                found += judged(operation, request, send)
    assert not found, f"{len(found)} with seed {SEED}:\n" + "\n".join(found[:20])


NOT_FOUND = errors.problem_details(errors.PROBLEM_TYPES["not-found"], "Nothing.", "abc")
REFUSAL = Answer(
    404,
    HEADERS | {"X-Request-ID": "abc", "Content-Type": "application/problem+json"},
    json.dumps(NOT_FOUND).encode(),
)
FINE = replace(
    REFUSAL, status=200, headers=REFUSAL.headers | {"Content-Type": "application/json"}, body=b"[]"
)


def problem(**members):
    return replace(REFUSAL, body=json.dumps(NOT_FOUND | members).encode())


def header(answer, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return replace(answer, headers=answer.headers | named)


WRONG = {
    "a defect": replace(REFUSAL, status=500),
    "an overload that nobody declared": header(replace(REFUSAL, status=503), Retry_After="1"),
    "no answer": Answer(0, {}, b"", ["There is no answer."]),
    "another id": problem(request_id="b"),
    "another status": problem(status=400),
    "another title": problem(title="No"),
    "a code that is not documented": problem(code="nobody-knows"),
    "an entry with a code that is not documented": problem(errors=[{"code": "a", "detail": "b"}]),
    "a traceback": problem(detail="Traceback (most recent call last)"),
    "a statement": problem(detail="SELECT pk FROM tokens"),
    "a problem that is a page": header(REFUSAL, Content_Type="text/html"),
    "a refusal without a body": replace(REFUSAL, body=b""),
    "no id": header(FINE, X_Request_ID=""),
    "no policy": replace(FINE, headers={"X-Request-ID": "abc"}),
    "a header with a line break": header(FINE, Link="a\r\nX-Injected: 1"),
    "NaN": replace(FINE, body=b"[NaN]"),
    "half of an answer": replace(FINE, body=b"[1"),
    "a 204 with a body": replace(FINE, status=204),
    "a 405 that names no methods": replace(problem(status=405), status=405),
    "too much": replace(FINE, body=b"[" + b" " * 10**6 + b"]"),
}


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_an_answer_is_told(answer):
    assert violations(Request("GET", "/"), answer)


@pytest.mark.parametrize("answer", [REFUSAL, FINE])
def test_what_is_right_is_not(answer):
    assert violations(Request("GET", "/"), answer) == []


@pytest.mark.parametrize("must", ["refused", "422", "too-long", "not accepted"])
def test_an_answer_that_must_be_another_is_told(must):
    assert violations(Request("GET", "/", must=must), FINE)


def on_the_wire(*answers):
    parts = []
    for answer in answers:
        lines = [f"{name}: {value}" for name, value in answer.headers.items()]
        head = f"HTTP/1.1 {answer.status} -\r\nContent-Length: {len(answer.body)}\r\n"
        parts.append((head + "\r\n".join([*lines, "", ""])).encode() + answer.body)
    return b"".join(parts)


def test_answers_on_the_wire_are_told_apart():
    assert judge(b"", on_the_wire(FINE, REFUSAL), [{200}, {404}]) == []


@pytest.mark.parametrize(
    "received",
    [
        b"",
        on_the_wire(FINE),
        on_the_wire(FINE, FINE, REFUSAL),
        on_the_wire(REFUSAL, FINE),
        on_the_wire(FINE, REFUSAL) + b"more",
        on_the_wire(FINE, WRONG["a traceback"]),
    ],
)
def test_one_answer_too_few_too_many_or_in_disorder_is_told(received):
    assert judge(b"", received, [{200}, {404}])
