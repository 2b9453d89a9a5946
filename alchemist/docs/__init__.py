"""The documentation that the service serves: OpenAPI documents, Swagger UI and problem pages."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from flask import Blueprint, Flask, Response, current_app

from alchemist import __version__, errors
from alchemist.api import Api

from . import clients, moving, not_found, openapi_document, problem_pages, swagger_ui
from .negotiation import JSON, prefers_html
from .static_responses import CachedResponse

index_blp = Blueprint("index", __name__)
blp = Blueprint("docs", __name__)


class Version:
    """A version of the API with its OpenAPI document, which is built on first use."""

    def __init__(self, api: Api, v1_sunset: str | None) -> None:
        self.api, self.v1_sunset = api, v1_sunset

    @cached_property
    def document(self) -> dict[str, Any]:
        return openapi_document.build_document(self.api, self.v1_sunset)

    @cached_property
    def document_response(self) -> CachedResponse:
        return CachedResponse(openapi_document.to_json_bytes(self.document), JSON)

    def links(self, *, has_docs: bool) -> dict[str, Any]:
        openapi = {"openapi": f"/api/{self.api.version}/openapi.json"} if has_docs else {}
        return {
            **openapi,
            "resources": openapi_document.readable_paths_without_parameters(self.document),
        }


def init_app(app: Flask, apis: Iterable[Api], *, has_docs: bool) -> None:
    """Document these versions; the first one is the current version.

    Without docs there are no OpenAPI documents and no pages but those of problems.
    """
    app.config["HAS_DOCS"] = has_docs
    versions = {api.version: Version(api, app.config.get("V1_SUNSET")) for api in apis}
    app.extensions["versions"] = versions
    blueprints = [index_blp, swagger_ui.assets_blp, problem_pages.blp]
    if has_docs:
        blueprints += [blp, clients.blp, *([moving.blp] if "v1" in versions else [])]
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    not_found.init_app(app)


def _versions() -> dict[str, Version]:
    versions: dict[str, Version] = current_app.extensions["versions"]
    return versions


@index_blp.get("/")
@index_blp.get("/api")
@index_blp.get("/api/v2")
def index() -> Response:
    """Redirect a browser to the documentation, and send links to other clients."""
    if prefers_html() and current_app.config["HAS_DOCS"]:
        response = Response(status=302, headers={"Location": "/api/docs"})
    else:
        response = CachedResponse(
            openapi_document.to_json_bytes(_index_links()), JSON
        ).to_response_or_304()
    response.headers["Vary"] = "Accept"
    return response


def _index_links() -> dict[str, Any]:
    has_docs = current_app.config["HAS_DOCS"]
    return {
        "name": "Alchemist",
        "version": __version__,
        **({"docs": "/api/docs", "openapi": "/api/openapi.json"} if has_docs else {}),
        "problems": "/problems",
        "livez": "/livez",
        "readyz": "/readyz",
        **{name: version.links(has_docs=has_docs) for name, version in _versions().items()},
    }


@blp.get("/api/openapi.json")
@blp.get("/api/<name>/openapi.json")
def openapi_json(name: str | None = None) -> Response:
    versions = _versions()
    version = versions.get(name or next(iter(versions)))
    if version is None:
        raise errors.NotFound("The API has no such version.")
    return version.document_response.to_response_or_304()


@blp.get("/api/docs")
def swagger_ui_page() -> Response:
    return swagger_ui.render_swagger_ui(list(_versions()))
