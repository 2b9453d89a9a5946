"""Idempotency-Key: a POST that is repeated with its key has one effect and one answer."""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import wraps
from hashlib import sha256
from typing import Any
from unicodedata import normalize
from uuid import UUID

from flask import Flask, Response, current_app
from sqlalchemy import Index, Integer, String, Text, bindparam, delete, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from alchemist import errors
from alchemist.database import Base, CommitMode, fetch_one, session, use_commit_mode

from . import database_errors, error_handlers, openapi, problem_codes
from .json_body import loads_strict
from .json_values import canonical_json
from .request import JSON, current_request, request

TTL = timedelta(hours=24)
KEY_PATTERN = re.compile(r"[!-~]{1,255}")
UUID_PATTERN = re.compile(r"[0-9A-Fa-f]{8}-?(?:[0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}")
# What ends an e-mail address in a body: also the quotation marks of JSON, escaped or not.
ADDRESS_END_PATTERN = re.compile(r'[\s"\\<>]+')
# Characters: an address has fewer, and the normalisation of a long text takes quadratic time.
MAX_ADDRESS_LENGTH = 1000
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


class IdempotencyKey(Base):
    """The response to the first request with a key, written in the transaction of its effect."""

    __tablename__ = "idempotency_keys"

    caller: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str]
    # Null for requests of former versions.
    method: Mapped[str | None] = mapped_column(String(16))
    path: Mapped[str | None]
    status: Mapped[int]
    headers: Mapped[dict[str, str]] = mapped_column(JSONB)
    body: Mapped[str]
    # The primary keys and e-mail addresses in path and body: whose data they may contain.
    identifiers: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    # The permissions of the caller that the response needed.
    permissions: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        Index(None, "created_at"),
        Index(None, "caller", "created_at"),
        Index(None, "identifiers", postgresql_using="gin"),
    )


# The row lock makes the commit of a repetition wait for the synchronous standby: that of the first
# request may have been canceled while it waited, and is then stored on the primary only.
STORED = (
    select(IdempotencyKey)
    .where(
        IdempotencyKey.caller == bindparam("caller"),
        IdempotencyKey.key == bindparam("key"),
        IdempotencyKey.created_at >= func.now() - TTL,
    )
    .with_for_update(read=True, key_share=True)
)
STORED_STATE = STORED.with_only_columns(
    IdempotencyKey.method,
    IdempotencyKey.path,
    IdempotencyKey.status,
    IdempotencyKey.headers["Location"].astext.label("location"),
    IdempotencyKey.created_at,
    (IdempotencyKey.created_at + TTL).label("expires_at"),
)
# Those of the caller that are older than the newest `most`. A locked row is left to the request
# that has locked it.
_of_caller = IdempotencyKey.caller == bindparam("of_caller")
_oldest_kept = (
    select(IdempotencyKey.created_at)
    .where(_of_caller)
    .order_by(IdempotencyKey.created_at.desc())
    .offset(bindparam("most", type_=Integer()) - 1)
    .limit(1)
    .scalar_subquery()
)
_too_old = (
    select(IdempotencyKey.key)
    .where(_of_caller, IdempotencyKey.created_at < _oldest_kept)
    .with_for_update(skip_locked=True)
)
DELETE_OLDEST = (
    delete(IdempotencyKey)
    .where(_of_caller, IdempotencyKey.key.in_(_too_old))
    .execution_options(synchronize_session=False)
)
NO_SYNC = {"synchronize_session": False}


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
            return _stored_response(key) or view(*args, **path)
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
    return _stored_response(key)


def _stored_response(key: str) -> Response | None:
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
        "identifiers": _pks_and_emails_in(f"{request.path} {body}"),
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


def _pks_and_emails_in(content: str) -> list[str]:
    """Return the primary keys and the e-mail addresses in a text, normalised."""
    words = ADDRESS_END_PATTERN.split(content) if "@" in content else []
    addresses = [word for word in words if "@" in word and len(word) <= MAX_ADDRESS_LENGTH]
    return sorted(
        {_normalize_identifier(found) for found in (*UUID_PATTERN.findall(content), *addresses)}
    )


def _normalize_identifier(identifier: str) -> str:
    """Return a key as 32 hex digits, and an address as it is compared."""
    if UUID_PATTERN.fullmatch(identifier):
        return identifier.replace("-", "").lower()
    return normalize("NFKC", identifier).casefold()


def delete_responses_mentioning(*identifiers: UUID | str) -> None:
    """Delete the stored responses that contain one of these primary keys or e-mail addresses."""
    texts = [_normalize_identifier(str(identifier)) for identifier in identifiers]
    mentions = IdempotencyKey.identifiers.overlap(texts)
    session.execute(delete(IdempotencyKey).where(mentions), execution_options=NO_SYNC)


def delete_expired_responses() -> int:
    """Delete all stored responses that are older than the TTL; return how many."""
    result: Any = session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.created_at < func.now() - TTL),
        execution_options=NO_SYNC,
    )
    return int(result.rowcount)


def init_app(app: Flask, max_keys: int) -> None:
    """Keep at most so many responses of each caller."""
    app.extensions["max_idempotency_keys"] = max_keys
