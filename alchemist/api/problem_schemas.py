"""The schemas of problem details (RFC 9457) in the OpenAPI documents."""

from typing import Any

from marshmallow import INCLUDE, Schema
from marshmallow.fields import Dict, Integer, List, Nested, String

from . import openapi


def _string_field(description: str, example: str, **kwargs: Any) -> String:
    """Return a string field of a problem, without a maximum: some contain values of the request."""
    return String(metadata={"description": description, "examples": [example]}, **kwargs)


class ProblemTotalSchema(Schema):
    """A total in one currency."""

    currency = _string_field("The currency (ISO 4217).", "EUR", required=True)
    total = _string_field("The total in the currency.", "25.00", required=True)


class ErrorDetailSchema(Schema):
    """One error of a request, with its location."""

    class Meta:
        unknown = INCLUDE

    pointer = _string_field("The location in the body (RFC 6901 §6).", "#/name")
    parameter = _string_field("The query or path parameter.", "limit")
    header = _string_field("The request header.", "If-Match")
    line = Integer(
        metadata={
            "description": "Only of CSV and NDJSON: the line, from 1, where the entry begins.",
            "examples": [4],
        }
    )
    column = Integer(
        metadata={
            "description": "Only of CSV: the number of the field in its record, from 1.",
            "examples": [2],
        }
    )
    permission = _string_field("Only with `forbidden`: the missing one.", "potions:write")
    requested = Integer(
        metadata={"description": "Only with `out-of-stock`: the ordered quantity.", "examples": [5]}
    )
    available = Integer(
        metadata={"description": "Only with `out-of-stock`: the quantity left.", "examples": [3]}
    )
    totals = List(
        Nested(ProblemTotalSchema),
        metadata={"description": "Only with `price-changed`: the current totals."},
    )
    code = _string_field("Stable; explained at `/problems/<code>`.", "too-long", required=True)
    detail = _string_field("For people; its wording may change.", "Too long.", required=True)


class ProblemSchema(Schema):
    """Problem details (RFC 9457)."""

    class Meta:
        unknown = INCLUDE

    type = _string_field("The page that explains the code.", "/problems/not-found", required=True)
    title = _string_field("The phrase of the status code.", "Not Found", required=True)
    status = Integer(
        required=True, metadata={"description": "The HTTP status code.", "examples": [404]}
    )
    code = _string_field("Stable; for programs.", "not-found", required=True)
    detail = _string_field("For people; its wording may change.", "No such row.", required=True)
    request_id = _string_field(
        "The value of `X-Request-ID`.", openapi.REQUEST_ID_EXAMPLE, required=True
    )
    errors = List(
        Nested(ErrorDetailSchema),
        metadata={"description": "All errors of the request, each with its location."},
    )
    unlisted_errors = Integer(
        metadata={
            "description": "Only with more than 100 errors: how many of them are not in `errors`.",
            "examples": [20],
        }
    )
    allowed_transitions = List(
        String(),
        metadata={
            "description": "Only with `wrong-status`: the actions that the status allows.",
            "examples": [["fulfil", "cancel"]],
        },
    )
    current = Dict(metadata={"description": "Only with status 412: the current row."})
