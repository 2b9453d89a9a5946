"""The page about clients: its programs and its command work."""

import json
import re
from html import unescape
from pathlib import Path

import pytest

from tests.servers import Gunicorn

from .conftest import Service
from .tools import DEBIAN_GO_PATH, HERE, NODE_MODULES, generate_go, run

pytestmark = pytest.mark.clients

GO_PROGRAM = """package main
import ("alchemist"; "context"; "fmt"; "log"; "os")
func main() {{
{}
}}
"""


@pytest.fixture
def blocks(gunicorn_with_auth: Gunicorn, service: Service) -> dict[str, str]:
    """The code of the page, by a word that only one of the blocks contains."""
    body = {"name": "Slow tea", "ingredients": []}
    headers = {"Authorization": f"Bearer {service.token}", "Content-Type": "application/json"}
    create = gunicorn_with_auth.request
    rue = json.loads(create("POST", "/api/v2/ingredients", '{"name": "Rue"}', **headers).body)
    body["ingredients"] = [rue["pk"]]
    assert create("POST", "/api/v2/potions", json.dumps(body), **headers).status == 201
    page = gunicorn_with_auth.request("GET", "/api/docs/clients", Accept="text/html").body.decode()
    found = [unescape(code) for code in re.findall("<pre><code>(.*?)</code></pre>", page, re.S)]
    words = ("createClient<paths>", "AuthenticatedClient", "NewAPIClient", "openapi-to-postmanv2")
    return {word: next(code for code in found if word in code) for word in words}


def test_its_typescript_works(service: Service, document: Path, tmp_path: Path, blocks):
    run(tmp_path, "openapi-typescript", document, "-o", "schema.d.ts")
    (tmp_path / "program.ts").write_text(blocks["createClient<paths>"])
    for name in ("tsconfig.json", "package.json"):
        (tmp_path / name).write_text((HERE / name).read_text())
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    run(tmp_path, "tsc", "--project", ".")
    assert "Slow tea 1" in run(tmp_path, "node", "program.ts", TOKEN=service.token)


def test_its_python_works(service: Service, document: Path, tmp_path: Path, blocks):
    options = ("--output-path", "alchemist_client", "--meta", "none")
    run(tmp_path, "openapi-python-client", "generate", "--path", document, *options)
    (tmp_path / "program.py").write_text(blocks["AuthenticatedClient"])
    run(tmp_path, "mypy", "--strict", "--follow-imports", "silent", "program.py")
    assert run(tmp_path, "python", "program.py", TOKEN=service.token) == "Slow tea 1\n"


def test_its_go_works(service: Service, document: Path, tmp_path: Path, blocks):
    generate_go(document, tmp_path)
    program = tmp_path / "src/program/program.go"
    program.parent.mkdir()
    program.write_text(GO_PROGRAM.format(blocks["NewAPIClient"]))
    environment = {"GO111MODULE": "off", "GOPATH": f"{tmp_path}:{DEBIAN_GO_PATH}"}
    run(tmp_path, "go", "build", "program", CGO_ENABLED="0", **environment)
    assert run(tmp_path, tmp_path / "program", TOKEN=service.token) == "Slow tea 1\n"


def test_its_command_makes_a_collection_of_all_operations(document: Path, tmp_path: Path, blocks):
    command = blocks["openapi-to-postmanv2"].split()[1:]
    run(tmp_path, command[0].replace("openapi-to-postmanv2", "openapi2postmanv2"), *command[1:])
    collection = json.loads((tmp_path / "alchemist.postman.json").read_text())
    paths = json.loads(document.read_text())["paths"].values()
    requests = re.findall(r'"method": ?"\w+"', json.dumps(collection["item"]))
    # A request of each operation, and those of the examples of its responses.
    assert len(requests) >= sum(len(path_item) for path_item in paths)
