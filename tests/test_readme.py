"""The README: its commands work, and its tables agree with the code."""

import json
import re
import shutil
import subprocess
import tomllib
from dataclasses import MISSING, Field, fields
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from marshmallow.validate import OneOf, Range

import alchemist
from alchemist import config
from alchemist.database import PROJECT_ROOT
from tests.servers import TIMEOUT

README = (PROJECT_ROOT / "README.md").read_text()
PROJECT = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
VALUES = {
    "database_url": "a URL",
    "bind": "addresses",
    "cors_origins": "a list",
    "limit_storage": "a URL",
    "metrics_bind": "an address",
    "replica_url": "a URL",
    "security_contact": "a URI",
    "trusted_proxies": "a list",
    "v1_sunset": "a date",
}


def section(title: str) -> str:
    """Return the text from a heading of level 2 to the next one."""
    return re.split(r"^## ", README.partition(f"\n## {title}\n")[2], maxsplit=1, flags=re.M)[0]


def shell_blocks(text: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def default(setting: Field[Any]) -> str:
    if setting.default is MISSING:
        return "(required)"
    if setting.default in ((), None):
        return "(none)"
    text = str(setting.default)
    return f"`{text.lower() if isinstance(setting.default, bool) else text}`"


def values(setting: Field[Any]) -> str:
    """Return the values that a setting accepts, as its validator does."""
    validate = setting.metadata.get("validate")
    if isinstance(validate, Range):
        return f"{validate.min} to {validate.max}"
    if isinstance(validate, OneOf):
        return ", ".join(f"`{choice}`" for choice in validate.choices)
    return "`true`, `false`" if setting.type is bool else VALUES[setting.name]


def setting_row(setting: Field[Any]) -> str:
    cells = (f"`{config.env_name(setting.name)}`", default(setting), values(setting))
    return f"| {' | '.join(cells)} | {setting.metadata['description']} |"


def test_the_quick_start_has_the_first_two_shell_blocks():
    """`.ci/run` executes the second one."""
    assert shell_blocks(section("Quick start")) == shell_blocks(README)[:2]


def test_the_first_lines_introduce_the_project():
    introduction = "\n".join(README.splitlines()[:10])
    for word in ("back end of an apothecary", "**For**", "**Status:**", "**It is not**"):
        assert word in introduction


@pytest.mark.parametrize("setting", fields(config.Settings), ids=lambda setting: setting.name)
def test_the_table_has_every_setting_with_default_and_bounds(setting):
    assert setting_row(setting) in section("Configuration").splitlines()


def test_the_table_has_no_other_settings():
    names = {config.env_name(setting.name) for setting in fields(config.Settings)}
    table = re.findall(r"^\| `([A-Z0-9_]+)` \|", section("Configuration"), re.MULTILINE)
    assert set(table) == names
    assert (
        set(re.findall(r"\bALCHEMIST_[A-Z0-9_]+[A-Z]", README))
        <= names | config.TEST_ONLY_VARIABLES
    )


def test_the_dependencies_are_those_of_pyproject():
    requirements = chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    names = {re.match(r"[a-z0-9-]+", requirement)[0] for requirement in requirements}
    rows = re.findall(r"^\| ([a-z0-9, -]+) \|", section("Dependencies"), re.MULTILINE)
    listed = {name for row in rows for name in row.split(", ")}
    assert listed - {"dependency"} == names - {"alchemist"}


@pytest.mark.parametrize(
    ("lock_file", "extras"),
    [
        ("production", []),
        ("telemetry", ["telemetry", "sentry"]),
        ("embedded", ["embedded"]),
        ("development", ["embedded", "telemetry", "sentry", "development"]),
    ],
)
def test_the_lock_files_have_every_dependency_in_the_same_version(lock_file, extras):
    pins = pinned(lock_file)
    requirements = [
        *PROJECT["dependencies"],
        *chain.from_iterable(PROJECT["optional-dependencies"][extra] for extra in extras),
    ]
    names = {re.match(r"[a-z0-9-]+", requirement)[0] for requirement in requirements}
    assert names - {"alchemist"} <= set(pins)
    assert pins.items() <= pinned("development").items()


def pinned(lock_file: str) -> dict[str, str]:
    text = (PROJECT_ROOT / f"requirements/{lock_file}.txt").read_text()
    assert "://" not in text
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


def test_the_changelog_begins_with_the_current_version():
    changelog = (PROJECT_ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## (\S+)", changelog, re.MULTILINE)[1] == alchemist.__version__
    assert PROJECT["dynamic"] == ["version"]
    assert f"version {alchemist.__version__}" in README.splitlines()[6]


def test_the_files_and_modules_that_it_names_exist():
    paths = re.findall(r"`((?:alchemist|tests|migrations|requirements|\.ci)/[\w./-]+)`", README)
    modules = re.findall(r"python -m (tests\.[a-z_.]+[a-z])", README)
    assert len(paths) > 30
    for path in paths:
        assert (PROJECT_ROOT / path).exists(), path
    for module in modules:
        file = Path(PROJECT_ROOT, *module.split("."))
        assert file.with_suffix(".py").exists() or (file / "__main__.py").exists(), module


def test_its_links_lead_somewhere():
    headings = re.findall(r"^##+ (.+)$", README, re.MULTILINE)
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings
    }
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        else:
            assert (PROJECT_ROOT / target).exists(), target


@pytest.fixture(params=["bash", "zsh", "fish"])
def tour(request, gunicorn, tmp_path) -> list[str]:
    """The output lines of the tour, executed by a shell against the service of this test."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    script = "".join(shell_blocks(section("A tour of the API")))
    script = script.replace("127.0.0.1:8000", f"127.0.0.1:{gunicorn.port}")
    # Each response ends with its status on a line of its own.
    script = re.sub(r"^curl -s", r"curl -w '\\n%{http_code}\\n' -s", script, flags=re.MULTILINE)
    command = [request.param, "-c", script]
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout.splitlines()


def test_the_tour_gets_the_responses_that_it_describes(tour):
    statuses = [line for line in tour if re.fullmatch(r"[2-5][0-9]{2}", line)]
    potions = ["200", "200", "200", "200", "412", "422"]
    orders = ["201", "200", "201", "409", "200", "200", "200"]
    batches = ["201", "200", "200", "200"]
    assert statuses == potions + orders + batches

    bodies = [json.loads(line) for line in tour if line.startswith("{")]
    quote, order, error, cancelled, product, restocked = bodies[-6:]
    assert order["totals"] == quote["totals"]
    assert order["totals"][0] | {"discount": "1.01", "total": "9.04"} == order["totals"][0]
    assert error["errors"][0]["code"] == "coupon-exhausted"
    assert (cancelled["pk"], cancelled["status"]) == (order["pk"], "cancelled")
    assert (product["stock"], restocked["stock"]) == (10, 15)
