"""The OpenAPI documents as committed, and what changes of them break clients."""

import json
from pathlib import Path
from typing import Any

import alchemist
from alchemist.app import create_app
from alchemist.config import Settings, parse_database_url

HERE = Path(__file__).parent
VERSIONS = ("v1", "v2")
COMMAND = "python -m tests.openapi"
VERSION_FILE = HERE / "version.txt"

Json = dict[str, Any]


def served(app: Any) -> dict[str, Json]:
    """Return the document of each version, as the application serves it."""
    client = app.test_client()
    return {name: client.get(f"/api/{name}/openapi.json").json for name in VERSIONS}


def make_app() -> Any:
    """Return an application that needs no database: documents are made of the code."""
    return create_app(
        Settings(database_url=parse_database_url("postgresql://nobody@127.0.0.1:1/none"))
    )


def committed() -> dict[str, Json]:
    return {name: json.loads((HERE / f"{name}.json").read_text()) for name in VERSIONS}


def write(documents: dict[str, Json]) -> None:
    """Write the documents, and the version of the project that they are of."""
    for name, document in documents.items():
        text = json.dumps(document, indent=1, ensure_ascii=False)
        (HERE / f"{name}.json").write_text(f"{text}\n")
    VERSION_FILE.write_text(f"{alchemist.__version__}\n")


def may_break(old: str, new: str) -> bool:
    """Return whether a release may break clients of an older one (semver.org, items 4 and 8)."""
    old_parts, new_parts = (version.split(".") for version in (old, new))
    significant = 2 if old_parts[0] == new_parts[0] == "0" else 1
    return old_parts[:significant] != new_parts[:significant]
