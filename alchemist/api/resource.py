"""The base of all resources: authorize, call the view, commit once; any exception rolls back.

A dry run rolls back as well.
"""

import logging
import random
import re
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from flask import Response
from flask.typing import ResponseReturnValue
from flask.views import MethodView
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from alchemist import database as db
from alchemist import errors
from alchemist.database import CommitMode, session, use_commit_mode

from . import database_errors, rate_limits
from .request import JSON, PROBLEM_JSON, app_extensions, current_request, request

logger = logging.getLogger(__name__)

PUBLIC = None
MAX_ATTEMPTS = 5
CHECK_DEFERRED_CONSTRAINTS = text("SET CONSTRAINTS ALL IMMEDIATE")
VERBS = {"get": "Get", "post": "Create", "patch": "Update", "delete": "Delete"}


class Resource(MethodView):
    """Declares the permission of each of its methods: PUBLIC, or the name of one."""

    init_every_request = False
    permissions: ClassVar[dict[str, str | None]]
    ignores_accept: ClassVar[bool] = False
    # Whether the last parameter of the path may have slashes, encoded as %2F.
    allows_encoded_slashes: ClassVar[bool] = False
    # Whether clients know `Alchemist-Position`. For others, every read must see every write.
    has_positions: ClassVar[bool] = True
    # Whether GET needs the current state of all transactions, which no standby has.
    reads_primary: ClassVar[bool] = False
    # Names of operations, by method, that do not follow from the name of the class.
    operation_ids: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        methods = {method.lower() for method in cls.methods or ()}
        if methods != set(getattr(cls, "permissions", {})):
            raise TypeError(f"{cls.__qualname__} must name a permission for each of: {methods}.")

    @classmethod
    def operation_id(cls, method: str) -> str:
        """Return the operationId of a method, which names the function in generated clients.

        `PotionList` has listPotions and createPotion; `PotionItem` getPotion, updatePotion and
        deletePotion; `PotionBatch` createPotions. Any other class is named like its operation. A
        prefix `V1` is kept.
        """
        if method in cls.operation_ids:
            return cls.operation_ids[method]
        name = cls.__name__.removeprefix("V1")
        if match := re.fullmatch(r"(\w+)(List|Item|Detail|Batch)", name):
            is_list = method == "get" and match[2] == "List"
            noun = _plural(match[1]) if is_list or match[2] == "Batch" else match[1]
            name = f"{'List' if is_list else VERBS[method]}{noun}"
        return f"v1{name}" if cls.__name__.startswith("V1") else name[0].lower() + name[1:]

    def dispatch_request(self, **path: Any) -> ResponseReturnValue:
        """Authenticate, authorize, and call the view in its commit mode."""
        current = current_request()
        method = "get" if current.method == "HEAD" else current.method.lower()
        view = getattr(self, method)
        current.is_public = self.permissions[method] is PUBLIC
        current.caller = app_extensions()["authenticate"]()
        rate_limits.count_request_or_raise(view)
        current.caller.require(self.permissions[method])
        if not self.ignores_accept:
            _check_accept(view)
        current.is_dry_run = current.dry_run == "true"
        mode = self._commit_mode(view, method)
        if method != "get":
            return self._add_position(_run_with_retries_and_commit(view, mode, path))
        return _run_with_retries_and_commit(
            view, mode, path, current.position if self.has_positions else db.UNREACHABLE
        )

    def _add_position(self, response: ResponseReturnValue) -> ResponseReturnValue:
        """Add the position of the write, if reads need it."""
        position = db.position_of_last_commit() if self.has_positions else None
        if position is not None and isinstance(response, Response):
            response.headers["Alchemist-Position"] = str(position)
        return response

    def _commit_mode(self, view: Any, method: str) -> CommitMode:
        """Return the declared mode: reads, and what is a single statement, need no transaction.

        A dry run needs one to roll back.
        """
        if current_request().is_dry_run:
            return CommitMode.SESSION
        if method == "get" and not self.reads_primary:
            return CommitMode.AUTOCOMMIT_READ
        is_single = method == "get" or getattr(view, "is_single_statement", False)
        return CommitMode.AUTOCOMMIT if is_single else CommitMode.SESSION


def _run_with_retries_and_commit(
    view: Any, mode: CommitMode, path: Mapping[str, Any], position: db.WalPosition | None = None
) -> ResponseReturnValue:
    """Call the view, commit once, and return its response.

    Deadlocks, serialization failures and lost connections are retried a few times, but only before
    COMMIT was sent.
    """
    with use_commit_mode(mode, position):
        for attempt in range(1, MAX_ATTEMPTS):
            try:
                response: ResponseReturnValue = view(**path)
            except (DBAPIError, errors.RetryRequest) as error:
                if not database_errors.is_retryable(error, is_retry=attempt > 1):
                    raise
                session.rollback()
                request.retries = attempt
                time.sleep(random.uniform(0.002, 0.02) * attempt)  # noqa: S311
            else:
                return _commit_or_roll_back_dry_run(response)
        return _commit_or_roll_back_dry_run(view(**path))


def _plural(noun: str) -> str:
    if noun.endswith("y"):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith("o") else f"{noun}s"


def close_session(_error: BaseException | None = None) -> None:
    """Return the request's connection; a connection that fails here is logged, never answered."""
    try:
        session.remove()
    except SQLAlchemyError:
        logger.warning("The session could not be closed.", exc_info=True)
        session.registry.clear()


def _check_accept(view: Any) -> None:
    """Raise NotAcceptable if the client excludes what the view answers (RFC 9110 §12.5.1).

    That is JSON, unless the view has other `media_types`. Accepting problems is enough: some
    clients ask for `application/problem+json` alone.
    """
    if getattr(view, "has_no_content", False):
        return
    current = current_request()
    if current.headers.get("Accept", "*/*") in ("*/*", JSON):
        return
    media_types = getattr(view, "media_types", (JSON,))
    if not any(map(current.accepted_quality, (*media_types, PROBLEM_JSON))):
        names = " or ".join(media_types)
        raise errors.NotAcceptable(f"The answer is {names}, which the Accept header excludes.")


def _commit_or_roll_back_dry_run(response: ResponseReturnValue) -> ResponseReturnValue:
    """Commit the session, if the view used it, before the response is sent.

    In a dry run, check what a commit would check, and roll back.
    """
    if current_request().is_dry_run:
        session.flush()
        session.execute(CHECK_DEFERRED_CONSTRAINTS)
        session.rollback()
    elif session.registry.has():
        session.commit()
    return response
