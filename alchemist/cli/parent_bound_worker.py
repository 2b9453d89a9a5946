"""The gunicorn worker of `alchemist dev`."""

import signal

from alchemist.embedded.spawn import set_parent_death_signal
from alchemist.server import BufferingWorker


class ParentBoundWorker(BufferingWorker):
    """Ends with the gunicorn master, even if that is killed.

    Without the master there is soon no database, so no request could be finished; and a worker that
    waits for the rest of a request would keep the port.
    """

    is_development = True

    def init_process(self) -> None:
        """Start serving."""
        set_parent_death_signal(self.ppid, signal.SIGKILL)
        super().init_process()
