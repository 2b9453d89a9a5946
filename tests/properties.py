"""Hypothesis, with a profile in which time decides nothing: tests also run on busy machines."""

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

__all__ = ["example", "given", "settings", "st"]

settings.register_profile(
    "alchemist",
    deadline=None,
    # A function-scoped fixture serves all examples of a test: each adds its own rows.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("alchemist")
