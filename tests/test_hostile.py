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
from tests.hostile import repetitions
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


def lines(media_type, body):
    return replace(FINE, headers=FINE.headers | {"Content-Type": media_type}, body=body)


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
    "too much": replace(FINE, body=b"{" + b" " * 10**6 + b"}"),
    "a problem that is too long": problem(detail="a" * 10**6),
    "a row that is too long": replace(FINE, body=json.dumps(["a" * 10**6]).encode()),
    "more rows than a page has": replace(FINE, body=json.dumps([0] * 201).encode()),
    "more bytes than a list has": replace(FINE, body=b"[" + b" " * 17 * 2**20 + b"]"),
    "a line that is no JSON": lines("application/x-ndjson", b"{}\n{\n"),
    "a line with NaN": lines("application/x-ndjson", b'{"a": NaN}\n'),
    "more lines than a page has": lines("application/x-ndjson", b"{}\n" * 10_001),
    "a line that is too long": lines("application/x-ndjson", b'"' + b"a" * 10**6 + b'"\n'),
    "no header of CSV": lines("text/csv; charset=utf-8", b""),
    "a record that is too short": lines("text/csv; charset=utf-8", b"a,b\r\nc\r\n"),
    "a record that does not end": lines("text/csv; charset=utf-8", b"a,b\r\nc,d"),
    "CSV with a lone quotation mark": lines("text/csv", b'a,b\r\n"c"d,e\r\n'),
    "CSV in Latin-1": lines("text/csv", b"a,b\r\n\xe9,d\r\n"),
}


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_an_answer_is_told(answer):
    assert violations(Request("GET", "/"), answer)


@pytest.mark.parametrize(
    ("target", "rows"),
    [
        ("/api/v2/heroes?limit=3", 3),
        ("/api/v2/heroes?a=b", 200),
        ("/api/v2/changes", 1000),
        ("/api/v2/heroes/batch", 500),
        ("/api/v1/stores/?limit=3", 10_000),
        ("http://localhost/api/v1/stores/", 10_000),
        ("http://localhost/api/v2/stores", 200),
    ],
)
def test_a_list_has_at_most_the_rows_that_it_may_have(target, rows):
    for more, is_wrong in ((0, False), (1, True)):
        answer = replace(FINE, body=json.dumps([{}] * (rows + more)).encode())
        assert bool(violations(Request("GET", target), answer)) == is_wrong


CSV = lines("text/csv; charset=utf-8; header=present", b'a,b\r\n,"c""\r\n,"\r\n')
ONE_COLUMN = lines("text/csv", b"a\r\n\r\n1\r\n")
NDJSON = lines("application/x-ndjson", b'{"a": "b"}\n{}\n')


@pytest.mark.parametrize("answer", [REFUSAL, FINE, CSV, ONE_COLUMN, NDJSON])
def test_what_is_right_is_not(answer):
    assert violations(Request("GET", "/"), answer) == []


@pytest.mark.parametrize("must", ["refused", "422", "too-long", "not accepted", "replayed"])
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
    ("raw", "rows", "is_right"),
    [
        (b"GET /api/v1/stores HTTP/1.1", 10_000, True),
        (b"GET /api/v1/stores HTTP/1.1", 10_001, False),
        (b"GET http://localhost/api/v2/stores?limit=3 HTTP/1.1", 3, True),
        (b"GET http://localhost/api/v2/stores?limit=3 HTTP/1.1", 4, False),
        (b"GET / HTTP/1.1", 201, False),
    ],
)
def test_a_list_on_the_wire_has_at_most_the_rows_that_it_may_have(raw, rows, is_right):
    answer = replace(FINE, body=json.dumps([{}] * rows).encode())
    assert (judge(raw, on_the_wire(answer), None) == []) == is_right


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


@pytest.fixture
def operation(app):
    """Return the operation that creates heroes."""
    known = operations("v2", app.extensions["versions"]["v2"].document)
    return next(each for each in known if each.name == "createHero")


class Answers:
    """Answers each request with the next of the answers, and the last one again and again."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def __call__(self, _request):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


CREATED = replace(header(FINE, ETag='"a"'), status=201, body=b'{"nickname": "a"}')
REPLAYED = header(CREATED, Idempotent_Replayed="true")
REUSED = replace(
    problem(code="idempotency-key-reused", type="/problems/idempotency-key-reused"), status=422
)


def of_repetition(operation, *answers):
    shown = operation.request({"nickname": "a"})
    request = replace(shown, headers=shown.with_header("Idempotency-Key", "a"))
    return repetitions.of_repetition(operation, request, CREATED, Answers(*answers))


def test_a_repetition_with_the_first_answer_is_right(operation):
    assert of_repetition(operation, REPLAYED, REUSED) == []


@pytest.mark.parametrize(
    "answers",
    [
        (CREATED, REUSED),
        (replace(REPLAYED, status=200), REUSED),
        (replace(REPLAYED, body=b'{"nickname": "b"}'), REUSED),
        (header(REPLAYED, ETag='"b"'), REUSED),
        (REPLAYED, REPLAYED),
    ],
)
def test_another_answer_to_a_repetition_is_told(operation, answers):
    assert of_repetition(operation, *answers)


def test_a_key_that_was_used_before_is_told():
    assert violations(Request("POST", "/", must="not replayed"), REPLAYED)


DRY = replace(REPLAYED, headers=FINE.headers | {"Dry-Run": "true"})


def test_a_dry_run_without_a_trace_is_right():
    assert repetitions.of_dry_run(DRY, FINE, FINE) == []


@pytest.mark.parametrize(
    ("answer", "after"),
    [(CREATED, FINE), (header(DRY, Location="/"), FINE), (DRY, replace(FINE, body=b"[1]"))],
)
def test_a_trace_of_a_dry_run_is_told(answer, after):
    assert repetitions.of_dry_run(answer, FINE, after)


def test_every_dry_run_is_compared_with_the_audit_log(operation):
    request = next(repetitions.dry_runs(operation))
    entries = [replace(FINE, body=b"[1]"), DRY, replace(FINE, body=b"[2]"), REFUSAL]
    assert "has left" in "".join(judged(operation, request, Answers(*entries)))


OTHER_TYPE = replace(
    problem(code="unsupported-media-type", status=415, type="/problems/unsupported-media-type"),
    status=415,
)
TAKEN = replace(
    problem(code="already-exists", status=409, title="Conflict", type="/problems/already-exists"),
    status=409,
)


def test_what_is_accepted_is_told_if_it_is_not(operation):
    request = replace(operation.request(), must="accepted")
    assert "must be accepted" in "".join(judged(operation, request, Answers(OTHER_TYPE)))
    assert "must be accepted" in "".join(judged(operation, request, Answers(TAKEN, CREATED)))


def test_what_is_never_accepted_now_is_not_told(operation):
    request = replace(operation.request(), must="accepted")
    assert judged(operation, request, Answers(TAKEN)) == []


def test_rows_that_are_not_the_entries_of_a_batch_are_told(app):
    known = operations("v2", app.extensions["versions"]["v2"].document)
    operation = next(each for each in known if each.name == "createHeroes")
    sent = [{"nickname": " a"}, {"nickname": "e\u0301"}]
    request = operation.request(sent)
    for told, is_right in (
        ([{"nickname": "a"}, {"nickname": "\u00e9"}], True),
        ([{"nickname": "a"}, {"nickname": "e"}], False),
        ([{"nickname": "\u00e9"}, {"nickname": "a"}], False),
        ([{"nickname": "a"}], False),
    ):
        answer = replace(FINE, status=201, body=json.dumps(told).encode())
        assert (judged(operation, request, Answers(answer)) == []) == is_right


@pytest.mark.parametrize(
    ("told", "is_right"), [("DWARF-1", True), ("DWARF-2", False), (None, False)]
)
def test_an_order_with_another_coupon_is_told(app, told, is_right):
    known = operations("v2", app.extensions["versions"]["v2"].document)
    operation = next(each for each in known if each.name == "quoteOrder")
    request = operation.request({"coupon_code": " dwarf-1"})
    answer = replace(FINE, body=json.dumps({"coupon_code": told}).encode())
    assert (judged(operation, request, Answers(answer)) == []) == is_right
