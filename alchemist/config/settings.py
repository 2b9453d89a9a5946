"""The settings of the service, with their defaults and bounds."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from marshmallow.validate import OneOf, Range
from sqlalchemy import URL

from .checks import (
    check_contact,
    check_limit_storage,
    check_origins,
    check_proxies,
    validate_bind,
    validate_metrics_bind,
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
    metrics_bind: str | None = _setting(
        "Where gunicorn serves metrics to Prometheus, as `127.0.0.1:9464`; not at an address of "
        "the API.",
        None,
        validate=validate_metrics_bind,
    )
    workers: int = _setting("Worker processes.", 2, validate=Range(1, 64))
    threads: int = _setting("Threads of each worker.", 4, validate=Range(1, 64))
    pool_size: int | None = _setting(
        "Connections of each of the two pools of a worker; by default as many as threads.",
        None,
        validate=Range(1, 64),
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
    limits: str = _setting(
        "Where PostgreSQL's timeouts are set: in each `connection`, or in the `role` by "
        "`alchemist set-limits`, for poolers that reject options.",
        "connection",
        validate=OneOf(["connection", "role"]),
    )
    replica_url: URL | None = field(
        default=None,
        metadata={
            "description": "Standbys that answer reads, as in "
            "`postgresql://alchemist@one,two/alchemist`: each by its own address.",
            "secret": True,
        },
    )
    replica_reads: str = _setting(
        "How a standby is known to be fresh enough: commits wait until it has `applied` them, or "
        "reads have the `position` of the write that they must see.",
        "applied",
        validate=OneOf(["applied", "position"]),
    )
    replica_timeout: float = _setting(
        "Seconds that a read waits for a standby; then the primary answers it.",
        1.0,
        validate=Range(0.1, 30),
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
    order_ttl: float = _setting(
        "Seconds after which an order that is not paid expires.",
        86_400.0,
        validate=Range(1, 31_536_000),
    )
    max_open_orders: int = _setting(
        "Orders that a user may have placed and not yet paid; 0 is any number.",
        100,
        validate=Range(0, 1_000_000),
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
    log_success_sample_rate: float = _setting(
        "The share of successful requests that are logged; errors always are.",
        1.0,
        validate=Range(0, 1),
    )
    slow_statement_time: float = _setting(
        "Seconds from which a statement is logged, by its name and without values; 0 logs none.",
        1.0,
        validate=Range(0, 60),
    )
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
    def connections_per_pool(self) -> int:
        """How many connections each pool of a worker has."""
        return self.pool_size or self.threads

    @property
    def has_rate_limits(self) -> bool:
        """Whether the requests of a client are limited."""
        return any(getattr(self, name) for name in LIMITS)
