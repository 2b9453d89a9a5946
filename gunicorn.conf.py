"""How gunicorn serves the app: what `Settings` says, threads, and problem details for its own errors."""

from alchemist import config

_settings = config.load()

bind = _settings.bind
workers = _settings.workers
threads = _settings.threads
worker_class = "gthread"
control_socket_disable = True
loglevel = _settings.log_level
graceful_timeout = 10
keepalive = 5
