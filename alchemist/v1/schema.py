"""The base of all schemas of v1."""

from collections.abc import Mapping
from typing import Any

from marshmallow import EXCLUDE, ValidationError, pre_load

from alchemist.api import fields
from alchemist.api.request import Request

from .lenient_json import fields_by_client_spelling, read_lenient_json


class Schema(fields.Schema):
    """A lenient schema: it ignores unknown and read-only fields, and reads names in snake case."""

    class Meta:
        unknown = EXCLUDE

    def read_body(self, request: Request) -> Any:
        return read_lenient_json(request, self)

    @pre_load
    def rename_to_camel_case_and_drop_unknown(self, body: Any, **_: Any) -> Any:
        if not isinstance(body, Mapping):
            return body
        return {
            field.data_key or field.name: body[name]
            for name, field in fields_by_client_spelling(self, body)
        }

    def handle_error(self, error: ValidationError, data: Any, *, many: bool, **kwargs: Any) -> None:
        """Let the errors name each field as the client spelled it."""
        if isinstance(data, Mapping):
            for name, field in fields_by_client_spelling(self, data):
                if field.data_key in error.messages_dict:
                    error.messages_dict[name] = error.messages_dict.pop(field.data_key)
