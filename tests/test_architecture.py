"""The rules of the house that a reader of the sources can check; `RANKS` is its diagram."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import RelationshipDirection, RelationshipProperty

from alchemist import rest
from alchemist.db import ROOT, Base

# A module imports only what stands before it.
DOMAINS = ["users", "ingredients", "stores", "coupons", "heroes", "potions", "products", "orders"]
RANKS = [
    "__init__",
    *("config", "problems", "errors", "budget", "engines", "driver", "db"),
    *("violations", "fields", "representation", "filters", "keyset", "paging"),
    *("rest", "logs", "idempotency", "security", "health", "audit"),
    *DOMAINS,
    *("v1", "docs", "examples", "app", "worker"),
    *("verify", "embedded", "cli"),
]
REST = [
    *("request", "references", "parsing", "answer", "etags", "openapi", "insertion"),
    *("resource", "blueprint", "api"),
]
DOMAIN = [
    *("permissions", "secrets", "pricing", "basket", "models", "stock", "recorder"),
    *("service", "auth", "schemas", "blueprint"),
]
LAYERS = {
    "fields": ["complaints", "schema", "words", "keys", "instants", "numbers", "lists"],
    "rest": REST,
    "verify": ["assertion", "constraints", "invariants"],
    "embedded": ["child", "datadir", "server"],
    "worker": [
        "refusals",
        "chunks",
        "connection",
        "shares",
        "accepting",
        "poller",
        "pool",
        "threads",
        "__init__",
    ],
    "cli": ["serving", "refusals", "tables", "tokens", "commands", "__init__", "__main__"],
} | dict.fromkeys([*DOMAINS, "audit"], DOMAIN)
VAGUE = re.compile(r"(utils?|helpers?|common|base|managers?|handlers?)")


def _modules() -> dict[str, Path]:
    files = (file.relative_to(ROOT) for file in (ROOT / "alchemist").rglob("*.py"))
    return {".".join(file.with_suffix("").parts): ROOT / file for file in files}


MODULES = _modules()
RANKED = sorted(set(MODULES) - {"alchemist.__init__"})
CORE = [name for name in MODULES if name.endswith((".models", ".service"))]


def imports(module: str) -> Iterator[str]:
    """Yield what a module imports, wherever in it; a package is named by its `__init__`."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom):
            package = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*package, *filter(None, [node.module])])
            yield from (_known(f"{base}.{alias.name}", base) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (_known(alias.name, alias.name) for alias in node.names)


def _known(*names: str) -> str:
    for name in names:
        for found in (name, f"{name}.__init__"):
            if found in MODULES:
                return found
    return names[-1]


def place(module: str) -> tuple[str, str]:
    """Return the package and the layer of `alchemist.<package>[.<layer>]`."""
    _, package, *layer = module.split(".")
    return package, layer[0] if layer else "__init__"


def stands_before(imported: str, importer: str) -> bool:
    (theirs, their_layer), (mine, my_layer) = place(imported), place(importer)
    if theirs != mine:
        return RANKS.index(theirs) < RANKS.index(mine)
    if mine not in LAYERS:
        return True
    layers = [*LAYERS[mine], "__init__"]
    return layers.index(their_layer) < layers.index(my_layer)


def inner_imports(module: str) -> list[str]:
    return [name for name in imports(module) if name.startswith("alchemist.") and name in MODULES]


def relationships() -> list[RelationshipProperty]:
    return [found for mapper in Base.registry.mappers for found in mapper.relationships]


@pytest.mark.parametrize("module", RANKED)
def test_a_module_imports_only_what_stands_before_it(module):
    assert [name for name in inner_imports(module) if not stands_before(name, module)] == []


@pytest.mark.parametrize("module", CORE)
def test_models_and_services_know_no_http(module):
    outer = {name.partition(".")[0] for name in imports(module)}
    assert outer.isdisjoint({"flask", "flask_smorest", "marshmallow", "werkzeug", "webargs"})


@pytest.mark.parametrize("module", [name for name in RANKED if name.endswith(".blueprint")])
def test_a_kept_answer_is_looked_for_before_a_body_is_read(module):
    """What the body names may have changed since, and the answer stands."""
    assert not re.search(r"@blp\.arguments.*\n *@idempotent", MODULES[module].read_text())


@pytest.mark.parametrize("module", sorted(set(RANKED) - {"alchemist.app"}))
def test_only_the_app_imports_blueprints(module):
    blueprints = {f"alchemist.{domain}.blueprint" for domain in DOMAINS}
    assert blueprints.isdisjoint(inner_imports(module))


def test_the_checks_see_the_imports_that_there_are():
    assert "alchemist.ingredients.models" in inner_imports("alchemist.potions.models")
    assert "alchemist.rest.__init__" in inner_imports("alchemist.app")
    assert "alchemist.rest.request" in inner_imports("alchemist.rest.blueprint")
    assert not stands_before("alchemist.potions.models", "alchemist.ingredients.models")
    assert not stands_before("alchemist.potions.service", "alchemist.potions.models")


def test_there_is_one_commit():
    committing = [name for name, file in MODULES.items() if ".commit(" in file.read_text()]
    assert committing == ["alchemist.rest.resource"]
    assert MODULES["alchemist.rest.resource"].read_text().count("session.commit(") == 1


@pytest.mark.parametrize("module", MODULES)
def test_a_module_opens_with_one_line_that_says_what_it_is(module):
    first, *more = (ast.get_docstring(ast.parse(MODULES[module].read_text())) or "").splitlines()
    assert re.fullmatch(r"\S.{10,97}\.", first)
    assert not more or more[0] == ""


@pytest.mark.parametrize("module", MODULES)
def test_a_name_says_what_is_inside(module):
    assert [part for part in module.split(".") if VAGUE.fullmatch(part)] == []


def test_nothing_is_loaded_by_accident():
    assert {found.lazy for found in relationships()} == {"raise"}


def test_a_relationship_stands_where_the_foreign_key_is():
    """A row may know only those children that go with it and cannot be without it."""
    for found in relationships():
        if found.direction is not RelationshipDirection.MANYTOONE:
            [key] = found.remote_side
            [reference] = key.foreign_keys
            assert key.primary_key, found
            assert reference.ondelete == "CASCADE", found


def test_a_resource_that_is_silent_on_a_permission_does_not_import():
    with pytest.raises(TypeError, match=r"Secrets must name a permission for each of: .*post"):

        class Secrets(rest.Resource):
            permissions = {"get": rest.PUBLIC}

            def get(self): ...

            def post(self): ...


def test_a_permission_of_a_method_that_is_not_there_does_not_import():
    with pytest.raises(TypeError, match="must name a permission"):

        class Secrets(rest.Resource):
            permissions = {"get": rest.PUBLIC, "delete": "secrets:write"}

            def get(self): ...


def test_every_operation_of_v2_names_its_permission(app):
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if rule.rule.startswith("/api/v2/") and hasattr(view, "view_class"):
            offered = {method.lower() for method in rule.methods - {"HEAD", "OPTIONS"}}
            assert offered == set(view.view_class.permissions)
