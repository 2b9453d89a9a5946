"""Settings from environment variables."""

from .checks import (
    host_without_port,
    is_loopback,
    parse_database_url,
    require_local_bind,
    require_separate_bind,
    split_addresses,
    split_tcp_bind,
)
from .environment import (
    ConfigurationError,
    env_name,
    file_variable_name,
    load_dotenv,
    secrets_from_files,
)
from .loading import (
    TEST_ONLY_VARIABLES,
    TIMEOUT_ORDER,
    as_variables_without_passwords,
    load,
    secret_variable_names,
)
from .settings import Settings

__all__ = [
    "TEST_ONLY_VARIABLES",
    "TIMEOUT_ORDER",
    "ConfigurationError",
    "Settings",
    "as_variables_without_passwords",
    "env_name",
    "file_variable_name",
    "host_without_port",
    "is_loopback",
    "load",
    "load_dotenv",
    "parse_database_url",
    "require_local_bind",
    "require_separate_bind",
    "secret_variable_names",
    "secrets_from_files",
    "split_addresses",
    "split_tcp_bind",
]
