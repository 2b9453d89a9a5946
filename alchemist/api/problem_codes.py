"""Which problem codes an operation can answer: those of its fields, and those that it declares."""

from collections.abc import Iterable, Iterator
from typing import Any

from marshmallow import RAISE, Schema
from marshmallow.fields import Field, Nested

from alchemist.errors import PROBLEM_TYPES

from .fields import CodedMessage, List

# Keys of marshmallow messages that do not follow from the class of the field.
GENERAL_MESSAGES = ("required", "null", "validator_failed")
# Of every operation that rejects unknown parameters.
QUERY_CODES = ("invalid", "repeated-parameter", "unknown-parameter")
# Of an operation without a body, which accepts an empty object.
NO_BODY_CODES = ("invalid", "unknown-field", "wrong-type")


def as_operation_member(*codes: str, status: int | None = None) -> dict[str, Any]:
    """Return the member of an operation object from which `docs` makes the error responses.

    `status` is for codes whose answer has another status than their problem type.
    """
    pairs = [(status or PROBLEM_TYPES[code].status, code) for code in codes]
    return {"x-problem-codes": pairs}


def codes_for_body(schema: Schema) -> set[str]:
    """Return the codes of errors in a body, which is an object of this schema."""
    codes = {"invalid", "wrong-type", *_codes_of_schema(schema)}
    if schema.opts.unknown == RAISE:
        codes |= {"read-only"} if schema.dump_fields.keys() - schema.load_fields else set()
    return codes


def codes_for_query(schema: Schema) -> set[str]:
    """Return the codes of errors in a query. Its parameters are optional and have no null."""
    return {*QUERY_CODES, *_codes_of_schema(schema)} - {"required", "not-nullable", "unknown-field"}


def _codes_of_schema(schema: Schema) -> Iterator[str]:
    yield from ["unknown-field"] if schema.opts.unknown == RAISE else []
    for field in schema.load_fields.values():
        yield from _codes_of_field(field)
        if field.required and not schema.partial:
            yield "required"


def _codes_of_field(field: Field[Any]) -> Iterator[str]:
    messages = (text for key, text in field.error_messages.items() if key not in GENERAL_MESSAGES)
    validator_messages = (getattr(validator, "error", None) for validator in field.validators)
    yield from _codes_of_messages([*messages, *validator_messages])
    if not field.allow_none:
        yield "not-nullable"
    if getattr(field, "references", None):
        yield "unknown-reference"
    if field.metadata.get("readOnly"):
        yield "read-only"
    if isinstance(field, List):
        yield from ["duplicate"] if field.unique_by else []
        yield from _codes_of_field(field.inner)
    if isinstance(field, Nested):
        yield from _codes_of_schema(field.schema)


def _codes_of_messages(messages: Iterable[Any]) -> Iterator[str]:
    return (message.code for message in messages if isinstance(message, CodedMessage))
