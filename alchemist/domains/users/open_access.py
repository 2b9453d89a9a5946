"""Restricts open access to requests from this machine, which no other site has caused."""

from alchemist import config, errors
from alchemist.api.request import app_extensions, current_request
from alchemist.api.trusted_proxies import is_forwarded


def require_local_request() -> None:
    """Raise Forbidden unless the request comes from this machine, and from a page of it.

    Against DNS rebinding the Host must be a loopback name too. Requests that a page of another
    site sends (cross-site request forgery) and those that a proxy forwards are rejected.
    """
    current = current_request()
    # A unix socket has no peer address.
    is_local = not current.remote_addr or config.is_loopback(current.remote_addr)
    hosts = (current.host, current.authority)
    has_local_host = all(config.is_loopback(config.host_without_port(host)) for host in hosts)
    if not (is_local and has_local_host) or _is_cross_site() or is_forwarded(current.environ):
        raise errors.Forbidden("Open access is limited to this machine.", code="not-local")


def _is_cross_site() -> bool:
    """Return whether a browser sends this request from a page of another origin.

    A page on another port of this machine is of another origin too, unless CORS is configured.
    """
    current = current_request()
    if current.method in ("GET", "HEAD"):
        return False
    origin = current.headers.get("Origin")
    if origin is None:
        return current.headers.get("Sec-Fetch-Site") == "cross-site"
    own = f"{current.scheme}://{current.host}"
    return origin.lower() != own.lower() and origin not in app_extensions()["cors_origins"]
