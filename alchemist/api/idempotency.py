"""Idempotency-Key: a POST that is repeated with its key has one effect and one answer."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from hashlib import sha256
from typing import Any

from flask import Response
from sqlalchemy import Index, String, and_, delete, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from alchemist import errors
from alchemist.database import Base, TransactionMode, session, transaction_mode

from . import database_errors, error_handlers, openapi
from .request import request

TTL = timedelta(hours=24)
PURGE_BATCH_SIZE = 20
KEY_PATTERN = re.compile(r"[\x21-\x7e]{1,255}")
STORED_HEADERS = ("Content-Type", "ETag", "Location")

errors.register(
    "idempotency-key-reused",
    422,
    "The `Idempotency-Key` was used with another method, path, query or body in the last 24 "
    "hours. Use a new key for each new request.",
    "This key was used for another request.",
)
errors.register(
    "request-in-progress",
    409,
    "The first request with this `Idempotency-Key` is still running. Repeat it after `Retry-After` "
    "seconds to get its answer.",
    "The first request with this key is still running.",
)


REPLAYED_HEADER_DOC = {
    "Idempotent-Replayed": openapi.header("Only where an answer is given again.", "true")
}


class IdempotencyKey(Base):
    """The answer to the first request with a key, written in the transaction of its effect."""

    __tablename__ = "idempotency_keys"

    caller: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str]
    status: Mapped[int]
    headers: Mapped[dict[str, str]] = mapped_column(JSONB)
    body: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "created_at"),)


def idempotent(act: Callable[..., Response]) -> Callable[..., Response]:
    """Let a view that creates answer a repeated request as it answered the first."""

    @wraps(act)
    def once(*args: Any, **path: Any) -> Response:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return act(*args, **path)
        if not KEY_PATTERN.fullmatch(key):
            detail = "Send 1 to 255 visible ASCII characters."
            raise errors.BadRequest.at_location("header", "Idempotency-Key", detail)
        # The key is stored in the transaction of the effect.
        with transaction_mode(TransactionMode.SESSION):
            return _replay(key) or _store_response(key, _run_in_savepoint(act, *args, **path))

    return openapi.with_openapi(
        once,
        act,
        parameters=[
            {
                "in": "header",
                "name": "Idempotency-Key",
                "description": "Makes it safe to repeat the request for 24 hours: the answer to "
                "the first is given again, with `Idempotent-Replayed: true`.",
                "schema": {"type": "string", "pattern": r"^[!-~]{1,255}$"},
            }
        ],
        responses={status: {"headers": REPLAYED_HEADER_DOC} for status in _success_statuses(act)},
    )


def _success_statuses(act: Callable[..., Response]) -> list[int]:
    """Return the statuses that the view documents for what went well."""
    documented = act._apidoc["manual_doc"]["responses"]  # type: ignore[attr-defined]
    return [status for status in documented if 200 <= status < 300]


def _replay(key: str) -> Response | None:
    """Return the answer that is kept under the key; keep others from using it meanwhile.

    The lock never waits, and is let go with the transaction: whoever gets it sees the answer of
    whoever had it before.
    """
    lock = int.from_bytes(sha256(f"{request.caller} {key}".encode()).digest()[:8], signed=True)
    if not session.scalar(select(func.pg_try_advisory_xact_lock(lock))):
        detail = "The first request with this key is still running."
        raise errors.Conflict(detail, code="request-in-progress", headers={"Retry-After": "1"})
    _delete_expired(key)
    kept = session.get(IdempotencyKey, (str(request.caller), key))
    if kept is None:
        return None
    if kept.fingerprint != _fingerprint():
        detail = "This key was used for another request."
        raise errors.UnprocessableContent.at_location(
            "header", "Idempotency-Key", detail, "idempotency-key-reused"
        )
    return Response(kept.body, kept.status, kept.headers | {"Idempotent-Replayed": "true"})


def _run_in_savepoint(act: Callable[..., Response], *args: Any, **path: Any) -> Response:
    """Return the answer, also where stored rows stand in the way of a valid request.

    Such a refusal is the answer to keep, so its transaction is committed without its effect.
    """
    try:
        with session.begin_nested():
            return act(*args, **path)
    except errors.Conflict as refusal:
        return error_handlers.problem_response(refusal)
    except IntegrityError as error:
        meant = database_errors.to_api_error(error)
        if isinstance(meant, errors.Conflict):
            return error_handlers.problem_response(meant)
        raise


def _store_response(key: str, response: Response) -> Response:
    kept = IdempotencyKey(
        caller=str(request.caller),
        key=key,
        fingerprint=_fingerprint(),
        status=response.status_code,
        headers={
            name: response.headers[name] for name in STORED_HEADERS if name in response.headers
        },
        body=response.get_data(as_text=True),
    )
    session.add(kept)
    session.flush()
    return response


def _fingerprint() -> str:
    parts = (request.method, request.path, request.query_string.decode("latin-1"))
    return sha256("\n".join(parts).encode() + b"\n" + request.body).hexdigest()


def delete_responses_containing(*words: str) -> None:
    """Delete the answers that hold one of some words, because nobody shall read them again."""
    holds = [IdempotencyKey.body.contains(word, autoescape=True) for word in words]
    session.execute(
        delete(IdempotencyKey).where(or_(*holds)),
        execution_options={"synchronize_session": False},
    )


def _delete_expired(key: str) -> None:
    """Delete this key if it has expired, and a few others that have."""
    identity = tuple_(IdempotencyKey.caller, IdempotencyKey.key)
    has_expired = IdempotencyKey.created_at < func.now() - TTL
    oldest = (
        select(IdempotencyKey.caller, IdempotencyKey.key)
        .where(has_expired)
        .order_by(IdempotencyKey.created_at)
        .limit(PURGE_BATCH_SIZE)
        .with_for_update(skip_locked=True)
    )
    is_own = and_(IdempotencyKey.caller == str(request.caller), IdempotencyKey.key == key)
    session.execute(
        delete(IdempotencyKey).where(has_expired, or_(is_own, identity.in_(oldest))),
        execution_options={"synchronize_session": False},
    )
