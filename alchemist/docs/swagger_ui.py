"""Swagger UI: its page, and the scripts and style sheets of all pages."""

from functools import cache
from hashlib import blake2b
from importlib import resources

from flask import Blueprint, Response, current_app, render_template

from alchemist import errors

from .static_responses import IMMUTABLE, CachedResponse, html_response

DIST = resources.files("flask_swagger_ui") / "dist"
STATIC = resources.files(__package__) / "static"
# The pages of problems need it, too.
PAGE_STYLE = "pages.css"
ASSETS = {
    "swagger-ui.css": DIST,
    "swagger-ui-bundle.js": DIST,
    "swagger-ui-standalone-preset.js": DIST,
    "swagger.css": STATIC,
    "swagger.js": STATIC,
    PAGE_STYLE: STATIC,
}
MIMETYPES = {"css": "text/css", "js": "text/javascript"}

assets_blp = Blueprint("swagger", __name__, template_folder="templates")


@cache
def assets() -> dict[str, CachedResponse]:
    return {
        name: CachedResponse((directory / name).read_bytes(), _mimetype(name), IMMUTABLE)
        for name, directory in ASSETS.items()
    }


def _mimetype(name: str) -> str:
    return MIMETYPES[name.rpartition(".")[2]]


@cache
def assets_version() -> str:
    """Return a hash of all assets; it is part of their URLs, so that they can be cached forever."""
    tags = "".join(asset.etag for asset in assets().values())
    return blake2b(tags.encode(), digest_size=8).hexdigest()


@assets_blp.get("/api/docs/<version>/<name>")
def asset(version: str, name: str) -> Response:
    names = assets().keys() if current_app.config["HAS_DOCS"] else {PAGE_STYLE}
    if version != assets_version() or name not in names:
        raise errors.NotFound("Nothing exists at this path.")
    return assets()[name].to_response_or_304()


def render_swagger_ui(versions: list[str]) -> Response:
    """Return the page of Swagger UI; it offers these versions and opens the first."""
    documents = [{"name": name, "url": f"/api/{name}/openapi.json"} for name in versions]
    html = render_template("swagger.html", documents=documents, assets_version=assets_version())
    return html_response(html)
