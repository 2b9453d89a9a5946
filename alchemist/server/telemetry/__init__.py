"""Traces and error reports, which the standard variables of OpenTelemetry and Sentry switch on.

Each is an extra. Without its variables nothing of it is imported.
"""

import logging
from functools import cache
from importlib import import_module
from os import environ
from types import ModuleType

from flask import Flask

logger = logging.getLogger(__name__)

# Of the collector that spans are sent to.
ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def init_app(app: Flask) -> None:
    """Start what is switched on. Call this in each worker: it starts threads."""
    for module in import_enabled_modules():
        try:
            module.init_app(app)
        except ValueError as error:
            _warn_of_invalid_environment(module.__name__.rpartition(".")[2], error)


@cache
def import_enabled_modules() -> list[ModuleType]:
    """Import what is switched on; log a warning for what cannot be, and do without it.

    A platform may set these variables for all of its services, so they never prevent a start.
    """
    switched_on = {
        "tracing": _are_traces_enabled(),
        "error_reports": bool(environ.get("SENTRY_DSN")),
    }
    modules = [_import_or_warn(name) for name, is_on in switched_on.items() if is_on]
    return [module for module in modules if module]


def _are_traces_enabled() -> bool:
    """Return whether the variables of OpenTelemetry name a collector, or an exporter."""
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    is_disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    is_configured = bool(exporter) or any(environ.get(name) for name in ENDPOINT_VARIABLES)
    return is_configured and exporter != "none" and not is_disabled


def _import_or_warn(name: str) -> ModuleType | None:
    try:
        return import_module(f".{name}", __package__)
    except ImportError as error:
        logger.warning(
            "The environment switches %s on, but a package is missing: %s. "
            "Install requirements/telemetry.txt.",
            name.replace("_", " "),
            error.name,
        )
    except ValueError as error:
        _warn_of_invalid_environment(name, error)
    return None


def _warn_of_invalid_environment(name: str, error: ValueError) -> None:
    logger.warning("The environment of %s is invalid: %s", name.replace("_", " "), error)
