"""The choice between HTML for a browser and JSON for a program (RFC 9110 §12.5.1)."""

from flask import request

from alchemist import errors

JSON, HTML = "application/json", "text/html"


def prefers_html() -> bool:
    """Return whether the client prefers HTML to JSON; raise NotAcceptable if it accepts neither."""
    accepted = request.accept_mimetypes
    best = accepted.best_match([JSON, HTML]) if accepted else JSON
    if best is None:
        raise errors.NotAcceptable(f"The answer is {JSON} or {HTML}, but Accept excludes both.")
    return best == HTML
