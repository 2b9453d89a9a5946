"""Report errors of a command's environment as messages without a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from alchemist import config, embedded, errors

from . import dev_server
from .output import escape

INSUFFICIENT_PRIVILEGE = "42501"


@contextmanager
def report_expected_errors() -> Iterator[None]:
    """Turn expected errors into ClickException; any other exception is a bug and passes."""
    try:
        with _as_click_exception():
            yield
    except click.ClickException as error:
        raise click.ClickException(escape(error.message)) from error


@contextmanager
def _as_click_exception() -> Iterator[None]:
    try:
        yield
    except (
        config.ConfigurationError,
        embedded.EmbeddedPostgresError,
        dev_server.DevServerError,
    ) as error:
        raise click.ClickException(str(error)) from error
    except errors.ApiError as error:
        raise click.ClickException(error.detail) from error
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        if getattr(error.orig, "sqlstate", None) == INSUFFICIENT_PRIVILEGE:
            message = f"Use the role that owns the tables in DATABASE_URL: {reason}"
            raise click.ClickException(message) from error
        raise click.ClickException(f"The database cannot be used: {reason}") from error
    except CommandError as error:
        raise click.ClickException(f"The database cannot be migrated: {error}") from error
