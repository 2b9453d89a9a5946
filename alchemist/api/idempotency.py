"""Idempotency-Key: a POST that is repeated with its key has one effect and one answer."""

import re
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from hashlib import sha256
from typing import Any

from flask import Flask, Response, current_app
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from alchemist import errors
from alchemist.database import CommitMode, fetch_one, session, use_commit_mode

from . import database_errors, error_handlers, openapi, problem_codes
from .json_body import loads_strict
from .json_values import canonical_json
from .request import JSON, current_request, request
from .stored_responses import DELETE_OLDEST, STORED, STORED_STATE, IdempotencyKey, pks_and_emails_in

KEY_PATTERN = re.compile(r"[!-~]{1,255}")
STORED_HEADERS = ("Content-Type", "ETag", "Location")

errors.register_problem_type(
    "idempotency-key-reused",
    422,
    "The `Idempotency-Key` was used with another method, path, query, media type or body in the "
    "last 24 hours. Use a new key for each new request.",
    "This key was used for another request.",
)
errors.register_problem_type(
    "request-in-progress",
    409,
    "The first request with this `Idempotency-Key` is still running. Repeat it after `Retry-After` "
    "seconds to get its answer.",
    "The first request with this key is still running.",
)


PARAMETER = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "Makes it safe to repeat the request for 24 hours: a repetition gets the answer "
    "of the first request, with `Idempotent-Replayed: true`.",
    "schema": {"type": "string", "pattern": f"^{KEY_PATTERN.pattern}$"},
}
REPLAYED_HEADER_DOC = {
    "Idempotent-Replayed": openapi.header_object(
        "Only if the answer is a repeated one.", "true", required=False
    )
}


def idempotent(view: Callable[..., Response]) -> Callable[..., Response]:
    """Answer a POST that is repeated with its Idempotency-Key as it was answered first.

    A dry run stores no answer. With a used key it is answered as the request would be.
    """

    @wraps(view)
    def wrapper(*args: Any, **path: Any) -> Response:
        key = current_request().headers.get("Idempotency-Key")
        if key is None:
            return view(*args, **path)
        if not KEY_PATTERN.fullmatch(key):
            detail = "Send 1 to 255 visible ASCII characters."
            raise errors.BadRequest.at_location("header", "Idempotency-Key", detail)
        if request.is_dry_run:
            return _stored_response_unless_key_is_reused(key) or view(*args, **path)
        # The response is stored in the transaction of its effect.
        with use_commit_mode(CommitMode.SESSION):
            return _stored_response_or_lock(key) or _store_response_and_drop_oldest(
                key, _run_in_savepoint_answering_conflicts(view, *args, **path)
            )

    responses = {
        status: {"headers": REPLAYED_HEADER_DOC} for status in _documented_success_statuses(view)
    }
    codes = problem_codes.as_operation_member("idempotency-key-reused", "request-in-progress")
    return openapi.documented_like(
        wrapper, view, parameters=[PARAMETER], responses=responses, **codes
    )


def _documented_success_statuses(view: Callable[..., Response]) -> list[int]:
    documented = view._apidoc["manual_doc"]["responses"]  # type: ignore[attr-defined]
    return [status for status in documented if 200 <= status < 300]


def _stored_response_or_lock(key: str) -> Response | None:
    """Return the stored response; without one, lock the key until the transaction ends.

    The advisory lock never waits: the row lock of an INSERT would, for the whole first request.
    """
    if not session.scalar(select(func.pg_try_advisory_xact_lock(advisory_lock_number(key)))):
        detail = "The first request with this key is still running."
        raise errors.Conflict(detail, code="request-in-progress", headers={"Retry-After": "1"})
    return _stored_response_unless_key_is_reused(key)


def _stored_response_unless_key_is_reused(key: str) -> Response | None:
    """Return the response that is stored under a key of the caller, None if there is none.

    Raise UnprocessableContent if it is of another request, and Forbidden if the caller has lost a
    permission that the response needed, or the token is limited to others.
    """
    stored = session.scalar(STORED, {"caller": str(request.caller), "key": key})
    if stored is None:
        return None
    if stored.fingerprint != _request_fingerprint():
        detail = "This key was used for another request."
        raise errors.UnprocessableContent.at_location(
            "header", "Idempotency-Key", detail, "idempotency-key-reused"
        )
    for permission in stored.permissions:
        request.caller.require(permission)
    return Response(stored.body, stored.status, stored.headers | {"Idempotent-Replayed": "true"})


def advisory_lock_number(key: str) -> int:
    """Return the number of the advisory lock of a key of the caller, a signed integer of 64 bits.

    The first request with the key has the lock as long as it runs.
    """
    return int.from_bytes(sha256(f"{request.caller} {key}".encode()).digest()[:8], signed=True)


def find_state_of_first_request(key: str) -> dict[str, Any] | None:
    """Return what is stored of the first request with a key of the caller, the body left out."""
    row = fetch_one(STORED_STATE, {"caller": str(request.caller), "key": key})
    return dict(zip(STORED_STATE.selected_columns.keys(), row, strict=True)) if row else None


def _run_in_savepoint_answering_conflicts(
    view: Callable[..., Response], *args: Any, **path: Any
) -> Response:
    """Return the response of the view, or that of a conflict with stored rows.

    Such a conflict is stored under the key as well, so its savepoint is rolled back, and the
    transaction is not.
    """
    try:
        with session.begin_nested():
            return view(*args, **path)
    except errors.Conflict as conflict:
        return error_handlers.problem_response(conflict)
    except IntegrityError as error:
        conflict_or_none = database_errors.to_api_error(error)
        if isinstance(conflict_or_none, errors.Conflict):
            return error_handlers.problem_response(conflict_or_none)
        raise


def _store_response_and_drop_oldest(key: str, response: Response) -> Response:
    body = response.get_data(as_text=True)
    values = {
        "fingerprint": _request_fingerprint(),
        "method": request.method,
        "path": request.path,
        "status": response.status_code,
        "headers": {
            name: response.headers[name] for name in STORED_HEADERS if name in response.headers
        },
        "body": body,
        "identifiers": pks_and_emails_in(f"{request.path} {body}"),
        "permissions": sorted(request.used_permissions),
        "created_at": func.now(),
    }
    statement = insert(IdempotencyKey).values(caller=str(request.caller), key=key, **values)
    # An expired row of the same key is replaced.
    identity = [IdempotencyKey.caller, IdempotencyKey.key]
    session.execute(statement.on_conflict_do_update(index_elements=identity, set_=values))
    most = current_app.extensions["max_idempotency_keys"]
    session.execute(DELETE_OLDEST, {"of_caller": str(request.caller), "most": most})
    return response


def _request_fingerprint() -> str:
    """Return a hash of method, path, query, media type and body, whether or not it is a dry run.

    The order of members of JSON does not count.
    """
    parts = [request.method, request.path, _query_without_dry_run()]
    body, media_type = request.body, request.mimetype
    if media_type in ("", JSON) or media_type.endswith("+json"):
        with suppress(errors.BadRequest):
            body = canonical_json(loads_strict(body)).encode()
    else:
        parts.append(media_type)
    return sha256("\n".join(parts).encode() + b"\n" + body).hexdigest()


def _query_without_dry_run() -> str:
    parameters = request.query_string.decode("latin-1").split("&")
    return "&".join(each for each in parameters if each.partition("=")[0] != "dry_run")


def init_app(app: Flask, max_keys: int) -> None:
    """Keep at most so many responses of each caller."""
    app.extensions["max_idempotency_keys"] = max_keys
