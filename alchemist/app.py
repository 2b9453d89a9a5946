"""The application factory: it connects the modules."""

from functools import partial

from flask import Flask

from alchemist import api, config, docs, v1
from alchemist import database as db
from alchemist.api import (
    access_log,
    database_errors,
    error_handlers,
    health,
    idempotency,
    idempotency_keys,
    rate_limits,
    security_headers,
    security_txt,
)
from alchemist.api.trusted_proxies import TrustedProxies
from alchemist.database import deadline
from alchemist.database.session_limits import session_limits
from alchemist.domains.audit import statements as audit_statements
from alchemist.domains.audit.blueprint import blp as audit_log
from alchemist.domains.audit.blueprint import changes_blp as changes
from alchemist.domains.coupons.blueprint import blp as coupons
from alchemist.domains.heroes.blueprint import blp as heroes
from alchemist.domains.ingredients.blueprint import blp as ingredients
from alchemist.domains.orders import auth as orders_auth
from alchemist.domains.orders.blueprint import blp as orders
from alchemist.domains.potions.blueprint import blp as potions
from alchemist.domains.products.blueprint import blp as products
from alchemist.domains.stores.blueprint import blp as stores
from alchemist.domains.users import auth
from alchemist.domains.users.token_blueprint import blp as users
from alchemist.v1 import request_hooks
from alchemist.v1.coupons import blp as v1_coupons
from alchemist.v1.heroes import blp as v1_heroes
from alchemist.v1.orders import blp as v1_orders
from alchemist.v1.potions import blp as v1_potions
from alchemist.v1.products import blp as v1_products
from alchemist.v1.request_hooks import UuidConverter
from alchemist.v1.root import blp as v1_root
from alchemist.v1.stores import blp as v1_stores
from alchemist.v1.users import blp as v1_users

V2 = (
    *(ingredients, potions, users, heroes, stores, products, coupons, orders),
    *(audit_log, changes, idempotency_keys.blp),
)
V1 = (
    *(v1_root, v1_potions, v1_users, v1_heroes),
    *(v1_stores, v1_products, v1_coupons, v1_orders),
)


def create_app(settings: config.Settings | None = None) -> Flask:
    """Return the WSGI application; raise `config.ConfigurationError` with all errors."""
    settings = settings or config.load()
    app = Flask(__name__, static_folder=None)
    # No view is a coroutine. Flask would check this about ten times in each request.
    app.ensure_sync = lambda func: func  # type: ignore[method-assign]
    app.before_request(partial(deadline.start_request, settings.request_timeout))
    app.teardown_appcontext(deadline.clear)
    access_log.init_app(
        app,
        log_user_agent=settings.log_user_agent,
        success_sample_rate=settings.log_success_sample_rate,
    )
    db.check_queries()
    app.extensions["engines"] = db.configure_engines(settings)
    error_handlers.init_app(app, database_errors.to_api_error)
    app.extensions["trusted_proxies"] = TrustedProxies(settings.trusted_proxies)
    app.extensions["log_client_address"] = settings.log_client_address
    api.init_app(app)
    rate_limits.init_app(app, settings)
    idempotency.init_app(app, settings.max_idempotency_keys)
    audit_statements.register_statements_and_listeners(app)
    auth.init_app(app, settings)
    orders_auth.configure_order_limits(app, settings)
    security_headers.init_app(app, settings.cors_origins)
    health.init_app(app, session_limits(settings))
    security_txt.init_app(app, settings.security_contact)
    v2_api = api.Api(app, "v2", "All resources in one style.")
    idempotency_keys.init_app(app, v2_api)
    for blueprint in V2:
        v2_api.register_blueprint(blueprint)
    apis = [v2_api, *([_create_v1_api(app, settings)] if settings.v1 else [])]
    docs.init_app(app, apis, has_docs=settings.docs)
    return app


def _create_v1_api(app: Flask, settings: config.Settings) -> api.Api:
    request_hooks.init_app(app, settings.v1_sunset)
    v1_api = api.Api(app, "v1", v1.__doc__)
    v1_api.register_converter(UuidConverter, UuidConverter.to_json_schema)
    for blueprint in V1:
        v1_api.register_blueprint(blueprint)
    return v1_api
