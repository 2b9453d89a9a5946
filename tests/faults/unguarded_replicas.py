"""The service without its guard against stale reads, which the tests must then find."""

from unittest.mock import patch

from alchemist.app import create_app
from alchemist.database.replicas import Replica


def _believe_any_standby(_replica: Replica, *_position: object) -> bool:
    return True


# It raises an error if there is no such method.
patch.multiple(
    Replica, _has_replayed=_believe_any_standby, _check_is_fresh=_believe_any_standby
).start()
app = create_app()
