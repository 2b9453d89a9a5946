"""The order in which connections are closed when there are too many."""

from math import inf

from .connection import Connection


class EvictionOrder:
    """Finds the connection that would expire first.

    The order is computed for many calls at once: under a flood of connections, a walk over all of
    them at each accept would be too expensive.
    """

    def __init__(self, connections: set[Connection]) -> None:
        self._connections = connections
        # The deadline that each had when the list was made; the next to close is the last.
        self._order: list[tuple[float, Connection]] = []

    def pop(self) -> Connection | None:
        """Return the next one, if possible none that has an unsent response; None if all run."""
        while self._order and self._has_changed(*self._order[-1]):
            self._order.pop()
        if not self._order:
            running = [(each.deadline, each) for each in self._connections if each.deadline < inf]
            self._order = sorted(running, key=_by_response_and_deadline, reverse=True)
        return self._order.pop()[1] if self._order else None

    def _has_changed(self, deadline: float, connection: Connection) -> bool:
        return connection.deadline != deadline or connection not in self._connections


def _by_response_and_deadline(entry: tuple[float, Connection]) -> tuple[bool, float]:
    deadline, connection = entry
    return connection.unsent_bytes > 0, deadline
