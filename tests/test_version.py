"""The version of the project is the same everywhere."""

import re
import tomllib

from click.testing import CliRunner

import alchemist
from alchemist import cli
from alchemist.database import PROJECT_ROOT
from tests.dockerfile import STAGES, arguments

VERSION = alchemist.__version__


def test_pyproject_takes_it_from_the_package():
    pyproject = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())
    assert "version" not in pyproject["project"]
    assert pyproject["tool"]["setuptools"]["dynamic"]["version"] == {
        "attr": "alchemist.__version__"
    }


def test_the_command_prints_it():
    result = CliRunner().invoke(cli.main, ["--version"], prog_name="alchemist")
    assert result.stdout == f"alchemist {VERSION}\n"


def test_the_changelog_begins_with_it():
    changelog = (PROJECT_ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## (\S+)", changelog, re.MULTILINE)[1] == VERSION


def test_the_images_are_labelled_with_it():
    labels = " ".join(label for stage in STAGES for label in arguments(stage, "LABEL"))
    titles = re.findall(r'org\.opencontainers\.image\.title="([^"]*)"', labels)
    versions = re.findall(r'org\.opencontainers\.image\.version="([^"]*)"', labels)
    assert {"Alchemist", "Alchemist's proxy"} <= set(titles)
    assert versions == [VERSION] * len(titles)


def test_the_service_answers_with_it(client):
    assert client.get("/").json["version"] == VERSION
    assert client.get("/api/v1/").json["version"] == VERSION
