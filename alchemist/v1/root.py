"""What the older services answered to whoever asked whether they were there."""

from flask import Response, jsonify

from alchemist import __version__
from alchemist.api import PUBLIC, fields, openapi

from . import PREFIX
from .blueprint import Blueprint, Resource, Schema

blp = Blueprint("v1-root", __name__, url_prefix=PREFIX, description="Whether it is there.")


class RootSchema(Schema):
    name = fields.Text(
        max=20, example="Alchemist", metadata={"description": "What the service is called."}
    )
    version = fields.Text(
        max=20, example=__version__, metadata={"description": "The version of the service."}
    )
    description = fields.Text(
        max=200,
        example="The back end of an apothecary.",
        metadata={"description": "What the service is."},
    )
    status = fields.Text(max=20, example="ok", metadata={"description": "Always `ok`."})


ROOT = {
    "name": "Alchemist",
    "version": __version__,
    "description": "The back end of an apothecary.",
    "status": "ok",
}
# A text, not an object.
HEALTH = {"type": "string", "enum": ["ok"], "examples": ["ok"]}


@blp.route("/")
class V1Root(Resource):
    permissions = {"get": PUBLIC}
    operation_ids = {"get": "v1GetRoot"}
    successor = "/readyz"

    @blp.doc(
        deprecated=True,
        responses={
            200: openapi.response("It is there.", RootSchema, {}),
            **openapi.error_responses(),
        },
    )
    def get(self) -> Response:
        """Ask whether the service is there"""
        return jsonify(ROOT)


@blp.route("/health")
class V1Health(Resource):
    permissions = {"get": PUBLIC}
    operation_ids = {"get": "v1GetHealth"}
    successor = "/readyz"

    @blp.doc(
        deprecated=True,
        responses={200: openapi.response("It is well.", HEALTH, {}), **openapi.error_responses()},
    )
    def get(self) -> Response:
        """Ask whether the service is well

        What it says of itself: whether its database is there, `/readyz` tells.
        """
        return jsonify("ok")
