"""Both documents, tried by Schemathesis with every check and in every phase."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alchemist.cli import sample_data
from alchemist.config import parse_database_url
from alchemist.database import PROJECT_ROOT
from tests.servers import Gunicorn

# More of them find more and take longer.
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "20")
RUN_TIMEOUT = 300 * int(EXAMPLES)  # seconds

# Statuses that are right here, beside those that Schemathesis expects by itself.
# If-Match comes before the body: without it 428, with an old tag 412. Long values meet the limits
# of the server first: 413, 414, 431.
CONFIGURATION = """
checks.missing_required_header.expected-statuses = ["400", "406", "415", "422", "428"]
checks.negative_data_rejection.expected-statuses = [
    "400", "401", "404", "405", "406", "409", "412", "413", "414", "415", "422", "428", "431",
]
checks.positive_data_acceptance.expected-statuses = ["2xx", "304", "404", "409", "412"]
"""
# Version 1 ignores unknown fields, whose text no schema describes; NUL is refused wherever it is.
WITHOUT_NUL = "generation.allow-x00 = false\n"


def admin_token(server: Gunicorn) -> str:
    """Return the secret of an admin's token, made as operators make the first."""
    create = [
        *("token", "create", "--email", "operator@alchemist.example", "--role", "admin"),
        "--allow-token-creation",
    ]
    command = [sys.executable, "-m", "alchemist.cli", *create]
    made = subprocess.run(
        command,
        env=server.environment,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout.strip()


@pytest.fixture
def token(gunicorn_with_auth: Gunicorn) -> str:
    return admin_token(gunicorn_with_auth)


@pytest.fixture
def with_sample_data(gunicorn_with_auth: Gunicorn, token: str) -> Gunicorn:
    """The service with the sample data, and enough ingredients for the longest recipe."""
    url = parse_database_url(gunicorn_with_auth.environment["DATABASE_URL"])
    sample_data.load_missing(url)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    for number in range(40):
        body = f'{{"name": "Reserve {number}"}}'
        assert (
            gunicorn_with_auth.request("POST", "/api/v2/ingredients", body, **headers).status == 201
        )
    return gunicorn_with_auth


def run(server: Gunicorn, token: str, version: str, configuration: str, directory: Path) -> str:
    """Return what Schemathesis printed; fail if it found anything."""
    file = directory / "schemathesis.toml"
    file.write_text(configuration)
    command = [
        *(Path(sys.executable).with_name("schemathesis"), "--config-file", file, "run"),
        f"http://127.0.0.1:{server.port}/api/{version}/openapi.json",
        *("--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"),
        *("--max-examples", EXAMPLES, "--seed", "20261120", "--continue-on-failure"),
        *("--header", f"Authorization: Bearer {token}"),
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT_ROOT),
        "SCHEMATHESIS_HOOKS": "tests.schemathesis_hooks",
        "ALCHEMIST_TOKEN": token,
    }
    found = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "configuration"),
    [("v2", CONFIGURATION), ("v1", WITHOUT_NUL + CONFIGURATION)],
    ids=["v2", "v1"],
)
def test_schemathesis_finds_nothing(with_sample_data, token, tmp_path, version, configuration):
    printed = run(with_sample_data, token, version, configuration, tmp_path)
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in printed
    assert "WARNINGS" not in printed
    assert "Traceback" not in with_sample_data.log.read_text()
