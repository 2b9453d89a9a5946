"""The settings, read from the environment and `.env`, and validated together."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import date
from difflib import get_close_matches
from functools import lru_cache
from io import StringIO
from ipaddress import ip_address, ip_network
from os import environ
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dotenv
from environs import Env, EnvValidationError
from marshmallow import ValidationError
from marshmallow.validate import OneOf, Range
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?")
# Each first timeout must be shorter than the second.
TIMEOUT_ORDER = (
    ("lock_timeout", "statement_timeout"),
    ("statement_timeout", "request_timeout"),
)
# The host may be missing: gunicorn then listens on every address of the machine.
TCP_BIND = re.compile(r"(?:tcp://)?([A-Za-z0-9._-]*|\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]):([0-9]{1,5})")
SOCKET_BIND = re.compile(r"unix:.+|fd://[0-9]{1,9}")
STORAGE_SCHEMES = ("redis", "rediss", "redis+unix", "valkey", "valkeys", "valkey+unix")
# Requests in a minute; 0 switches a limit off.
LIMIT = Range(0, 1_000_000)
LIMITS = ("limit_requests", "limit_costly_requests", "limit_failed_authentications")
URL_SCHEMES = ("postgres", "postgresql", "postgresql+psycopg")
# The test suite reads them, not the service.
TEST_ONLY_VARIABLES = {"ALCHEMIST_TEST_DATABASE_URL"}


class ConfigurationError(Exception):
    """Every error of the configuration: one line each, which begins with its variable or file."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def database_url(text: str) -> URL:
    """Parse the URL of a PostgreSQL database; raise ValidationError."""
    try:
        text.encode()
        url = make_url(text)
        # The resolver encodes the host name like this, and a name that is too long fails.
        (url.host or "").encode("idna")
    except (ArgumentError, ValueError) as error:
        raise ValidationError("Not a URL.") from error
    if url.drivername not in URL_SCHEMES:
        raise ValidationError(
            f"Begin with one of {', '.join(f'{name}://' for name in URL_SCHEMES)}."
        )
    # Of a repeated parameter libpq takes the last value; hosts are a list.
    last = {name: values[-1] for name, values in url.normalized_query.items() if name != "host"}
    return url.set(drivername="postgresql+psycopg").update_query_dict(last)


def check_bind(text: str) -> None:
    """Raise ValidationError unless gunicorn can parse it: addresses, separated by commas."""
    if not all(map(_is_bind, split_bind(text))):
        raise ValidationError("Must be like 127.0.0.1:8000, [::1]:8000, unix:/path or fd://3.")


def split_bind(text: str) -> list[str]:
    """Return the addresses of a bind setting, which are separated by commas."""
    return [address.strip() for address in text.split(",")]


def _is_bind(text: str) -> bool:
    tcp = TCP_BIND.fullmatch(text)
    return int(tcp[2]) <= 65535 if tcp else bool(SOCKET_BIND.fullmatch(text))


def check_origins(origins: list[str]) -> None:
    """Raise ValidationError unless each has a scheme, a host and maybe a port (RFC 6454 §6.2)."""
    if not all(ORIGIN.fullmatch(origin) for origin in origins):
        raise ValidationError("Each must be like https://shop.example or http://localhost:3000.")


def check_proxies(names: list[str]) -> None:
    """Raise ValidationError unless each is a network, an address, or `unix`."""
    try:
        for name in names:
            if name != "unix":
                ip_network(name)
    except ValueError as error:
        raise ValidationError("Each must be like 10.0.0.0/8, 192.0.2.1 or unix.") from error


def check_limit_storage(url: str) -> None:
    """Raise ValidationError unless it is empty or the URL of a Redis or Valkey."""
    try:
        parts = urlsplit(url)
        is_valid = not url or (parts.scheme in STORAGE_SCHEMES and parts.port != 0)
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValidationError("Must be like redis://host:6379/0 or valkey://host.")


def _setting(description: str, default: Any, **options: Any) -> Any:
    return field(default=default, metadata={"description": description, **options})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One field for each variable: `database_url` is DATABASE_URL, any other `x` is ALCHEMIST_X."""

    database_url: URL = field(metadata={"description": "The PostgreSQL database (14 to 18)."})
    bind: str = _setting(
        "Where gunicorn listens: `host:port` or `unix:path`, or several, separated by commas.",
        "127.0.0.1:8000",
        validate=check_bind,
    )
    workers: int = _setting("Worker processes.", 2, validate=Range(1, 64))
    threads: int = _setting(
        "Threads of each worker; its connection pools are as large.", 4, validate=Range(1, 64)
    )
    client_timeout: float = _setting(
        "Seconds that a client has to send a request, and to receive the response.",
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
    limit_storage: str | None = _setting(
        "A Redis or Valkey that counts for all nodes, as in `redis://localhost`; otherwise each "
        "worker counts by itself.",
        None,
        validate=check_limit_storage,
    )
    v1_sunset: date | None = field(
        default=None,
        metadata={
            "description": "When v1 ends, as in `2027-12-31`: v1 responses have it as `Sunset` "
            "(RFC 8594)."
        },
    )
    log_level: str = _setting(
        "The lowest level that is logged.",
        "info",
        validate=OneOf(["debug", "info", "warning", "error"]),
    )


def hostname(address: str) -> str:
    """Return the host of `host`, `host:port`, `[host]` or `[host]:port`."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0]


@lru_cache
def is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_open_access(bind: str) -> None:
    """Raise ConfigurationError if other machines can reach an address with open access."""
    for address in split_bind(bind):
        is_local = address.startswith(("unix:", "fd://"))
        if not is_local and not is_loopback(hostname(address.removeprefix("tcp://"))):
            raise ConfigurationError(
                [f"{env_name('open_access')}: other machines can reach {address}: use 127.0.0.1."]
            )


def env_name(name: str) -> str:
    return name.upper() if name == "database_url" else f"ALCHEMIST_{name.upper()}"


def load_dotenv() -> None:
    """Set the variables of `.env` in the current directory that the environment lacks."""
    try:
        dotenv.load_dotenv(stream=StringIO(Path(".env").read_text("utf-8-sig")))
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError([f".env: Cannot be read ({error.strerror})."]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError([".env: Must be UTF-8."]) from error
    except ValueError as error:
        # A NUL byte, or a name with "=": the operating system accepts neither.
        raise ConfigurationError([f".env: Must be variables and values ({error})."]) from error


def load() -> Settings:
    """Read and validate all settings; raise ConfigurationError with every error."""
    load_dotenv()
    env = Env(eager=False)
    env.add_parser("database_url", database_url)
    values = {setting.name: _parse_setting(env, setting) for setting in fields(Settings)}
    try:
        env.seal()
    except EnvValidationError as error:
        invalid: Any = error.error_messages
        errors = [f"{name}: {' '.join(messages)}" for name, messages in invalid.items()]
        raise ConfigurationError([*errors, *_unknown_variables()]) from error
    settings = Settings(**values)
    if errors := [*_timeout_errors(settings), *_limit_errors(settings), *_unknown_variables()]:
        raise ConfigurationError(errors)
    if settings.open_access:
        check_open_access(settings.bind)
    return settings


def _parse_setting(env: Env, setting: Any) -> Any:
    options = {key: value for key, value in setting.metadata.items() if key != "description"}
    if setting.name == "database_url":
        return env.database_url("DATABASE_URL")
    parsers: dict[Any, Any] = {
        int: env.int,
        float: env.float,
        bool: env.bool,
        str: env.str,
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
    has_limits = any(getattr(settings, name) for name in LIMITS)
    has_unix = any(address.startswith("unix:") for address in split_bind(settings.bind))
    if has_limits and has_unix and "unix" not in settings.trusted_proxies:
        yield (
            f"{env_name('trusted_proxies')}: Must contain `unix`: limits need the addresses of "
            "clients, which only the proxy in front of the unix socket knows."
        )


def _unknown_variables() -> Iterator[str]:
    names = {env_name(setting.name) for setting in fields(Settings)} | TEST_ONLY_VARIABLES
    for name in sorted(environ.keys() - names):
        if name.startswith("ALCHEMIST_"):
            matches = get_close_matches(name, names, n=1)
            hint = f" Did you mean {matches[0]}?" if matches else ""
            yield f"{name}: There is no such setting.{hint}"
