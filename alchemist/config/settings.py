"""The settings, read from the environment and `.env`, and validated together."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import date
from difflib import get_close_matches
from os import environ
from typing import Any

from environs import Env, EnvValidationError
from marshmallow.validate import OneOf, Range
from sqlalchemy import URL

from .checks import (
    check_contact,
    check_limit_storage,
    check_origins,
    check_proxies,
    parse_database_url,
    require_local_bind,
    split_bind,
    validate_bind,
)
from .environment import (
    ConfigurationError,
    env_name,
    file_variable,
    load_dotenv,
    secrets_from_files,
)

# Each first timeout must be shorter than the second.
TIMEOUT_ORDER = (
    ("lock_timeout", "statement_timeout"),
    ("statement_timeout", "request_timeout"),
)
# A hundred years: older dates are not in question.
MAX_RETENTION_DAYS = 36500
# Requests in a minute; 0 switches a limit off.
LIMIT = Range(0, 1_000_000)
LIMITS = (
    "limit_requests",
    "limit_costly_requests",
    "limit_failed_authentications",
    "limit_coupon_misses",
)
# Of a URL: before the host, or a parameter.
PASSWORD = re.compile(r"((?<=://)[^:@/?#]*:(?=.*@)|[?&]\w*password=)([^@&]*(?=@)|[^&]*)")
# The test suite reads them, not the service.
TEST_ONLY_VARIABLES = {"ALCHEMIST_TEST_DATABASE_URL"}


def _setting(description: str, default: Any, **options: Any) -> Any:
    return field(default=default, metadata={"description": description, **options})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One field for each variable: `database_url` is DATABASE_URL, any other `x` is ALCHEMIST_X."""

    database_url: URL = field(
        metadata={"description": "The PostgreSQL database (14 to 18).", "secret": True}
    )
    bind: str = _setting(
        "Where gunicorn listens: `host:port` or `unix:path`, or several, separated by commas.",
        "127.0.0.1:8000",
        validate=validate_bind,
    )
    workers: int = _setting("Worker processes.", 2, validate=Range(1, 64))
    threads: int = _setting(
        "Threads of each worker; its connection pools are as large.", 4, validate=Range(1, 64)
    )
    client_timeout: float = _setting(
        "Seconds that a client has to send a request, and to receive the response; large responses "
        "have another second for each 512 KiB.",
        10.0,
        validate=Range(0.1, 300),
    )
    pool_timeout: float = _setting(
        "Seconds that a request waits for a database connection; then the response is 503.",
        1.0,
        validate=Range(0.01, 5),
    )
    request_timeout: float = _setting(
        "Seconds until a request that still waits for the database is answered 503.",
        5.0,
        # With less there is no time to connect.
        validate=Range(3, 60),
    )
    statement_timeout: float = _setting(
        "Seconds after which PostgreSQL cancels a statement.", 4.0, validate=Range(0.01, 30)
    )
    anonymous_search_timeout: float = _setting(
        "Seconds that PostgreSQL may take for a search or a count without a token.",
        0.5,
        validate=Range(0.01, 30),
    )
    # Longer than PostgreSQL's deadlock_timeout of 1 s: otherwise both transactions of a deadlock
    # fail, although one of them could continue.
    lock_timeout: float = _setting(
        "Seconds that a statement waits for a lock.", 1.5, validate=Range(0.01, 30)
    )
    prepared_statements: bool = _setting(
        "Whether to use prepared statements; turn it off behind a PgBouncer before 1.21.", True
    )
    open_access: bool = _setting(
        "Whether every caller has every permission; for development, on a loopback address only.",
        False,
    )
    max_token_days: int = _setting(
        "Days after which a token expires at the latest.", 365, validate=Range(1, 3650)
    )
    max_idempotency_keys: int = _setting(
        "Idempotency keys of a user whose responses are stored; the oldest give way.",
        10_000,
        validate=Range(10, 1_000_000),
    )
    log_client_address: bool = _setting(
        "Whether the logs and the audit log have the addresses of clients.", False
    )
    cors_origins: tuple[str, ...] = _setting(
        "Origins whose scripts may call the API, separated by commas.",
        (),
        validate=check_origins,
    )
    trusted_proxies: tuple[str, ...] = _setting(
        "Proxies whose `X-Forwarded-For`, `-Proto` and `-Host` are believed: networks, or `unix` "
        "for those that connect to a unix socket, separated by commas.",
        (),
        validate=check_proxies,
    )
    limit_requests: int = _setting(
        "Requests that a token, or an address without one, may send in a minute; 0 is any number.",
        0,
        validate=LIMIT,
    )
    limit_costly_requests: int = _setting(
        "How many of these may be costly: searches, exact counts, orders, and lists of v1.",
        0,
        validate=LIMIT,
    )
    limit_failed_authentications: int = _setting(
        "Requests with an invalid token that an address may send in a minute; 0 is any number.",
        0,
        validate=LIMIT,
    )
    limit_coupon_misses: int = _setting(
        "Orders and quotes with unusable coupons that a user may send in a minute; 0 is off.",
        0,
        validate=LIMIT,
    )
    limit_storage: str | None = _setting(
        "A Redis or Valkey that counts for all nodes, as in `redis://localhost`; otherwise each "
        "worker counts by itself.",
        None,
        validate=check_limit_storage,
        secret=True,
    )
    token_retention_days: int = _setting(
        "Days after which `alchemist purge` deletes tokens that expired or were revoked.",
        30,
        validate=Range(0, MAX_RETENTION_DAYS),
    )
    audit_retention_days: int | None = _setting(
        "Days after which `alchemist purge` deletes audit entries; without it they are kept.",
        None,
        validate=Range(1, MAX_RETENTION_DAYS),
    )
    v1: bool = _setting("Whether version 1 of the API is served; if not, it is 404.", True)
    docs: bool = _setting(
        "Whether `/api/docs` and the OpenAPI documents are served; if not, they are 404.", True
    )
    security_contact: str | None = _setting(
        "Where to report vulnerabilities, as in `mailto:security@shop.example`: served in "
        "`/.well-known/security.txt` (RFC 9116).",
        None,
        validate=check_contact,
    )
    v1_sunset: date | None = field(
        default=None,
        metadata={
            "description": "When v1 ends, as in `2027-12-31`: v1 responses have it as `Sunset` "
            "(RFC 8594)."
        },
    )
    log_user_agent: bool = _setting("Whether the log has the User-Agent of clients.", False)
    log_format: str = _setting(
        "Lines of JSON or of text for people; `auto` is text on a terminal, and otherwise JSON.",
        "auto",
        validate=OneOf(["auto", "json", "text"]),
    )
    log_level: str = _setting(
        "The lowest level that is logged.",
        "info",
        validate=OneOf(["debug", "info", "warning", "error"]),
    )

    @property
    def has_limits(self) -> bool:
        """Whether the requests of a client are limited."""
        return any(getattr(self, name) for name in LIMITS)


def secret_names() -> set[str]:
    """Return the variables whose values can be read from a file instead."""
    return {env_name(setting.name) for setting in fields(Settings) if "secret" in setting.metadata}


def load(**overrides: Any) -> Settings:
    """Read and validate all settings; raise ConfigurationError with every error.

    `overrides` are valid values of settings, which replace their variables.
    """
    load_dotenv()
    names = secret_names() - {env_name(name) for name in overrides}
    with secrets_from_files(names) as file_errors:
        values, invalid = _parse_settings(overrides)
    if invalid := invalid | file_errors:
        lines = [f"{_variable_or_its_file(name)}: {error}" for name, error in invalid.items()]
        raise ConfigurationError([*lines, *_unknown_variable_errors()])
    settings = Settings(**values)
    if errors := [
        *_timeout_errors(settings),
        *_limit_errors(settings),
        *_unknown_variable_errors(),
    ]:
        raise ConfigurationError(errors)
    if settings.open_access:
        require_local_bind(settings.bind)
    return settings


def _variable_or_its_file(name: str) -> str:
    """Return the variable, or the one that names its file, that a value was read from."""
    return file_variable(name) if file_variable(name) in environ else name


def _parse_settings(overrides: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values by setting, and the errors by variable."""
    env = Env(eager=False)
    env.add_parser("database_url", parse_database_url)
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


def _parse_setting(env: Env, setting: Any) -> Any:
    options = {key: setting.metadata[key] for key in ("validate",) if key in setting.metadata}
    if setting.name == "database_url":
        return env.database_url("DATABASE_URL")
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


def _limit_errors(settings: Settings) -> Iterator[str]:
    has_unix = any(address.startswith("unix:") for address in split_bind(settings.bind))
    if settings.has_limits and has_unix and "unix" not in settings.trusted_proxies:
        yield (
            f"{env_name('trusted_proxies')}: Must contain `unix`: limits need the addresses of "
            "clients, which only the proxy in front of the unix socket knows."
        )


def _unknown_variable_errors() -> Iterator[str]:
    names = {env_name(setting.name) for setting in fields(Settings)} | TEST_ONLY_VARIABLES
    names |= {file_variable(name) for name in secret_names()}
    for name in sorted(environ.keys() - names):
        if name.startswith("ALCHEMIST_"):
            matches = get_close_matches(name, names, n=1)
            hint = f" Did you mean {matches[0]}?" if matches else ""
            yield f"{name}: There is no such setting.{hint}"


def as_variables(settings: Settings) -> dict[str, str]:
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
