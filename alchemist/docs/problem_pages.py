"""The pages that explain what a refusal means, to people and to programs."""

import json
from typing import Any

from flask import Blueprint, Response, render_template
from markupsafe import Markup, escape

from alchemist import errors
from alchemist.api import openapi
from alchemist.errors import PROBLEM_TYPES, ProblemType

from . import swagger_ui
from .negotiation import JSON, prefers_html
from .openapi_document import serialized
from .static_responses import CachedResponse, page

VARY = {"Vary": "Accept"}

blp = Blueprint("problems", __name__, url_prefix="/problems", template_folder="templates")


@blp.get("")
def list_problems() -> Response:
    known = sorted(PROBLEM_TYPES.values(), key=lambda problem: (problem.status, problem.code))
    return _response("problems.html", [_summary(problem) for problem in known])


@blp.get("/<code>")
def show_problem(code: str) -> Response:
    problem = PROBLEM_TYPES.get(code)
    if problem is None:
        raise errors.NotFound("There is no such code; /problems lists those that there are.")
    return _response("problem.html", _summary(problem) | {"example": openapi.example(problem)})


def _summary(problem: ProblemType) -> dict[str, Any]:
    return {
        "type": f"/problems/{problem.code}",
        "code": problem.code,
        "status": problem.status,
        "title": problem.title,
        "description": problem.description,
    }


def _response(template: str, found: Any) -> Response:
    if prefers_html():
        return page(
            render_template(template, found=found, build=swagger_ui.assets_version()), **VARY
        )
    return CachedResponse(serialized(found), JSON, headers=VARY).answer()


@blp.app_template_filter()
def markdown_code(text: str) -> Markup:
    """Return text as HTML, with what stands between backticks as code."""
    pieces = (escape(piece) for piece in text.split("`"))
    tags = (Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(pieces))
    return Markup("").join(tags)


@blp.app_template_filter()
def indented(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
