"""What holds for every answer, whatever was asked."""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from typing import Any
from urllib.parse import parse_qs

from alchemist.api.security_headers import HEADERS
from alchemist.errors import PROBLEM_TYPES
from tests.hostile.exchange import Answer, Request

LEAK = re.compile(
    r"Traceback|psycopg|sqlalchemy|werkzeug|marshmallow|site-packages|File \"|\.py\b"
    r"|SELECT |INSERT INTO|UPDATE \w+ SET|<!doctype|<html|object at 0x|<class '",
    re.IGNORECASE,
)
MEMBERS = {"type": str, "title": str, "status": int, "code": str, "detail": str, "request_id": str}
# A server that does not know a method or a coding says so; all else that begins with 5 is ours.
WITHOUT_FAULT = {501, 505}
NEEDED = {401: "WWW-Authenticate", 405: "Allow", 429: "Retry-After", 503: "Retry-After"}
# Statuses of problems in version 1 only.
V1_STATUSES = {"unknown-reference": 400, "mixed-currencies": 409}
# Answers that are no lists are at most this much longer than what they answer: an echo is no
# amplifier. So is each row of a list.
MOST_BYTES = 200_000
LIST_BYTES = 16 * 1024 * 1024
# How many rows a list has, if its request names no limit; most of all, and in CSV and NDJSON.
FEED, MOST_IN_FEED = "/api/v2/changes", 1000
BATCH, MOST_IN_BATCH = "/batch", 500
MOST_ROWS, MOST_LINES, MOST_IN_V1 = 200, 10_000, 10_000
CSV, NDJSON = "text/csv", "application/x-ndjson"


def violations(request: Request, answer: Answer) -> list[str]:
    """Return what is wrong with the answer, a sentence each."""
    if not answer.status:
        return answer.complaints
    return [
        *answer.complaints,
        *_of_status(answer),
        *_of_headers(answer),
        *_of_body(request, answer),
        *_of_expectation(request, answer),
    ]


def _of_status(answer: Answer) -> Iterator[str]:
    if answer.status >= 500 and answer.status not in WITHOUT_FAULT:
        yield f"The answer is {answer.status}."
    needed = NEEDED.get(answer.status)
    if needed and needed not in answer.headers:
        yield f"A {answer.status} lacks {needed}."


def _of_headers(answer: Answer) -> Iterator[str]:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", answer.headers.get("X-Request-ID", "")):
        yield "X-Request-ID is absent or odd."
    for name in HEADERS:
        if name not in answer.headers:
            yield f"{name} is absent."
    for name, value in answer.headers.items():
        if not re.fullmatch(r"[\t -~]*", value):
            yield f"{name} holds what no header should: {value!r}."
        if name.lower() != "link" and LEAK.search(value):
            yield f"{name} leaks: {value!r}."


def _of_body(request: Request, answer: Answer) -> Iterator[str]:
    if request.method == "HEAD" or answer.status in (204, 304):
        if answer.body:
            yield "There is a body where none may be."
        return
    media_type = answer.headers.get("Content-Type", "")
    if answer.status >= 400 and media_type != "application/problem+json":
        yield f"A {answer.status} is {media_type!r}."
    try:
        told = _parsed(media_type.partition(";")[0], answer.body)
    except (ValueError, csv.Error) as error:
        yield f"The answer is not {media_type}: {error}."
        return
    yield from _of_size(request, answer, told)
    if answer.status >= 400 and media_type.endswith("json"):
        yield from _of_problem(request, answer, told)


def _parsed(media_type: str, body: bytes) -> Any:
    """Return the value of JSON, the rows of CSV and NDJSON, else None; raise ValueError."""
    if media_type == NDJSON:
        lines = body.decode().removesuffix("\n").split("\n") if body else []
        return [_loads(line) for line in lines]
    if media_type == CSV:
        header, *rows = csv.reader(StringIO(body.decode(), newline=""), strict=True)
        # The null of a single column is an empty line.
        if any(len(row or [""]) != len(header) for row in rows) or not body.endswith(b"\r\n"):
            raise ValueError("its records differ in length")
        return rows
    return _loads(body.decode()) if media_type.endswith("json") else None


def _loads(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse)


def _of_size(request: Request, answer: Answer, told: object) -> Iterator[str]:
    """Yield a complaint if the answer is longer than what it answers, or than a list may be."""
    most = MOST_BYTES + len(request.body)
    if not isinstance(told, list):
        if len(answer.body) > most:
            yield f"The answer has {len(answer.body)} bytes."
        return
    if len(told) > _most_rows(request, answer):
        yield f"The list has {len(told)} rows."
    longest = max((len(json.dumps(row, ensure_ascii=False).encode()) for row in told), default=0)
    if longest > most:
        yield f"A row of the list has {longest} bytes."
    if len(answer.body) > LIST_BYTES:
        yield f"The list has {len(answer.body)} bytes."


def _most_rows(request: Request, answer: Answer) -> int:
    """Return how many rows the answer may have: as many as the query says, if it says so."""
    path, _, query = request.target.partition("?")
    # A target may be absolute.
    path = path.removeprefix("http://localhost")
    if path.startswith("/api/v1"):
        return MOST_IN_V1
    if path.endswith(BATCH):
        return MOST_IN_BATCH
    limit = parse_qs(query).get("limit", [""])[-1]
    if limit.isascii() and limit.isdecimal():
        return int(limit)
    media_type = answer.headers.get("Content-Type", "").partition(";")[0]
    if media_type in (CSV, NDJSON):
        return MOST_LINES
    return MOST_IN_FEED if path.startswith(FEED) else MOST_ROWS


def _refuse(name: str) -> None:
    raise ValueError(name)


def _of_problem(request: Request, answer: Answer, told: object) -> Iterator[str]:
    if not isinstance(told, dict):
        yield "The problem is no object."
        return
    for name, kind in MEMBERS.items():
        if type(told.get(name)) is not kind:
            yield f"The problem's {name} is {told.get(name)!r}."
    problem = PROBLEM_TYPES.get(told.get("code", ""))
    if problem is None:
        yield f"The code {told.get('code')!r} is not documented."
        return
    if request.target.startswith("/api/v1") and problem.code in V1_STATUSES:
        is_v1_status = answer.status == V1_STATUSES[problem.code]
        problem = replace(problem, status=answer.status) if is_v1_status else problem
    expected = (problem.status, problem.status_phrase, f"/problems/{problem.code}")
    if (answer.status, told.get("title"), told.get("type")) != expected:
        yield f"Status, title or type do not belong to {problem.code}."
    if told.get("status") != answer.status:
        yield f"The problem says {told.get('status')}, the answer {answer.status}."
    if told.get("request_id") != answer.headers.get("X-Request-ID"):
        yield "The request_id is not that of the header."
    for entry in told.get("errors", ()):
        if not {"code", "detail"} <= entry.keys() or entry["code"] not in PROBLEM_TYPES:
            yield f"An entry has no documented code: {entry!r}."
    # What was sent may well be told again.
    sent = bytes(request).decode("latin-1")
    if (found := LEAK.search(answer.body.decode())) and found[0] not in sent:
        yield f"The problem leaks {found[0]!r}."


def _of_expectation(request: Request, answer: Answer) -> Iterator[str]:
    """Yield a complaint if the answer is not the one that this request must get."""
    # A row that is gone is missed before anything else is looked at.
    if not request.must or answer.status == 404:
        return
    wanted = request.must.removeprefix("not ")
    if (wanted in _names(answer)) == request.must.startswith("not "):
        yield f"The answer must be {request.must}, and is {', '.join(sorted(_names(answer)))}."


def _names(answer: Answer) -> set[str]:
    """Return all that the answer may be called in an expectation."""
    kind = {2: "accepted", 4: "refused"}.get(answer.status // 100, "")
    problem = answer.json if answer.status >= 400 and answer.body else {}
    entries = problem.get("errors", ())
    codes = {problem.get("code", ""), *(entry["code"] for entry in entries)}
    replayed = "replayed" if "Idempotent-Replayed" in answer.headers else ""
    return {str(answer.status), kind, replayed, *codes} - {""}
