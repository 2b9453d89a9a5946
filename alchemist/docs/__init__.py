"""What surrounds the API: a front door, OpenAPI documents, Swagger UI, and pages of problems."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from flask import Blueprint, Flask, Response, current_app

from alchemist import __version__, errors
from alchemist.api import Api

from . import openapi_document, problem_pages, swagger_ui
from .negotiation import JSON, prefers_html
from .static_responses import CachedResponse

blp = Blueprint("docs", __name__)


class Version:
    """A version of the API, with its document made when it is first asked for."""

    def __init__(self, api: Api) -> None:
        self.api = api

    @cached_property
    def content(self) -> dict[str, Any]:
        return openapi_document.build(self.api)

    @cached_property
    def document(self) -> CachedResponse:
        return CachedResponse(openapi_document.serialized(self.content), JSON)

    @property
    def links(self) -> dict[str, Any]:
        path = f"/api/{self.api.version}/openapi.json"
        return {
            "openapi": path,
            "resources": openapi_document.paths_without_parameters(self.content),
        }


def init_app(app: Flask, apis: Iterable[Api]) -> None:
    """Serve what surrounds these versions, of which the first is the one to use."""
    app.extensions["versions"] = {api.version: Version(api) for api in apis}
    for blueprint in (blp, swagger_ui.blp, problem_pages.blp):
        app.register_blueprint(blueprint)


def _versions() -> dict[str, Version]:
    found: dict[str, Version] = current_app.extensions["versions"]
    return found


@blp.get("/")
@blp.get("/api")
@blp.get("/api/v2")
def index() -> Response:
    """Lead people to the documentation, and tell programs what there is."""
    if prefers_html():
        response = Response(status=302, headers={"Location": "/api/docs"})
    else:
        response = CachedResponse(openapi_document.serialized(_links()), JSON).answer()
    response.headers["Vary"] = "Accept"
    return response


def _links() -> dict[str, Any]:
    return {
        "name": "Alchemist",
        "version": __version__,
        "docs": "/api/docs",
        "openapi": "/api/openapi.json",
        "problems": "/problems",
        "livez": "/livez",
        "readyz": "/readyz",
        **{name: version.links for name, version in _versions().items()},
    }


@blp.get("/api/openapi.json")
@blp.get("/api/<version>/openapi.json")
def openapi_json(version: str | None = None) -> Response:
    known = _versions()
    name = version or next(iter(known))
    if name not in known:
        raise errors.NotFound("There is no such version.")
    return known[name].document.answer()


@blp.get("/api/docs")
def swagger_ui_page() -> Response:
    return swagger_ui.render(list(_versions()))
