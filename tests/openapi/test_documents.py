"""The committed OpenAPI documents are the served ones, so that reviews see changes."""

import pytest

import alchemist

from . import COMMAND, VERSION_FILE, VERSIONS, committed, may_break, served
from .breaking_changes import breaking_changes


def difference(old, new, path="#"):
    """Return where two JSON values differ first, or None."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in old.keys() | new.keys():
            if name not in old or name not in new:
                return f"{path}/{name}"
            if found := difference(old[name], new[name], f"{path}/{name}"):
                return found
        return None
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        found = (difference(a, b, f"{path}/{index}") for index, (a, b) in pairs)
        return next(filter(None, found), None)
    return None if old == new else path


@pytest.mark.parametrize("version", VERSIONS)
def test_no_change_breaks_clients_unless_the_version_says_so(app, version):
    """Until the first release, the committed documents are those of the version to come."""
    changes = breaking_changes(committed()[version], served(app)[version])
    assert may_break(VERSION_FILE.read_text(), alchemist.__version__) or changes == [], (
        "These changes break clients. Undo them, or raise alchemist.__version__ and run "
        f"`{COMMAND}`. If no release has the committed documents: `{COMMAND} --not-released`."
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_the_committed_document_is_the_served_one(app, version):
    where = difference(committed()[version], served(app)[version])
    assert where is None, (
        f"The document of {version} has changed at {where}. If it should, run `{COMMAND}` and "
        f"commit tests/openapi/{version}.json with the change."
    )
