"""The application factory: wiring, and nothing else."""

from flask import Flask

from alchemist import (
    audit,
    budget,
    config,
    db,
    docs,
    errors,
    health,
    logs,
    rest,
    security,
    v1,
    violations,
)
from alchemist.audit.blueprint import blp as audit_log
from alchemist.coupons.blueprint import blp as coupons
from alchemist.heroes.blueprint import blp as heroes
from alchemist.ingredients.blueprint import blp as ingredients
from alchemist.orders.blueprint import blp as orders
from alchemist.potions.blueprint import blp as potions
from alchemist.products.blueprint import blp as products
from alchemist.stores.blueprint import blp as stores
from alchemist.users import auth
from alchemist.users.blueprint import blp as users
from alchemist.v1.coupons import blp as old_coupons
from alchemist.v1.heroes import blp as old_heroes
from alchemist.v1.orders import blp as old_orders
from alchemist.v1.potions import blp as old_potions
from alchemist.v1.products import blp as old_products
from alchemist.v1.root import blp as old_root
from alchemist.v1.stores import blp as old_stores
from alchemist.v1.users import blp as old_users

V2 = (ingredients, potions, users, heroes, stores, products, coupons, orders, audit_log)
V1 = (
    *(old_root, old_potions, old_users, old_heroes),
    *(old_stores, old_products, old_coupons, old_orders),
)


def create_app(settings: config.Settings | None = None) -> Flask:
    """Return the WSGI application; raise `config.Misconfigured` with every mistake at once."""
    settings = settings or config.load()
    app = Flask(__name__, static_folder=None)
    # Nothing here is a coroutine, and nobody needs to ask ten times a request.
    app.ensure_sync = lambda func: func  # type: ignore[method-assign]
    budget.init_app(app, settings.request_timeout)
    logs.init_app(app)
    db.init_app(app, settings)
    errors.init_app(app, violations.refusal)
    rest.init_app(app)
    audit.init_app(app)
    auth.init_app(app, open_access=settings.open_access)
    security.init_app(app, settings.cors_origins)
    health.init_app(app)
    v1.init_app(app)
    new = rest.Api(app, "v2", "One style for every resource.")
    for blueprint in V2:
        new.register_blueprint(blueprint)
    old = rest.Api(app, "v1", v1.__doc__)
    for blueprint in V1:
        old.register_blueprint(blueprint)
    docs.init_app(app, (new, old))
    return app
