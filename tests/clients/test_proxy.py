"""The README's tour through a proxy that compares all requests and responses with the document."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import IO

import pytest

from tests.servers import free_port
from tests.test_readme import section, shell_blocks

from .conftest import Service
from .tools import NODE_MODULES, TIMEOUT, VENV

pytestmark = pytest.mark.clients

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
# The tour sends one invalid request, to show its errors.
INVALID = ("request.body.name", "request.body Request body must NOT have additional properties")


@contextmanager
def prism(document: Path, upstream: str, log: IO[bytes]) -> Iterator[str]:
    """Run the proxy on a free port; yield its URL."""
    port = free_port()
    command = [VENV / "bin/node", NODE_MODULES / ".bin/prism", "proxy", document, upstream]
    with subprocess.Popen(
        [*map(str, command), "--port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            deadline = monotonic() + TIMEOUT
            while b"is listening" not in Path(log.name).read_bytes():
                assert process.poll() is None, Path(log.name).read_text()
                assert monotonic() < deadline, Path(log.name).read_text()
                sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def test_the_tour_violates_no_rule_of_the_document(
    service: Service, document: Path, tmp_path: Path
):
    # The tour itself sends no token.
    (tmp_path / ".curlrc").write_text(f'header = "Authorization: Bearer {service.token}"\n')
    blocks = shell_blocks(section("A tour of the API"))
    with (tmp_path / "prism.log").open("wb") as log, prism(document, service.url, log) as url:
        # CSV is in an extension of the document, which Prism does not know.
        lines = [line for line in "".join(blocks).splitlines() if "text/csv" not in line]
        script = "\n".join(lines).replace("http://127.0.0.1:8000", url)
        tour = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env={**os.environ, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=True,
        )
    assert "/problems/coupon-exhausted" in tour.stdout
    assert "stoplight" not in tour.stdout
    text = ESCAPE.sub("", (tmp_path / "prism.log").read_text())
    violations = re.findall(r"Violation: (.*)", text)
    print(*violations, sep="\n")
    assert violations
    assert [each for each in violations if not each.startswith(INVALID)] == []
