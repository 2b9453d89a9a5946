"""An MCP server made of the document: its tools work, and their names and texts stand alone."""

import json
from pathlib import Path

import pytest

from .conftest import Service
from .tools import HERE, run

pytestmark = pytest.mark.clients


def test_an_mcp_server_lists_creates_and_changes(service: Service, document: Path, tmp_path: Path):
    program = HERE / "mcp_program.py"
    output = run(tmp_path, "python", program, document, service.url, service.token)
    result = json.loads(output.splitlines()[-1])
    assert result["listed"] is True
    assert result["changed"] == "Bitter."
    operations = {
        operation["operationId"]: operation["summary"]
        for path_item in json.loads(document.read_text())["paths"].values()
        for method, operation in path_item.items()
        if method != "head"
    }
    assert result["tools"].keys() == operations.keys()
    for name, description in result["tools"].items():
        assert description.startswith(f"{operations[name]}.")
    print(*(f"{name}: {text.split('.')[0]}." for name, text in result["tools"].items()), sep="\n")
