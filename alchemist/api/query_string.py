"""Reads query strings strictly, and reports every error with its parameter."""

from functools import lru_cache
from typing import Any, NoReturn

from marshmallow import Schema, ValidationError
from webargs.flaskparser import FlaskParser

from alchemist import errors

from .error_details import to_error_details
from .fields import QueryList


class QueryParser(FlaskParser):
    """webargs for query strings: unknown and repeated parameters are errors, all at once."""

    DEFAULT_UNKNOWN_BY_LOCATION = {}

    def load_querystring(self, req: Any, schema: Schema) -> Any:
        return req.query_parameters(_repeatable_parameters(schema))

    def handle_error(
        self, error: ValidationError, req: Any, schema: Schema, **_options: Any
    ) -> NoReturn:
        errors_found = to_error_details(error.messages_dict["query"], "query")
        common = req.repeated_and_dry_run_errors(_repeatable_parameters(schema))
        raise errors.UnprocessableContent.from_errors([*common, *errors_found])

    def parse(self, argmap: Any, req: Any = None, **options: Any) -> Any:
        """Return the values of the query; raise UnprocessableContent for all of its errors."""
        # The request itself, and not the proxy that stands for it in each thread.
        proxy: Any = req or self.get_default_request()
        request = proxy._get_current_object()
        values = super().parse(argmap, request, **options)
        if common := request.repeated_and_dry_run_errors(_repeatable_parameters(argmap)):
            raise errors.UnprocessableContent.from_errors(common)
        return values


QUERY_PARSER = QueryParser()


# Bounded: flask-smorest makes a schema for each request of some operations.
@lru_cache(maxsize=256)
def _repeatable_parameters(schema: Schema) -> list[str]:
    """Return the names of the parameters that may be repeated."""
    return [
        field.data_key or name
        for name, field in schema.fields.items()
        if isinstance(field, QueryList)
    ]
