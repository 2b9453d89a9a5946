"""Documents the text formats of lists, with the example of the JSON list as text."""

import csv
import io
import json
from typing import Any

from alchemist.api.pagination import TEXT_FORMATS

from .example_values import Json


def add_examples(operation: Json) -> None:
    """Give the text formats of a response the example of its JSON."""
    for response in operation["responses"].values():
        content = response.get("content", {})
        for text_format in TEXT_FORMATS:
            if text_format.media_type in content:
                rows = content["application/json"]["example"]
                to_text = _to_csv if text_format.name == "csv" else _to_ndjson
                content[text_format.media_type]["example"] = to_text(rows)


def _to_csv(rows: list[Json]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow(map(_to_field, row.values()))
    return text.getvalue()


def _to_field(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _to_ndjson(rows: list[Json]) -> str:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
