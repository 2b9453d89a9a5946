"""The client's address, and the scheme and host of its URL, as trusted proxies report them."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

UNIX = "unix"
# A host name or address, and an optional port (RFC 9110 §7.2, RFC 3986 §3.2.2).
HOST_PATTERN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]*)?")
# Headers that only proxies send.
HEADERS = (
    *("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"),
    *("X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Real-IP"),
    *("X-Client-IP", "X-Cluster-Client-IP", "True-Client-IP", "CF-Connecting-IP"),
)
ENVIRON_KEYS = tuple(f"HTTP_{name.upper().replace('-', '_')}" for name in HEADERS)
SCHEMES = ("http", "https")


def is_forwarded(environ: Mapping[str, Any]) -> bool:
    """Return whether the request has a header that only proxies send."""
    return any(key in environ for key in ENVIRON_KEYS)


class TrustedProxies:
    """The proxies whose X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host are used.

    `names` are networks like `10.0.0.0/8`, and `unix` for the peers of a unix socket.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(names)
        self._networks = [ip_network(name) for name in self._names - {UNIX}]

    def client_address(self, environ: Mapping[str, Any]) -> str:
        """Return the address of the last sender that is not a trusted proxy, "" if it has none.

        Each proxy appends the address of its own client to X-Forwarded-For.
        """
        address: str = environ.get("REMOTE_ADDR") or ""
        if not self._names:
            return address
        hops = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
        while hops and self._trusts(address):
            previous = parse_address(_without_port(hops.pop().strip()))
            if previous is None:
                break
            address = str(previous)
        return address

    def origin(self, environ: Mapping[str, Any], authority: str) -> str:
        """Return scheme and authority of the URL that the client used, "" if they are unknown.

        They are those of the request itself, unless a proxy has forwarded it.
        """
        peer = environ.get("REMOTE_ADDR") or ""
        scheme = environ["wsgi.url_scheme"] if peer else ""
        if is_forwarded(environ):
            is_trusted = self._trusts(peer)
            scheme = (
                _last_list_item(environ.get("HTTP_X_FORWARDED_PROTO", "")).lower()
                if is_trusted
                else ""
            )
            authority = _last_list_item(environ.get("HTTP_X_FORWARDED_HOST", "")) or authority
        is_known = scheme in SCHEMES and authority and HOST_PATTERN.fullmatch(authority)
        return f"{scheme}://{authority}" if is_known else ""

    def _trusts(self, address: str) -> bool:
        if not self._names:
            return False
        if not address:
            return UNIX in self._names
        parsed = parse_address(address)
        return parsed is not None and any(parsed in network for network in self._networks)


def _last_list_item(value: str) -> str:
    """Return the last item of a comma-separated list: the nearest proxy has appended it."""
    return value.rpartition(",")[2].strip()


def _without_port(hop: str) -> str:
    """Return the address of `[2001:db8::1]:80`, `192.0.2.1:80`, or of either without a port."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


# Bounded, because clients can send any address.
@lru_cache(maxsize=1024)
def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address, an IPv4 address also if it is written as `::ffff:192.0.2.1`."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
