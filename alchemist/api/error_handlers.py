"""Turns exceptions into problem details: the one place where an error becomes a response."""

import json
from collections.abc import Callable

from flask import Flask, Response, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from alchemist.errors import PROBLEM_TYPES, ApiError, code_for_status, problem_details


def problem_response(refusal: ApiError) -> Response:
    request.refusal = refusal  # type: ignore[attr-defined]
    members = problem_details(
        refusal.problem,
        refusal.detail,
        request.id,  # type: ignore[attr-defined]
        errors=refusal.entries or None,
        **refusal.members,
    )
    return Response(
        json.dumps(members, ensure_ascii=False),
        refusal.problem.status,
        refusal.headers,
        mimetype="application/problem+json",
    )


# Where the framework's own words would tell too much, or too little.
_DETAILS = {
    "internal": PROBLEM_TYPES["internal"].example,
    "not-found": "There is nothing at this path.",
    "method-not-allowed": "This resource does not offer the method.",
}


def from_http_exception(error: HTTPException) -> ApiError:
    """Return the refusal that stands for an exception of the framework, its headers kept."""
    code = code_for_status(error.code or 500)
    detail = _DETAILS.get(code) or error.description or PROBLEM_TYPES[code].example
    headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    refusal = ApiError(detail, code=code, headers=headers)
    refusal.__cause__ = getattr(error, "original_exception", None)
    return refusal


def init_app(app: Flask, of_database: Callable[[SQLAlchemyError], ApiError | None]) -> None:
    """Answer every exception; `of_database` tells what the database's mean."""

    def database(error: SQLAlchemyError) -> Response:
        if refusal := of_database(error):
            refusal.__cause__ = error
            return problem_response(refusal)
        raise error

    def http(error: HTTPException) -> Response:
        return error.response if error.response else problem_response(from_http_exception(error))  # type: ignore[return-value]

    app.register_error_handler(ApiError, problem_response)
    app.register_error_handler(SQLAlchemyError, database)
    app.register_error_handler(HTTPException, http)
