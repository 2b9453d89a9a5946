"""The README: what it says is true, and what it shows can be pasted."""

import json
import re
import subprocess
import tomllib
from dataclasses import MISSING, fields
from itertools import chain

import pytest

from alchemist import config
from alchemist.database import PROJECT_ROOT

README = (PROJECT_ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    return re.split(r"^#+ ", README.partition(f"# {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def test_it_begins_with_a_quick_start_of_two_blocks():
    assert README.split("\n")[2] == "## Quick start"
    assert section("Quick start").count("```sh") == 2


def default(setting) -> str:
    if setting.default is MISSING:
        return "(must be set)"
    return f"`{setting.default}`"


@pytest.mark.parametrize("setting", fields(config.Settings), ids=lambda setting: setting.name)
def test_every_setting_stands_in_its_table(setting):
    name, description = config.env_name(setting.name), setting.metadata["description"]
    assert f"| `{name}` | {default(setting)} | {description} |" in README


def test_its_table_has_no_other_settings():
    known = {config.env_name(setting.name) for setting in fields(config.Settings)}
    assert set(re.findall(r"^\| `([A-Z0-9_]+)` \|", README, re.MULTILINE)) == known


def test_every_dependency_is_justified():
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    wanted = chain(project["dependencies"], *project["optional-dependencies"].values())
    names = {re.match(r"[a-z0-9-]+", requirement)[0] for requirement in wanted} - {"alchemist"}
    told = re.findall(r"^\| ([a-z0-9, -]+) \|", section("What it stands on"), re.MULTILINE)
    assert {name for row in told for name in row.split(", ")} - {"dependency"} == names


@pytest.fixture
def tour(gunicorn) -> list[str]:
    """What the tour prints, a line for each answer, against a service of this test."""
    script = next(block for block in BLOCKS if "api=http" in block)
    here = script.replace("127.0.0.1:8000", f"127.0.0.1:{gunicorn.port}")
    # Answers end without a line break, which a terminal would not mind.
    shown = here.replace("curl -s ", "curl -s -w '\\n%{http_code}\\n' ")
    command = ["bash", "-euo", "pipefail", "-c", shown]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_its_tour_works_as_pasted(tour):
    statuses = [line for line in tour if re.fullmatch(r"[2-5][0-9]{2}", line)]
    reading, selling = (
        ["200", "200", "200", "412", "422"],
        ["201", "200", "201", "409", "200", "200"],
    )
    assert statuses == reading + selling


def test_its_tour_places_one_order_as_it_was_quoted_and_takes_it_back(tour):
    answers = [json.loads(line) for line in tour if line.startswith("{")]
    quote, order, refusal, cancelled, product = answers[-5:]
    assert order["totals"] == quote["totals"]
    assert order["totals"][0] | {"discount": "1.01", "total": "9.04"} == order["totals"][0]
    assert refusal["errors"][0]["code"] == "coupon-exhausted"
    assert (cancelled["pk"], cancelled["status"]) == (order["pk"], "cancelled")
    assert product["stock"] == 10
