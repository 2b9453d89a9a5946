"""The response of a list: its representation, its links and its total."""

from functools import lru_cache
from urllib.parse import parse_qsl, urlencode

from flask import Response

from .pagination import MAX_TOTAL, TEXT_FORMATS, Page, TextFormat
from .request import JSON, current_request
from .response import JsonResponse

MEDIA_TYPES = (JSON, *(each.media_type for each in TEXT_FORMATS))


def preferred_text_format() -> TextFormat | None:
    """Return the text format that the client prefers to JSON (RFC 9110 §12.5.1), or None."""
    current = current_request()
    if current.headers.get("Accept", "*/*") in ("*/*", JSON):
        return None
    qualities = {each: current.accepted_quality(each.media_type) for each in TEXT_FORMATS}
    best = max(TEXT_FORMATS, key=qualities.__getitem__)
    return best if qualities[best] > current.accepted_quality(JSON) else None


def list_response(page: Page, text_format: TextFormat | None) -> Response:
    headers = _pagination_headers(page) | {"Vary": "Accept"}
    if text_format is None:
        return JsonResponse(page.body, headers=headers)
    return Response(page.body, headers=headers, content_type=text_format.content_type)


def _pagination_headers(page: Page) -> dict[str, str]:
    """Return the headers of a page: its links (RFC 8288) and, if counted, the total.

    The links are absolute if the URL of the request is known: many clients do not resolve them.
    """
    current = current_request()
    url = f"{current.public_origin}{current.path}"
    query = _remove_cursor(current.query_string)
    links = [f'<{url}{query and f"?{query}"}>; rel="first"']
    if page.next_cursor:
        links.append(f'<{url}?{query and f"{query}&"}cursor={page.next_cursor}>; rel="next"')
    return {"Link": ", ".join(links), **_total_headers(page.total)}


def _total_headers(total: int | None) -> dict[str, str]:
    if total is None:
        return {}
    if total > MAX_TOTAL:
        return {"X-Total-Count": str(MAX_TOTAL), "X-Total-Count-Exceeded": "true"}
    return {"X-Total-Count": str(total)}


# Clients ask for the same lists again and again.
@lru_cache(maxsize=256)
def _remove_cursor(query: bytes) -> str:
    pairs = parse_qsl(query.decode(), keep_blank_values=True)
    return urlencode([pair for pair in pairs if pair[0] != "cursor"])
