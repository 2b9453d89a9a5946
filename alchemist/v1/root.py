"""The root of v1 and its health check."""

from json import dumps

from flask import Response

from alchemist import __version__
from alchemist.api import PUBLIC, JsonResponse, fields, openapi

from . import PREFIX
from .blueprint import Blueprint, Resource
from .schema import Schema

blp = Blueprint("v1-root", __name__, url_prefix=PREFIX, description="Health checks.")


class RootSchema(Schema):
    name = fields.Text(max=20, example="Alchemist", description="The name of the service.")
    version = fields.Text(max=20, example=__version__, description="The version of the service.")
    description = fields.Text(
        max=200, example="The back end of an apothecary.", description="The purpose of the service."
    )
    status = fields.Text(max=20, example="ok", description="Always `ok`.")


ROOT = {
    "name": "Alchemist",
    "version": __version__,
    "description": "The back end of an apothecary.",
    "status": "ok",
}
HEALTH_SCHEMA = {"type": "string", "enum": ["ok"], "examples": ["ok"]}


@blp.route("/")
class V1Root(Resource):
    permissions = {"get": PUBLIC}
    operation_ids = {"get": "v1GetRoot"}
    successor = "/readyz"

    @blp.doc(
        deprecated=True,
        responses={
            200: openapi.response_object("It runs.", RootSchema, {}),
            **openapi.with_common_error_responses(),
        },
    )
    def get(self) -> Response:
        """Get the name, version and status of the service"""
        return JsonResponse(dumps(ROOT))


@blp.route("/health")
class V1Health(Resource):
    permissions = {"get": PUBLIC}
    operation_ids = {"get": "v1GetHealth"}
    successor = "/readyz"

    @blp.doc(
        deprecated=True,
        responses={
            200: openapi.response_object("It runs.", HEALTH_SCHEMA, {}),
            **openapi.with_common_error_responses(),
        },
    )
    def get(self) -> Response:
        """Check whether the process responds

        `/readyz` also checks the database.
        """
        return JsonResponse('"ok"')
