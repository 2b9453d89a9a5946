"""Clients in three languages: generated, compiled, and used by a program against the service.

Each program lists with a filter and two pages, creates under a key, changes with an ETag, reads a
409 and a 412 by type, deletes, and places and pays an order. It prints what it has checked.
"""

import shutil
from pathlib import Path

import pytest

from .conftest import Service
from .tools import DEBIAN_GO_PATH, HERE, NODE_MODULES, generate_go, run

pytestmark = pytest.mark.clients

CHECKED = """\
a repeated POST with its key has one effect
a filtered list has 3 rows on 2 pages
a PATCH with the ETag changes the row, and may send back its read-only fields
a 412 has the current row
a 409 has a code
a DELETE with the new ETag is 204
an order is placed, and its total is exact
an order is paid
a 409 has the allowed transitions
"""


def report(output: str) -> None:
    """Show what a program has printed, and fail unless it has checked everything."""
    print(output)
    assert output == CHECKED


def test_a_typescript_program_works(service: Service, document: Path, tmp_path: Path):
    run(tmp_path, "openapi-typescript", document, "-o", "schema.d.ts")
    for name in ("program.ts", "tsconfig.json", "package.json"):
        shutil.copy(HERE / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    run(tmp_path, "tsc", "--project", ".")
    report(run(tmp_path, "node", "program.ts", service.url, service.token))


def test_a_python_program_works(service: Service, document: Path, tmp_path: Path):
    options = ("--output-path", "alchemist_client", "--meta", "none")
    run(tmp_path, "openapi-python-client", "generate", "--path", document, *options)
    shutil.copy(HERE / "program.py", tmp_path)
    mypy = ("mypy", "--follow-imports", "silent")
    # Not the generator's own client.py, whose errors do not depend on the document.
    run(tmp_path, *mypy, "-p", "alchemist_client.api", "-p", "alchemist_client.models")
    run(tmp_path, *mypy, "--strict", "program.py")
    report(run(tmp_path, "python", "program.py", service.url, service.token))


def test_a_go_program_works(service: Service, document: Path, tmp_path: Path):
    generate_go(document, tmp_path)
    sources = tmp_path / "src"
    (sources / "program").mkdir()
    shutil.copy(HERE / "program.go", sources / "program")
    go_path = f"{tmp_path}:{DEBIAN_GO_PATH}"
    # GOPATH mode resolves no module by the network.
    run(tmp_path, "go", "build", "program", GO111MODULE="off", GOPATH=go_path, CGO_ENABLED="0")
    report(run(tmp_path, tmp_path / "program", service.url, service.token))
