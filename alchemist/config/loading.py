"""Read the settings from the environment and `.env`, and validate them together."""

import re
from collections.abc import Iterator
from dataclasses import fields
from datetime import date
from difflib import get_close_matches
from os import environ
from typing import Any

from environs import Env, EnvValidationError
from sqlalchemy import URL

from .checks import (
    parse_database_url,
    require_local_bind,
    require_separate_bind,
    split_addresses,
)
from .environment import (
    ConfigurationError,
    env_name,
    file_variable_name,
    load_dotenv,
    secrets_from_files,
)
from .settings import Settings

# Each first timeout must be shorter than the second.
TIMEOUT_ORDER = (
    ("lock_timeout", "statement_timeout"),
    ("statement_timeout", "request_timeout"),
    ("replica_timeout", "request_timeout"),
)
# Of a URL: before the host, or a parameter.
PASSWORD = re.compile(r"((?<=://)[^:@/?#]*:(?=.*@)|[?&]\w*password=)([^@&]*(?=@)|[^&]*)")
# The test suite reads them, not the service.
TEST_ONLY_VARIABLES = {
    "ALCHEMIST_TEST_DATABASE_URL",
    "ALCHEMIST_TEST_PGBOUNCER",
    "ALCHEMIST_TEST_TEMPLATE",
}


def secret_variable_names() -> set[str]:
    """Return the variables whose values can be read from a file instead."""
    return {env_name(setting.name) for setting in fields(Settings) if "secret" in setting.metadata}


def load(**overrides: Any) -> Settings:
    """Read and validate all settings; raise ConfigurationError with every error.

    `overrides` are valid values of settings, which replace their variables.
    """
    load_dotenv()
    names = secret_variable_names() - {env_name(name) for name in overrides} | {"PGPASSWORD"}
    with secrets_from_files(names) as file_errors:
        values, invalid = _parse_settings(overrides)
    if invalid := invalid | file_errors:
        lines = [f"{_variable_or_its_file(name)}: {error}" for name, error in invalid.items()]
        raise ConfigurationError([*lines, *_unknown_variable_errors()])
    settings = Settings(**values)
    if errors := [
        *_timeout_errors(settings),
        *_missing_unix_proxy_errors(settings),
        *_unknown_variable_errors(),
    ]:
        raise ConfigurationError(errors)
    if settings.open_access:
        require_local_bind(settings.bind)
    if settings.metrics_bind:
        require_separate_bind(settings.metrics_bind, split_addresses(settings.bind))
    return settings


def _variable_or_its_file(name: str) -> str:
    """Return the variable, or the one that names its file, that a value was read from."""
    return file_variable_name(name) if file_variable_name(name) in environ else name


def _parse_settings(overrides: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values by setting, and the errors by variable."""
    env = Env(eager=False)
    env.add_parser("database_url", _parse_url_with_password)
    env.add_parser("optional_url", lambda url: _parse_url_with_password(url) if url else None)
    values = {
        setting.name: _parse_setting(env, setting)
        for setting in fields(Settings)
        if setting.name not in overrides
    }
    try:
        env.seal()
    except EnvValidationError as error:
        invalid: Any = error.error_messages
        return {}, {name: " ".join(texts) for name, texts in invalid.items()}
    return values | overrides, {}


def _parse_url_with_password(text: str) -> URL:
    """Return the URL of a database; one without a password has that of PGPASSWORD_FILE."""
    url = parse_database_url(text)
    # From the environment itself libpq takes the variable.
    has_file = bool(environ.get(file_variable_name("PGPASSWORD")))
    password = environ.get("PGPASSWORD") if has_file and url.password is None else None
    return url.set(password=password) if password else url


def _parse_setting(env: Env, setting: Any) -> Any:
    options = {key: setting.metadata[key] for key in ("validate",) if key in setting.metadata}
    if setting.name == "database_url":
        return env.database_url("DATABASE_URL")
    if setting.type == URL | None:
        return env.optional_url(env_name(setting.name), setting.default)
    parsers: dict[Any, Any] = {
        int: env.int,
        float: env.float,
        bool: env.bool,
        str: env.str,
        int | None: env.int,
        str | None: env.str,
        tuple[str, ...]: _list_parser(env),
        date | None: env.date,
    }
    return parsers[setting.type](env_name(setting.name), setting.default, **options)


def _list_parser(env: Env) -> Any:
    """Return a parser of a list that is separated by commas."""

    def parse(name: str, default: Any, **options: Any) -> tuple[str, ...]:
        return tuple(env.list(name, list(default), subcast=str.strip, **options) or ())

    return parse


def _timeout_errors(settings: Settings) -> Iterator[str]:
    for inner, outer in TIMEOUT_ORDER:
        limit = getattr(settings, outer)
        if getattr(settings, inner) >= limit:
            yield f"{env_name(inner)}: Must be less than {env_name(outer)}, which is {limit}."
    if settings.pool_timeout + settings.statement_timeout > settings.request_timeout:
        yield (
            f"{env_name('pool_timeout')}: The sum with {env_name('statement_timeout')} must not "
            f"exceed {env_name('request_timeout')}, which is {settings.request_timeout}."
        )


def _missing_unix_proxy_errors(settings: Settings) -> Iterator[str]:
    has_unix = any(address.startswith("unix:") for address in split_addresses(settings.bind))
    if settings.has_rate_limits and has_unix and "unix" not in settings.trusted_proxies:
        yield (
            f"{env_name('trusted_proxies')}: Must contain `unix`: limits need the addresses of "
            "clients, which only the proxy in front of the unix socket knows."
        )


def _unknown_variable_errors() -> Iterator[str]:
    names = {env_name(setting.name) for setting in fields(Settings)} | TEST_ONLY_VARIABLES
    names |= {file_variable_name(name) for name in secret_variable_names()}
    for name in sorted(environ.keys() - names):
        if name.startswith("ALCHEMIST_"):
            matches = get_close_matches(name, names, n=1)
            hint = f" Did you mean {matches[0]}?" if matches else ""
            yield f"{name}: There is no such setting.{hint}"


def as_variables_without_passwords(settings: Settings) -> dict[str, str]:
    """Return the settings as the variables that set them, with passwords replaced by `***`."""
    return {
        env_name(setting.name): _as_text(getattr(settings, setting.name))
        for setting in fields(Settings)
    }


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, URL):
        value = value.render_as_string(hide_password=True)
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else PASSWORD.sub(r"\1***", str(value))
