"""The application factory: wiring, and nothing else."""

from flask import Flask

from alchemist import config, db, errors, health, rest, violations
from alchemist.ingredients.blueprint import blp as ingredients
from alchemist.potions.blueprint import blp as potions

V2 = (ingredients, potions)


def create_app(settings: config.Settings | None = None) -> Flask:
    """Return the WSGI application; raise `config.Misconfigured` with every mistake at once."""
    app = Flask(__name__, static_folder=None)
    db.init_app(app, settings or config.load())
    errors.init_app(app, violations.refusal)
    rest.init_app(app)
    health.init_app(app)
    app.extensions["authorize"] = lambda permission: None
    v2 = rest.Api(app, "v2", "One style for every resource.")
    for blueprint in V2:
        v2.register_blueprint(blueprint)
    return app
