"""Flask error handlers: turn every exception into problem details (RFC 9457)."""

import json
from collections.abc import Callable

from flask import Flask, Response, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from alchemist.errors import PROBLEM_TYPES, ApiError, code_for_status, problem_details

# For codes where werkzeug's own description reveals too much or explains too little.
DETAIL_OVERRIDES = {
    "internal": PROBLEM_TYPES["internal"].example,
    "not-found": "There is nothing at this path.",
    "method-not-allowed": "This resource does not support the method.",
}


def problem_response(error: ApiError) -> Response:
    """Return the response to an error, and remember the error for the access log."""
    request.error = error  # type: ignore[attr-defined]
    problem = problem_details(
        error.problem_type,
        error.detail,
        request.id,  # type: ignore[attr-defined]
        errors=error.errors or None,
        **error.extensions,
    )
    return Response(
        json.dumps(problem, ensure_ascii=False),
        error.problem_type.status,
        error.headers,
        mimetype="application/problem+json",
    )


def http_exception_to_api_error(exception: HTTPException) -> ApiError:
    """Return the ApiError for an exception of werkzeug, with its headers except Content-Type."""
    code = code_for_status(exception.code or 500)
    detail = DETAIL_OVERRIDES.get(code) or exception.description or PROBLEM_TYPES[code].example
    headers = {name: value for name, value in exception.get_headers() if name != "Content-Type"}
    error = ApiError(detail, code=code, headers=headers)
    error.__cause__ = getattr(exception, "original_exception", None)
    return error


def init_app(app: Flask, translate_db_error: Callable[[SQLAlchemyError], ApiError | None]) -> None:
    """Register the handlers; `translate_db_error` returns None for an error that is a bug."""

    def handle_database_error(exception: SQLAlchemyError) -> Response:
        if error := translate_db_error(exception):
            error.__cause__ = exception
            return problem_response(error)
        raise exception

    def handle_http_exception(exception: HTTPException) -> Response:
        if exception.response:
            return exception.response  # type: ignore[return-value]
        return problem_response(http_exception_to_api_error(exception))

    app.register_error_handler(ApiError, problem_response)
    app.register_error_handler(SQLAlchemyError, handle_database_error)
    app.register_error_handler(HTTPException, handle_http_exception)
