"""The rules of the architecture that can be read from the sources; `LAYERS` is its diagram."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy.orm import RelationshipDirection, RelationshipProperty

from alchemist import api
from alchemist.database import PROJECT_ROOT, Base

# Inside a domain a module imports only those before it; the first row has no order of its own.
DOMAIN = [
    *("permissions", "token_format", "currencies", "pricing", "cart", "models"),
    *(
        "stock",
        "insertion",
        "viewer",
        "listeners",
        "statements",
        "token_updates",
        "last_use",
        "queries",
        "service",
        "token_service",
        "open_access",
        "auth",
    ),
    *("visible_fields", "schemas", "request_schemas"),
    *("changes", "blueprint", "token_blueprint"),
]
# The diagram: a module imports only what stands before it, in its package and among the packages.
LAYERS: dict[str, list[str]] = {
    "": [
        "config",
        "errors",
        "database",
        "api",
        "domains",
        "v1",
        "docs",
        "app",
        "server",
        "embedded",
        "cli",
    ],
    "config": ["environment", "checks", "settings", "loading"],
    "errors": ["catalogue", "problem_types", "exceptions"],
    "database": [
        *(
            "deadline",
            "session_limits",
            "statement_times",
            "deadline_connections",
            "engines",
            "autocommit",
            "visible_text",
            "text_keys",
            "text_search",
            "json_rows",
        ),
        *(
            "derived_columns",
            "models",
            "child_inserts",
            "statement_spans",
            "queries",
            "wal_position",
            "replicas",
            "session",
            "rows",
            "deferred_writes",
            "capacity",
            "privileges",
            "constraints",
            "external_reference",
            "migrations",
        ),
    ],
    "api": [
        *(
            "fields",
            "trusted_proxies",
            "trace_context",
            "request_query",
            "request_body",
            "request",
            "response",
            "etags",
            "openapi",
            "error_handlers",
            "database_errors",
        ),
        *(
            "references",
            "reference_lookup",
            "unknown_fields",
            "error_details",
            "problem_codes",
            "json_values",
            "json_body",
            "csv_records",
            "text_entries",
            "query_string",
            "json_select",
            "row_inserts",
            "json_insert",
            "unique_values",
            "bulk_write",
            "field_docs",
            "projection",
            "pagination",
            "operations",
            "restored_rows",
            "batch_entries",
            "batch_errors",
            "batches",
            "shared_counters",
            "rate_limits",
            "resource",
        ),
        *(
            "list_responses",
            "base_blueprint",
            "read_blueprint",
            "blueprint",
            "problem_schemas",
            "api",
            "stored_responses",
            "idempotency",
            "idempotency_keys",
            "batch_resource",
            "crud",
            "security_headers",
            "log_formats",
            "access_log",
            "health",
            "security_txt",
        ),
    ],
    "api.fields": [
        "documented",
        "messages",
        "schema",
        "strings",
        "nested",
        "uuids",
        "datetimes",
        "numbers",
    ],
    "api.pagination": [
        *("leading_index", "keyset", "cursor", "text_formats", "list_query", "page")
    ],
    "domains": [
        *("users", "ingredients", "stores", "coupons", "heroes", "potions", "products", "orders"),
        "audit",
    ],
    "v1": [
        "fields",
        "lenient_json",
        "schema",
        "request_hooks",
        "full_list",
        "blueprint",
        "root",
        "users",
        "heroes",
        "potions",
        "coupons",
        "stores",
        "products",
        "orders",
    ],
    "docs": [
        *("negotiation", "static_responses", "example_values", "text_lists", "guides"),
        *("problem_responses", "shared_headers", "dry_runs", "expansions", "head_operations"),
        *("position_header", "path_parameters", "creation_links", "openapi_document"),
        *("swagger_ui", "problem_pages", "clients", "moving", "not_found"),
    ],
    "server.metrics": ["directory", "definitions", "requests", "worker_state", "endpoint"],
    "server.telemetry": ["tracing", "error_reports"],
    "server": [
        *("error_responses", "chunks", "connection", "clients", "buffer_total", "eviction"),
        *("connection_counts", "fair_accept", "event_loop", "thread_pool", "worker"),
        *("metrics", "telemetry"),
    ],
    "embedded": ["spawn", "data_directory", "postgres"],
    "cli": [
        "output",
        "signals",
        "dev_server",
        "parent_bound_worker",
        "errors",
        "migrations",
        "target_database",
        "operator_session",
        "operations",
        "tokens",
        "grant",
        "set_limits",
        "expire_orders",
        "purge",
        "progress",
        "export",
        "import_rows",
        "after_restore",
        "sample_data",
        "verify",
        "recompute_derived",
        "dev",
        "commands",
    ],
    "cli.verify": ["assertion", "constraints", "derived_columns", "invariants"],
}
LAYERS |= {f"domains.{domain}": DOMAIN for domain in LAYERS["domains"]}
FRAMEWORK = {
    "flask",
    "flask_smorest",
    "flask_cors",
    "marshmallow",
    "werkzeug",
    "webargs",
    "apispec",
}
# They import nothing of ours.
FREE = {"alchemist.__init__", "alchemist.v1.__init__"}
VAGUE = re.compile(r"(utils?|helpers?|common|base|managers?|handlers?)")


def _modules() -> dict[str, Path]:
    files = (file.relative_to(PROJECT_ROOT) for file in (PROJECT_ROOT / "alchemist").rglob("*.py"))
    return {".".join(file.with_suffix("").parts): PROJECT_ROOT / file for file in files}


MODULES = _modules()
CORE = [name for name in MODULES if name.endswith((".models", ".queries", "service"))]


@cache
def imports(module: str) -> frozenset[str]:
    """Return what a module imports, wherever in it; a package is named by its `__init__`."""
    return frozenset(_imports(module))


def _imports(module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom):
            package = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*package, *filter(None, [node.module])])
            yield from (_resolve(f"{base}.{alias.name}", base) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (_resolve(alias.name, alias.name) for alias in node.names)


def _resolve(*names: str) -> str:
    """Return the first of these names that is a module of ours, else the last."""
    for name in names:
        for found in (name, f"{name}.__init__"):
            if found in MODULES:
                return found
    return names[-1]


def inner_imports(module: str) -> list[str]:
    return [name for name in imports(module) if name in MODULES]


@cache
def loaded_with(module: str) -> frozenset[str]:
    """Return what is imported with a module: through others, and by the packages above it."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            if name in MODULES:
                parts = name.split(".")
                packages = [".".join([*parts[:i], "__init__"]) for i in range(1, len(parts))]
                waiting += [*imports(name), *packages]
    return frozenset(seen)


def rank(module: str) -> list[int]:
    """Return the place of a module: in the package, then in each package inside it."""
    _, *steps = module.split(".")
    places, package = [], ""
    for step in steps:
        if step == "__init__":
            # A package gathers its modules, so it stands behind them.
            places.append(len(LAYERS.get(package, ())))
        elif package in LAYERS:
            assert step in LAYERS[package], f"Give {step!r} a place in LAYERS[{package!r}]."
            places.append(LAYERS[package].index(step))
        package = f"{package}.{step}".removeprefix(".")
    return places


def stands_before(imported: str, importer: str) -> bool:
    return rank(imported) < rank(importer)


def relationships() -> list[RelationshipProperty]:
    return [found for mapper in Base.registry.mappers for found in mapper.relationships]


@pytest.mark.parametrize(
    "module", sorted(set(MODULES) - {"alchemist.__init__", "alchemist.cli.__main__"})
)
def test_a_module_imports_only_what_stands_before_it(module):
    ahead = [name for name in inner_imports(module) if name not in FREE]
    assert [name for name in ahead if not stands_before(name, module)] == []


def test_every_module_has_its_place():
    packages = {
        name.removesuffix(".__init__").removeprefix("alchemist").removeprefix(".")
        for name in MODULES
        if name.endswith("__init__")
    }
    for package in packages - {"cli.sample_data"}:
        inside = f"alchemist.{package}." if package else "alchemist."
        names = {
            name.removeprefix(inside).split(".")[0] for name in MODULES if name.startswith(inside)
        }
        listed = set(LAYERS[package]) if not package.startswith("domains.") else set(DOMAIN)
        assert names - {"__init__", "__main__"} <= listed, (
            f"Give each a place in LAYERS[{package!r}]."
        )


@pytest.mark.parametrize("module", CORE)
def test_models_and_services_know_no_http(module):
    """Neither by themselves nor through what they import; settings alone use validators."""
    assert {name.partition(".")[0] for name in imports(module)}.isdisjoint(FRAMEWORK)
    loaded = {name.partition(".")[0] for name in loaded_with(module)}
    assert loaded.isdisjoint(FRAMEWORK - {"marshmallow"})
    assert not [name for name in loaded_with(module) if name.startswith("alchemist.api.")]


@pytest.mark.parametrize("module", [name for name in MODULES if name.endswith("blueprint")])
def test_a_stored_answer_is_looked_for_before_a_body_is_read(module):
    """What the body names may have changed since, and the answer stands."""
    assert not re.search(r"@blp\.arguments.*\n *@idempotent", MODULES[module].read_text())


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"alchemist.app"}))
def test_only_the_app_imports_blueprints_of_domains(module):
    """Another module of the domain may add routes to its blueprint."""
    domain = module.rpartition(".")[0]
    blueprints = [name for name in inner_imports(module) if name.endswith("blueprint")]
    assert [
        name
        for name in blueprints
        if name.startswith("alchemist.domains.") and name.rpartition(".")[0] != domain
    ] == []


def test_the_checks_see_the_imports_that_there_are():
    assert "alchemist.domains.ingredients.models" in inner_imports(
        "alchemist.domains.potions.models"
    )
    assert "alchemist.api.__init__" in inner_imports("alchemist.app")
    assert "alchemist.api.request" in inner_imports("alchemist.api.blueprint")
    assert "flask" in loaded_with("alchemist.domains.users.auth")
    assert not stands_before(
        "alchemist.domains.potions.models", "alchemist.domains.ingredients.models"
    )
    assert not stands_before(
        "alchemist.domains.potions.service", "alchemist.domains.potions.models"
    )
    assert not stands_before("alchemist.v1.orders", "alchemist.v1.users")
    assert not stands_before("alchemist.api.request", "alchemist.database.session")


def test_there_is_one_commit():
    committing = [name for name, file in MODULES.items() if ".commit(" in file.read_text()]
    assert committing == ["alchemist.api.resource"]
    assert MODULES["alchemist.api.resource"].read_text().count("session.commit(") == 1


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

        class Secrets(api.Resource):
            permissions = {"get": api.PUBLIC}

            def get(self): ...

            def post(self): ...


def test_a_permission_of_a_method_that_is_not_there_does_not_import():
    with pytest.raises(TypeError, match="must name a permission"):

        class Secrets(api.Resource):
            permissions = {"get": api.PUBLIC, "delete": "secrets:write"}

            def get(self): ...


def test_every_operation_of_v2_names_its_permission(app):
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if rule.rule.startswith("/api/v2/") and hasattr(view, "view_class"):
            offered = {method.lower() for method in rule.methods - {"HEAD", "OPTIONS"}}
            assert offered == set(view.view_class.permissions)


# Statements that write without the unit of work, by module: their number, and how the audit log
# gets an entry for each row that they change.
WRITES = {
    "alchemist.api.bulk_write": (2, "AuditStatements.insert_many_cte in the same statement"),
    "alchemist.api.health": (1, "it deletes nothing"),
    "alchemist.api.idempotency": (1, "stored answers are no rows of a resource"),
    "alchemist.api.stored_responses": (3, "stored answers are no rows of a resource"),
    "alchemist.api.json_insert": (2, "AuditStatements.insert_cte in the same statement"),
    "alchemist.api.row_inserts": (1, "rows of json_insert and bulk_write"),
    "alchemist.cli.purge": (1, "expired rows, which nobody changes"),
    "alchemist.cli.verify.derived_columns": (1, "derived columns, which no representation has"),
    "alchemist.cli.sample_data.__init__": (2, "it has entries of its own"),
    "alchemist.database.child_inserts": (1, "the entry of the parent"),
    "alchemist.database.deferred_writes": (1, "mark_modified(parent)"),
    "alchemist.domains.audit.listeners": (1, "the entries themselves"),
    "alchemist.domains.coupons.service": (4, "queue_audit_entry for coupon and redemption"),
    "alchemist.domains.orders.insertion": (2, "queue_audit_entry; items belong to their order"),
    "alchemist.domains.orders.service": (1, "mark_modified(order)"),
    "alchemist.domains.orders.stock": (
        2,
        "queue_stock_audit_entries for products",
    ),
    "alchemist.domains.users.last_use": (1, "a use does not change the token"),
    "alchemist.domains.users.token_updates": (1, "queue_audit_entry"),
}
WRITING_FUNCTIONS = {"insert", "update", "delete"}


def count_writes(module: str) -> int:
    """Return the number of calls of SQLAlchemy's `insert`, `update` and `delete` in a module."""
    tree = ast.parse(MODULES[module].read_text())
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy")
        for alias in node.names
        if alias.name in WRITING_FUNCTIONS
    }
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return sum(
        (isinstance(call, ast.Name) and call.id in imported)
        or (
            isinstance(call, ast.Attribute)
            and call.attr in WRITING_FUNCTIONS
            and isinstance(call.value, ast.Name)
            and call.value.id == "sqlalchemy"
        )
        for call in calls
    )


def test_every_statement_that_writes_says_how_it_is_audited():
    """`tests/domains/audit/test_completeness.py` compares the entries with what has changed."""
    counts = {module: count for module in MODULES if (count := count_writes(module))}
    assert counts == {module: count for module, (count, _) in WRITES.items()}


def test_no_module_writes_with_the_text_of_a_statement():
    pattern = re.compile(r"\b(INSERT INTO|UPDATE \w+ SET|DELETE FROM|TRUNCATE \w+)\b")
    writing = [name for name, file in MODULES.items() if pattern.search(file.read_text())]
    assert writing == []
