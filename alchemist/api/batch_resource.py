"""`POST …/batch`: many creations, or updates by reference, in one request."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from io import BytesIO
from itertools import islice
from typing import Any

from flask import Response

from alchemist import errors
from alchemist.errors import ErrorDetail

from . import fields, openapi, problem_codes, rate_limits
from .batch_entries import BatchOperation, CreateMany
from .batches import representations, store_entries
from .blueprint import Blueprint
from .idempotency import idempotent
from .json_body import check_media_type_and_coding, read_json
from .query_string import QUERY_PARSER
from .request import JSON, request
from .resource import Resource
from .response import JsonResponse
from .text_entries import ReadEntries, TextEntry, add_lines_to_errors, read_csv, read_ndjson

MAX_ENTRIES = 500
CSV = "text/csv"
READERS: dict[str, ReadEntries] = {CSV: read_csv, "application/x-ndjson": read_ndjson}
DESCRIPTION = """\
Takes an array of what the creation of one row takes, and stores all rows or none. Every mistake of
every entry is reported, with the number of the entry in front: `#/3/name`. Two entries with the
same unique value are 422 `duplicate`. It counts as a costly request.

The body may also be `text/csv`, whose first line has the names, or `application/x-ndjson`, both as
the list returns them. Errors then have the `line` where the entry begins and, in CSV, the `column`:
the number of the field. In CSV, `""` is an empty text. An empty field is as if a new row lacked the
member, so the row belongs to the caller if its owner is empty; in an update it is null, or nothing
if the member cannot be null. Read-only columns may be empty, or as they are stored in the row that
the entry updates. A byte order mark is ignored; fields separated by semicolons are 400, and
`header=absent` in the media type is 415."""
UPDATE_DESCRIPTION = """

With `on_conflict=update`, an entry whose `pk` or `reference` a stored row has updates that row (if
it has both, that of the `pk`), with the permissions and the rules of an update, without `If-Match`.
A `pk` that no row has is 422 `unknown-reference`. Rows can exchange their unique values. An entry
that changes nothing leaves the row and its version as they are. The answer is 200 if no row is new.
"""


class BatchQuery(fields.Schema):
    on_conflict = fields.Enum(
        "update",
        name="OnConflict",
        description="`update` changes the row whose `pk` or `reference` an entry has, as a "
        "PATCH would: members that the entry lacks stay. Other entries create rows. Without "
        "the parameter, a taken reference is a conflict (409).",
    )


BATCH_QUERY = BatchQuery()
View = Callable[[Resource], Response]


def add_batch(
    blueprint: Blueprint,
    rule: str,
    rows: Any,
    row: Any = None,
    *,
    create_many: CreateMany | None = None,
) -> None:
    """Add a resource whose POST does for each entry of an array what the POST of `rows` does.

    With `on_conflict=update` it does what the PATCH of `row` does, for the entries whose `pk` or
    `reference` is that of a stored row. Both are resources. `create_many` is as in BatchOperation.
    """
    creation = _bind_view_to_resource(rows.post.creation, rows)
    update = _bind_view_to_resource(row.patch.update, row) if row else None
    operation = BatchOperation(creation, update, create_many)
    view = _with_batch_documentation(blueprint, _batch_view(operation), rows, row)
    members = {
        "__module__": rows.__module__,
        "permissions": {"post": rows.permissions["post"]},
        "operation": operation,
        "post": rate_limits.count_as_costly(idempotent(view)),
    }
    name = f"{rows.__name__.removesuffix('List')}Batch"
    blueprint.route(rule)(type(name, (Resource,), members))


def _bind_view_to_resource(operation: Any, resource: type[Resource]) -> Any:
    """Return the operation with the view as a method of an instance of its resource."""
    return operation._replace(view=partial(operation.view, resource()))


def _batch_view(operation: BatchOperation) -> View:
    def post(_resource: Resource) -> Response:
        query, query_errors = _parse_query(operation)
        entries = _read_entries(operation, query_errors)
        update = operation.update if query.get("on_conflict") else None
        chosen = replace(operation, update=update, omits_nulls=request.mimetype == CSV)
        bodies = [entry.body for entry in entries]
        with add_lines_to_errors(entries):
            stored = store_entries(chosen, bodies, query_errors=query_errors)
        body = representations(operation, stored.rows)
        return JsonResponse(body, 201 if stored.created_count else 200)

    return post


def _read_entries(operation: BatchOperation, query_errors: list[ErrorDetail]) -> list[TextEntry]:
    """Return the entries of the body, which is a JSON array, CSV or NDJSON."""
    check_media_type_and_coding(request, (JSON, *READERS))
    read = READERS.get(request.mimetype)
    if read is None:
        bodies = read_json(request)
        _check_batch_size(bodies, query_errors)
        return [TextEntry(body) for body in bodies]
    _check_header_parameter()
    try:
        entries = list(islice(read(BytesIO(request.body), operation.schemas), MAX_ENTRIES + 1))
    except errors.UnprocessableContent as error:
        details = [*query_errors, *error.errors]
        raise errors.UnprocessableContent.from_errors(details) from error
    request.json_body = [entry.body for entry in entries]
    _check_batch_size(request.json_body, query_errors)
    return entries


def _check_header_parameter() -> None:
    """Raise UnsupportedMediaType for CSV without a header line (RFC 4180 §3)."""
    if request.mimetype_params.get("header", "present").lower() != "present":
        detail = "The first line of CSV must have the names of the columns: send header=present."
        raise errors.UnsupportedMediaType(detail, headers={"Accept": CSV})


def _parse_query(operation: BatchOperation) -> tuple[dict[str, Any], list[ErrorDetail]]:
    """Return the values and the errors of the query."""
    if operation.update is None:
        return {}, request.unexpected_parameter_errors()
    try:
        return QUERY_PARSER.parse(BATCH_QUERY, request, location="query"), []
    except errors.UnprocessableContent as error:
        return {}, error.errors


def _check_batch_size(entries: Any, query_errors: list[ErrorDetail]) -> None:
    """Raise UnprocessableContent unless it is an array with 1 to 500 entries."""
    code = detail = ""
    if not isinstance(entries, list):
        code, detail = "wrong-type", "Not an array."
    elif not entries:
        code, detail = "too-short", "Must have at least one entry."
    elif len(entries) > MAX_ENTRIES:
        code, detail = "too-long", f"Must have at most {MAX_ENTRIES} entries."
    if code:
        error = {"pointer": "#", "code": code, "detail": detail}
        raise errors.UnprocessableContent.from_errors([*query_errors, error])


def _with_batch_documentation(blueprint: Blueprint, view: View, rows: Any, row: Any) -> View:
    """Return the view with the documentation that follows from those of one row."""
    schema, body = type(rows.post.creation.schema), type(rows.post.creation.request_schema)
    nouns = rows.operation_id("get").removeprefix("list").lower()
    view.__doc__ = f"Create several {nouns}\n\n{DESCRIPTION}{UPDATE_DESCRIPTION if row else ''}"
    array = {"type": "array", "minItems": 1, "maxItems": MAX_ENTRIES}
    in_order = "The rows, in the order of the entries"
    responses = {201: openapi.response_object(f"{in_order}.", schema(many=True), {})}
    if row:
        responses[200] = openapi.response_object(f"{in_order}; none is new.", schema(many=True), {})
    unknown_pk = ["unknown-reference"] if row else []
    codes = problem_codes.as_operation_member(
        "duplicate", "too-long", "too-short", "wrong-type", *unknown_pk
    )
    for single in [rows.post, row.patch] if row else [rows.post]:
        codes["x-problem-codes"] += single._apidoc["manual_doc"]["x-problem-codes"]
    operation = openapi.documented_like(
        view,
        view,
        responses=responses | openapi.with_common_error_responses(406, 409, 413, 415),
        # Generators take one media type; the others are in the description of the operation.
        requestBody=openapi.request_body_object(
            {**array, "items": body.for_request_body()}, [JSON]
        ),
        **codes,
    )
    if row:
        documented: Any = blueprint.arguments(BatchQuery, location="query")(operation)
        operation._apidoc = documented._apidoc  # type: ignore[attr-defined]
    return operation
