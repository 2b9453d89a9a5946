"""The pages that explain what a refusal means, to people and to programs."""

import json
from typing import Any

from flask import Blueprint, Response, render_template
from markupsafe import Markup, escape

from alchemist import errors
from alchemist.problems import PROBLEMS, Problem
from alchemist.rest import openapi

from . import swagger
from .documents import serialized
from .negotiation import JSON, prefers_html
from .served import File, page

VARY = {"Vary": "Accept"}

blp = Blueprint("problems", __name__, url_prefix="/problems", template_folder="templates")


@blp.get("")
def every() -> Response:
    known = sorted(PROBLEMS.values(), key=lambda problem: (problem.status, problem.code))
    return _answer("problems.html", [_summary(problem) for problem in known])


@blp.get("/<code>")
def one(code: str) -> Response:
    problem = PROBLEMS.get(code)
    if problem is None:
        raise errors.NotFound("There is no such code; /problems lists those that there are.")
    return _answer("problem.html", _summary(problem) | {"example": openapi.example(problem)})


def _summary(problem: Problem) -> dict[str, Any]:
    return {
        "type": f"/problems/{problem.code}",
        "code": problem.code,
        "status": problem.status,
        "title": problem.title,
        "meaning": problem.meaning,
    }


def _answer(template: str, found: Any) -> Response:
    if prefers_html():
        return page(render_template(template, found=found, build=swagger.build()), **VARY)
    return File(serialized(found), JSON, headers=VARY).answer()


@blp.app_template_filter()
def prose(text: str) -> Markup:
    """Return text as HTML, with what stands between backticks as code."""
    pieces = (escape(piece) for piece in text.split("`"))
    tags = (Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(pieces))
    return Markup("").join(tags)


@blp.app_template_filter()
def indented(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
