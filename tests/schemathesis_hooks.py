"""What a valid request cannot know by the document alone: keys, cursors and tags that exist.

Schemathesis loads this module.
"""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import requests
import schemathesis
from schemathesis import Case, GenerationMode, HookContext
from schemathesis.core.parameters import ParameterLocation

OWN_TAG = re.compile(r'"[0-9a-f]{24}"')


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    if case.meta is None:
        return
    wrong = {
        location
        for location, component in case.meta.components.items()
        if component.mode == GenerationMode.NEGATIVE
    }
    if not wrong or ParameterLocation.BODY in wrong:
        _use_fitting_tag(case.headers)
    if not wrong:
        base = case.operation.base_url
        _use_existing_ingredients(base, case.body)
        _use_fitting_cursor(base + case.formatted_path, case.query)
        _use_fresh_key(case.headers)


def _use_fitting_tag(headers: Any) -> None:
    """Let the request come as far as its body.

    A tag of the service itself stays: a link carried it over, and it fits or is old.
    """
    if "If-Match" in headers and not OWN_TAG.fullmatch(headers["If-Match"]):
        headers["If-Match"] = "*"


def _use_fresh_key(headers: Any) -> None:
    """Do not ask again, with a key of before, for the answer of before."""
    if "Idempotency-Key" in headers:
        headers["Idempotency-Key"] = uuid4().hex


def _use_existing_ingredients(base: str, body: Any) -> None:
    """Let a recipe name ingredients that there are, each of them once."""
    lines = body.get("ingredients") if isinstance(body, dict) else None
    if not isinstance(lines, list):
        return
    rows = requests.get(f"{base}/api/v2/ingredients?limit=200", timeout=5).json()
    pairs = zip(lines, (row["pk"] for row in rows), strict=False)
    body["ingredients"] = [
        line | {"pk": pk} if isinstance(line, dict) else pk for line, pk in pairs
    ]


def _use_fitting_cursor(url: str, query: dict[str, Any]) -> None:
    """Continue the very list that is asked for, or start it if it has but one row."""
    if query.pop("cursor", None) is None:
        return
    filters = {
        name: ",".join(value) if isinstance(value, list) else value for name, value in query.items()
    }
    first = requests.get(url, params=filters | {"limit": "1"}, timeout=5)
    if "next" in first.links:
        query["cursor"] = parse_qs(urlsplit(first.links["next"]["url"]).query)["cursor"][0]
