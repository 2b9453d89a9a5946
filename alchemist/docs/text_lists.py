"""Documents the text formats of lists, with the example of the JSON list as text.

They are in an extension, which Swagger UI is made to show: with several media types in `content`,
generated clients would have the type "array or text", and could use neither without a check.
"""

import csv
import io
import json
from typing import Any

from alchemist.api.pagination import TEXT_FORMATS

from .example_values import Json

EXTENSION = "x-other-content"


def move_text_formats_to_extension(operation: Json) -> None:
    """Move the text formats of responses to the extension, with the example of the JSON."""
    for response in operation["responses"].values():
        content = response.get("content", {})
        for text_format in TEXT_FORMATS:
            if media_type := content.pop(text_format.media_type, None):
                rows = content["application/json"]["example"]
                to_text = _to_csv if text_format.name == "csv" else _to_ndjson
                other_content = response.setdefault(EXTENSION, {})
                other_content[text_format.media_type] = {**media_type, "example": to_text(rows)}


def _to_csv(rows: list[Json]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow(map(_to_csv_field, row.values()))
    return text.getvalue()


def _to_csv_field(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _to_ndjson(rows: list[Json]) -> str:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
