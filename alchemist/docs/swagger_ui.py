"""Swagger UI: its page, and the few files that the page needs."""

from functools import cache
from hashlib import blake2b
from importlib import resources

from flask import Blueprint, Response, render_template

from alchemist import errors

from .static_responses import IMMUTABLE, CachedResponse, page

DIST = resources.files("flask_swagger_ui") / "dist"
OWN = resources.files(__package__) / "static"
ASSETS = {
    "swagger-ui.css": DIST,
    "swagger-ui-bundle.js": DIST,
    "swagger-ui-standalone-preset.js": DIST,
    "swagger.css": OWN,
    "swagger.js": OWN,
    "pages.css": OWN,
}
TYPES = {"css": "text/css", "js": "text/javascript"}

blp = Blueprint("swagger", __name__, template_folder="templates")


@cache
def assets() -> dict[str, CachedResponse]:
    return {
        name: CachedResponse((place / name).read_bytes(), TYPES[name.rpartition(".")[2]], IMMUTABLE)
        for name, place in ASSETS.items()
    }


@cache
def assets_version() -> str:
    """Return a word that changes with any asset; as a part of their paths it lets them be kept."""
    tags = "".join(file.etag for file in assets().values())
    return blake2b(tags.encode(), digest_size=8).hexdigest()


@blp.get("/api/docs/<wanted>/<name>")
def asset(wanted: str, name: str) -> Response:
    if wanted != assets_version() or name not in assets():
        raise errors.NotFound("There is nothing at this path.")
    return assets()[name].answer()


def render(versions: list[str]) -> Response:
    """Return the page with the documents of these versions, the first of them opened."""
    documents = [{"name": name, "url": f"/api/{name}/openapi.json"} for name in versions]
    return page(render_template("swagger.html", documents=documents, build=assets_version()))
