"""Every answer of the v1 suite must be as v1's OpenAPI document says; `jsonschema` decides."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from werkzeug.test import TestResponse

from alchemist.docs.example_values import Json, resolve_ref

ALIASES = {"store_id": "storeId", "product_id": "productId"}
CHECK_FORMATS = Draft202012Validator.FORMAT_CHECKER


class Contract:
    """The OpenAPI document of v1, which answers are compared with."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self.validators: dict[str, Draft202012Validator] = {}
        self.paths = {
            re.compile(re.sub(r"{\w+}", "[^/]+", path.rstrip("/")) + "/?"): item
            for path, item in document["paths"].items()
        }

    def operation(self, path: str, method: str) -> Json | None:
        items = [item for pattern, item in self.paths.items() if pattern.fullmatch(path)]
        return items[0].get("get" if method == "HEAD" else method.lower()) if items else None

    def errors(self, schema: Json, value: Any) -> list[str]:
        validator = self.validators.get(key := json.dumps(schema))
        if validator is None:
            rooted = {**schema, "components": self.document["components"]}
            validator = Draft202012Validator(rooted, format_checker=CHECK_FORMATS)
            self.validators[key] = validator
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    def check_response(self, response: TestResponse) -> None:
        operation = self.operation(response.request.path, response.request.method)
        documented = (operation or {}).get("responses", {}).get(str(response.status_code))
        if documented is None:
            # What no operation answers: a path or a method that the document lacks.
            is_operation = operation is not None and response.request.method != "OPTIONS"
            assert not is_operation, f"{response.status} is not documented."
            content = {"application/problem+json": {"schema": {"$ref": PROBLEM}}}
        else:
            content = resolve_ref(documented, self.document).get("content", {})
        if response.request.method == "HEAD" or response.status_code == 204:
            assert response.data == b""
            return
        assert not self.errors(content[response.mimetype]["schema"], response.json)

    def check_request(self, response: TestResponse, body: Any) -> None:
        """Fail if a body was accepted that is not valid by the document."""
        operation = self.operation(response.request.path, response.request.method)
        if operation and "requestBody" in operation and response.status_code < 300:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            assert not self.errors(schema, _in_camel_case(body))


PROBLEM = "#/components/schemas/Problem"


def _in_camel_case(value: Any) -> Any:
    if isinstance(value, Mapping):
        renamed = {
            ALIASES[name]: member for name, member in value.items() if name in ALIASES
        } | value
        return {name: _in_camel_case(member) for name, member in renamed.items()}
    return [_in_camel_case(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="session")
def contract(app: Flask) -> Contract:
    return Contract(app.extensions["versions"]["v1"].document)


@pytest.fixture(autouse=True)
def _check_answers(contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    original = FlaskClient.open

    def open(client: FlaskClient, *args: Any, **kwargs: Any) -> TestResponse:
        response = original(client, *args, **kwargs)
        path = response.request.path
        if f"{path}/".startswith("/api/v1/") and path != "/api/v1/openapi.json":
            contract.check_response(response)
            if "json" in kwargs:
                contract.check_request(response, kwargs["json"])
        return response

    monkeypatch.setattr(FlaskClient, "open", open)
