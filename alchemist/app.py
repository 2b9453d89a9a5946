"""The application factory: wiring, and nothing else."""

from flask import Flask

from alchemist import config, db, docs, errors, health, rest, v1, violations
from alchemist.ingredients.blueprint import blp as ingredients
from alchemist.potions.blueprint import blp as potions
from alchemist.v1.potions import blp as old_potions
from alchemist.v1.root import blp as old_root

V2 = (ingredients, potions)
V1 = (old_root, old_potions)


def create_app(settings: config.Settings | None = None) -> Flask:
    """Return the WSGI application; raise `config.Misconfigured` with every mistake at once."""
    app = Flask(__name__, static_folder=None)
    db.init_app(app, settings or config.load())
    errors.init_app(app, violations.refusal)
    rest.init_app(app)
    health.init_app(app)
    app.extensions["authorize"] = rest.open_access
    v1.init_app(app)
    new = rest.Api(app, "v2", "One style for every resource.")
    for blueprint in V2:
        new.register_blueprint(blueprint)
    old = rest.Api(app, "v1", v1.__doc__)
    for blueprint in V1:
        old.register_blueprint(blueprint)
    docs.init_app(app, (new, old))
    return app
