"""Every problem that the service answers is one that the OpenAPI document lists for the operation.

The client of the tests checks each response, so that all tests together check the lists.
"""

import re
from typing import Any

from flask import Flask
from werkzeug.exceptions import HTTPException

from alchemist.docs.example_values import Json

# What depends on the operation. The other statuses have the same codes everywhere.
STATUSES = (400, 409, 422)


def check(app: Flask, response: Any) -> None:
    """Fail if the response is a problem that its operation does not document."""
    operation = response.status_code in STATUSES and _operation(app, response.request)
    if operation and response.mimetype == "application/problem+json" and response.is_json:
        documented = operation["responses"].get(str(response.status_code), {}).get("content", {})
        codes = {code for content in documented.values() for code in content["examples"]}
        assert response.json["code"] in codes, (
            f"{operation['operationId']} answers {response.status_code} {response.json['code']}, "
            "which its document does not list: name it in `problems` of the view's decorator."
        )


def _operation(app: Flask, request: Any) -> Json | None:
    try:
        adapter = app.url_map.bind("localhost")
        rule, _ = adapter.match(request.path, request.method, return_rule=True)
    except HTTPException:
        return None
    name = re.match(r"/api/(\w+)/", rule.rule)
    version = name and app.extensions["versions"].get(name[1])
    if version is None or request.method == "HEAD":
        return None
    path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
    operation: Json | None = version.document["paths"].get(path, {}).get(request.method.lower())
    return operation
