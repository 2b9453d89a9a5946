"""The service without its guard against stale reads, which the tests must then find."""

from alchemist.app import create_app
from alchemist.database.replicas import Replica


def _believe_any_standby(_replica: Replica, *_position: object) -> bool:
    return True


Replica._has_replayed = _believe_any_standby  # type: ignore[method-assign]
Replica._check_is_fresh = _believe_any_standby  # type: ignore[method-assign, assignment]
app = create_app()
