"""The list of problem types and a page for each, as HTML or JSON."""

import json
from typing import Any

from flask import Blueprint, Response, render_template
from markupsafe import Markup, escape
from werkzeug.exceptions import NotFound

from alchemist.api import openapi
from alchemist.errors import PROBLEM_TYPES, ProblemType

from .negotiation import JSON, prefers_html
from .openapi_document import to_json_bytes
from .static_responses import CachedResponse, html_response
from .swagger_ui import assets_version

VARY = {"Vary": "Accept"}

blp = Blueprint("problems", __name__, url_prefix="/problems", template_folder="templates")


@blp.get("")
def list_problems() -> Response:
    problems = sorted(PROBLEM_TYPES.values(), key=lambda problem: (problem.status, problem.code))
    return _html_or_json("problems.html", [_problem_summary(problem) for problem in problems])


@blp.get("/<code>")
def show_problem(code: str) -> Response:
    problem = PROBLEM_TYPES.get(code)
    if problem is None:
        # Of werkzeug: a browser gets a page.
        raise NotFound
    return _html_or_json(
        "problem.html", _problem_summary(problem) | {"example": openapi.example_problem(problem)}
    )


def _problem_summary(problem: ProblemType) -> dict[str, Any]:
    return {
        "type": f"/problems/{problem.code}",
        "code": problem.code,
        "status": problem.status,
        "title": problem.status_phrase,
        "description": problem.description,
    }


def _html_or_json(template: str, content: Any) -> Response:
    if prefers_html():
        html = render_template(template, content=content, assets_version=assets_version())
        return html_response(html, **VARY)
    return CachedResponse(to_json_bytes(content), JSON, headers=VARY).to_response_or_304()


@blp.app_template_filter()
def code_spans_to_html(text: str) -> Markup:
    """Return the text as HTML, with `code` in backticks as <code>."""
    pieces = (escape(piece) for piece in text.split("`"))
    tags = (Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(pieces))
    return Markup("").join(tags)


@blp.app_template_filter()
def indented_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
