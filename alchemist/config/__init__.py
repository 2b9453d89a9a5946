"""Settings from environment variables."""

from .checks import check_open_access, database_url, hostname, is_loopback, split_bind
from .environment import ConfigurationError, env_name, file_variable, load_dotenv
from .settings import TEST_ONLY_VARIABLES, TIMEOUT_ORDER, Settings, load, secret_names

__all__ = [
    "TEST_ONLY_VARIABLES",
    "TIMEOUT_ORDER",
    "ConfigurationError",
    "Settings",
    "check_open_access",
    "database_url",
    "env_name",
    "file_variable",
    "hostname",
    "is_loopback",
    "load",
    "load_dotenv",
    "secret_names",
    "split_bind",
]
