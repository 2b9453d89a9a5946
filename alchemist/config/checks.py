"""Parse and check the values of single settings."""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from marshmallow import ValidationError
from sqlalchemy import URL, make_url
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import ArgumentError

from .environment import ConfigurationError, env_name

ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?")
# The host may be missing: gunicorn then listens on every address of the machine.
TCP_BIND = re.compile(r"(?:tcp://)?([A-Za-z0-9._-]*|\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]):([0-9]{1,5})")
# Hosts that stand for all addresses of the machine.
ANY_HOST = {"", "0.0.0.0", "::"}  # noqa: S104
SOCKET_BIND = re.compile(r"unix:.+|fd://[0-9]{1,9}")
STORAGE_SCHEMES = ("redis", "rediss", "redis+unix", "valkey", "valkeys", "valkey+unix")
CONTACT = re.compile(r"mailto:[!-?A-~]+@[!-?A-~]+|https://[!-~]+|tel:[+0-9-]+")
# Of libpq (RFC 3986 allows one host only): what comes before the hosts, the hosts, and the rest.
SEVERAL_HOSTS = re.compile(r"([\w+]+://(?:[^/?#]*@)?)([^/?#@]*,[^/?#@]*)([/?#].*)?", re.DOTALL)
HOST_AND_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::([0-9]{1,5})?)?")
URL_SCHEMES = ("postgres", "postgresql", "postgresql+psycopg")


def parse_database_url(text: str) -> URL:
    """Parse the URL of a PostgreSQL database, which may have several hosts; raise ValidationError.

    `//h1:p1,h2:p2/` of libpq becomes what SQLAlchemy knows: `?host=h1,h2&port=p1,p2`.
    """
    try:
        text.encode()
        hosts = SEVERAL_HOSTS.fullmatch(text)
        url = make_url(f"{hosts[1]}{hosts[3] or ''}" if hosts else text)
        if hosts:
            url = url.set(query={**_parse_hosts(hosts[2]), **url.query})
        # Also checks the hosts and ports of the query.
        PGDialect_psycopg().create_connect_args(url)  # type: ignore[no-untyped-call]
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


def _parse_hosts(text: str) -> dict[str, str]:
    """Return libpq's parameters for `h1:p1,[::1],h3:p3`; raise ValueError."""
    matches = [HOST_AND_PORT.fullmatch(token) for token in text.split(",")]
    if not all(matches):
        raise ValueError(text)
    pairs = [(match[1] or match[2], match[3] or "5432") for match in matches if match]
    return {
        "host": ",".join(unquote(host) for host, _ in pairs),
        "port": ",".join(port for _, port in pairs),
    }


def validate_bind(text: str) -> None:
    """Raise ValidationError unless gunicorn can parse it: addresses, separated by commas."""
    if not all(map(_is_bind, split_addresses(text))):
        raise ValidationError("Must be like 127.0.0.1:8000, [::1]:8000, unix:/path or fd://3.")


def validate_metrics_bind(text: str) -> None:
    """Raise ValidationError unless it is one TCP address; the host may be missing."""
    if not (_is_bind(text) and TCP_BIND.fullmatch(text)):
        raise ValidationError("Must be like 127.0.0.1:9464, [::1]:9464 or :9464.")


def require_separate_bind(metrics_bind: str, binds: Iterable[str]) -> None:
    """Raise ConfigurationError if the address of the metrics is also one of the API."""
    host, port = split_tcp_bind(metrics_bind)
    for bind in filter(TCP_BIND.fullmatch, binds):
        api_host, api_port = split_tcp_bind(bind)
        if port == api_port and (host == api_host or {host, api_host} & ANY_HOST):
            name = env_name("metrics_bind")
            raise ConfigurationError([f"{name}: {bind} is an address of the API: use another."])


def split_tcp_bind(text: str) -> tuple[str, int]:
    """Return the host, which may be empty, and the port of a TCP address."""
    host, _, port = text.removeprefix("tcp://").rpartition(":")
    return host.strip("[]").lower(), int(port)


def split_addresses(text: str) -> list[str]:
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


def check_contact(uri: str) -> None:
    """Raise ValidationError unless it is a `Contact` of security.txt (RFC 9116 §2.5.3)."""
    if not CONTACT.fullmatch(uri):
        raise ValidationError("Must be like mailto:security@shop.example or https://shop.example/.")


def host_without_port(address: str) -> str:
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


def require_local_bind(bind: str) -> None:
    """Raise ConfigurationError if other machines can reach an address with open access."""
    for address in split_addresses(bind):
        is_local = address.startswith(("unix:", "fd://"))
        if not is_local and not is_loopback(host_without_port(address.removeprefix("tcp://"))):
            raise ConfigurationError(
                [f"{env_name('open_access')}: other machines can reach {address}: use 127.0.0.1."]
            )
