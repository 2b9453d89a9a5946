"""Whether an answer is for a person or for a program."""

from flask import request

from alchemist import errors

JSON, HTML = "application/json", "text/html"


def prefers_html() -> bool:
    """Tell whether the client would rather have HTML than JSON; raise NotAcceptable for neither."""
    accepted = request.accept_mimetypes
    best = accepted.best_match([JSON, HTML]) if accepted else JSON
    if best is None:
        raise errors.NotAcceptable(f"The answer is {JSON} or {HTML}, which Accept excludes.")
    return best == HTML
