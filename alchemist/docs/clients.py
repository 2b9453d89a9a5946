"""The page about typed clients: how to generate and use them."""

from flask import Blueprint, Response, render_template, request

from .static_responses import html_response
from .swagger_ui import assets_version

blp = Blueprint("clients", __name__, template_folder="templates")


@blp.get("/api/docs/clients")
def clients_page() -> Response:
    url = request.host_url.rstrip("/")
    html = render_template("clients.html", url=url, assets_version=assets_version())
    return html_response(html, Vary="Host")
