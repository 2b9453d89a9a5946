"""The contracts of five older services, word for word, over the same rows."""

from flask import Flask, Response, current_app, request

PREFIX = "/api/v1"
# When v2 took over (RFC 9745): the 20th of November 2026.
DEPRECATION_DATE = "@1795132800"


def init_app(app: Flask) -> None:
    app.after_request(_add_deprecation_headers)


def _add_deprecation_headers(response: Response) -> Response:
    """Tell every caller of v1 where to go, whether the answer was the one they wanted or not."""
    if f"{request.path}/".startswith(f"{PREFIX}/"):
        response.headers["Deprecation"] = DEPRECATION_DATE
        response.headers.add("Link", f'<{_successor()}>; rel="successor-version"')
    return response


def _successor() -> str:
    """Return the path in v2 of what was asked for; views of other names declare it."""
    view = current_app.view_functions.get(request.endpoint or "")
    declared: str | None = getattr(getattr(view, "view_class", None), "successor", None)
    if declared:
        return declared.format(**(request.view_args or {}))
    if view is None:
        return "/api/v2/openapi.json"
    return request.path.replace(PREFIX, "/api/v2", 1).rstrip("/")
