"""The clients that a request is from, among which the threads of a worker are divided."""

from alchemist.api.rate_limits import address_or_network
from alchemist.api.trusted_proxies import TrustedProxies

from .connection import Connection


class Clients:
    """Tells clients apart by address and by token, which no thread has authenticated yet."""

    def __init__(self, trusted_proxies: TrustedProxies) -> None:
        self._trusted_proxies = trusted_proxies

    def address_and_token_of(self, connection: Connection) -> tuple[str, ...]:
        """Return the address and the token of the request of a connection, if it has them."""
        forwarded, tokens = [], []
        for name, value in connection.request.headers:
            if name == "X-FORWARDED-FOR":
                forwarded.append(value)
            elif name == "AUTHORIZATION":
                tokens.append(value)
        # A peer on a unix socket has no address.
        peer = connection.client[0] if isinstance(connection.client, tuple) else ""
        environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": ",".join(forwarded)}
        address = address_or_network(self._trusted_proxies.client_address(environ))
        return (address, *tokens) if address else tuple(tokens)
