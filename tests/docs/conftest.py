"""Fixtures: the OpenAPI documents, one operation of them, and a client with the sample data."""

import pytest

from alchemist.api.rate_limits import FAILED_AUTHENTICATIONS, REQUESTS, RateLimiter
from alchemist.docs.example_values import resolve_ref

from .documents import VERSIONS, Json, operations


@pytest.fixture(autouse=True)
def _rate_limits(app, monkeypatch):
    """Limit requests, so that responses have the headers of rate limits."""
    limiter = RateLimiter({REQUESTS: 1_000_000, FAILED_AUTHENTICATIONS: 1_000_000})
    monkeypatch.setitem(app.extensions, "rate_limiter", limiter)


@pytest.fixture(scope="module")
def documents(app) -> dict[str, Json]:
    client = app.test_client()
    return {version: client.get(f"/api/{version}/openapi.json").json for version in VERSIONS}


@pytest.fixture
def operation(documents, version, operation_id) -> Json:
    """The operation of a parametrized test, with its path and method."""
    for path, method, operation in operations(documents[version]):
        if operation["operationId"] == operation_id:
            parameters = [resolve_ref(p, documents[version]) for p in operation["parameters"]]
            return operation | {"path": path, "method": method, "parameters": parameters}
    raise LookupError(operation_id)
