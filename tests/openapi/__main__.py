"""Write the OpenAPI documents that the code makes to tests/openapi."""

import argparse

import alchemist

from . import VERSION_FILE, committed, make_app, may_break, served, write
from .breaking_changes import breaking_changes

parser = argparse.ArgumentParser(prog="python -m tests.openapi", description=__doc__)
parser.add_argument(
    "--not-released",
    action="store_true",
    help="write them even if that breaks clients, because no release has the committed documents",
)
options = parser.parse_args()
documents = served(make_app())
if VERSION_FILE.exists() and not may_break(VERSION_FILE.read_text(), alchemist.__version__):
    changes = [
        f"{name}: {change}"
        for name, document in committed().items()
        for change in breaking_changes(document, documents[name])
    ]
    if changes and not options.not_released:
        print(*changes, sep="\n")
        raise SystemExit(
            "This breaks clients. Raise the version, undo it, or add --not-released if no release "
            "has the committed documents."
        )
write(documents)
