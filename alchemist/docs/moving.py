"""The page for clients of the five v1 services: what changes for them, and what replaces v1."""

from flask import Blueprint, Response, current_app, render_template

from .static_responses import html_response
from .swagger_ui import assets_version

blp = Blueprint("moving", __name__, template_folder="templates")


@blp.get("/api/docs/moving-from-the-older-services")
def migration_guide_page() -> Response:
    sunset = current_app.config["V1_SUNSET"]
    html = render_template("moving.html", sunset=sunset, assets_version=assets_version())
    return html_response(html)
