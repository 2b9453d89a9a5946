"""What is wrong with the surroundings of a command, told in lines."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from alchemist import config, embedded, errors

from . import dev_server


@contextmanager
def reported() -> Iterator[None]:
    """Turn what is wrong with the surroundings into lines, and leave bugs their traceback."""
    try:
        yield
    except (
        config.ConfigurationError,
        embedded.EmbeddedPostgresError,
        dev_server.DevServerError,
    ) as refusal:
        raise click.ClickException(str(refusal)) from refusal
    except errors.ApiError as refusal:
        raise click.ClickException(refusal.detail) from refusal
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        raise click.ClickException(f"The database cannot be used: {reason}") from error
    except CommandError as error:
        raise click.ClickException(f"The database cannot be migrated: {error}") from error
