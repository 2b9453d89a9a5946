"""Metrics for Prometheus, which gunicorn's master serves; imported only if they are on."""
