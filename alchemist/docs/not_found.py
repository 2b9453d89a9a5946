"""The 404 of an unknown URL: an HTML page for a browser, a problem for a program."""

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import NotFound

from alchemist.api.error_handlers import http_exception_to_api_error, problem_response

from .negotiation import HTML, JSON
from .static_responses import PAGE_HEADERS
from .swagger_ui import assets_version


def _respond_with_page_or_problem(exception: NotFound) -> Response:
    error = http_exception_to_api_error(exception)
    response = problem_response(error)
    if request.accept_mimetypes.best_match([JSON, HTML], default=JSON) == HTML:
        response.set_data(
            render_template("not_found.html", detail=error.detail, assets_version=assets_version())
        )
        response.mimetype = HTML
        response.headers.update(PAGE_HEADERS)
    response.headers["Vary"] = "Accept"
    return response


def init_app(app: Flask) -> None:
    """Register the handler; it handles only URLs without a route, not missing rows."""
    app.register_error_handler(NotFound, _respond_with_page_or_problem)
