"""Fixtures: a service with tokens, and its OpenAPI document as a file."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.servers import Gunicorn
from tests.test_schemathesis import admin_token


class Service(NamedTuple):
    """A running service: its URL, and the token of an admin."""

    url: str
    token: str


@pytest.fixture
def service(gunicorn_with_auth: Gunicorn) -> Service:
    url = f"http://127.0.0.1:{gunicorn_with_auth.port}"
    return Service(url, admin_token(gunicorn_with_auth))


@pytest.fixture
def document(gunicorn_with_auth: Gunicorn, tmp_path: Path) -> Path:
    """The file of the OpenAPI document of version 2."""
    path = tmp_path / "v2.json"
    path.write_bytes(gunicorn_with_auth.request("GET", "/api/v2/openapi.json").body)
    return path
