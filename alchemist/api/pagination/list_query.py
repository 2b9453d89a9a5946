"""The query parameters of every list: limit, cursor, count and sort."""

from typing import Any, Self

from marshmallow import fields as marshmallow_fields
from sqlalchemy.orm import InstrumentedAttribute

from alchemist.api import fields
from alchemist.api.fields import CodedMessage
from alchemist.database import MAX_REFERENCE_LENGTH

from .keyset import MAX_LIMIT, SortKey, SortOrder
from .text_formats import MAX_TEXT_LIMIT


class Sort(fields.QueryList[SortOrder]):
    """Sort keys, with `-` before descending ones; the pk breaks ties."""

    default_error_messages = fields.DEFAULT_MESSAGES | {
        "invalid": CodedMessage("wrong-type", "Not a list of names separated by commas."),
        "not_one_of": CodedMessage("not-one-of", "Must be some of: {names}."),
        "duplicate": CodedMessage("duplicate", "A name appears twice."),
    }

    def __init__(self, *columns: InstrumentedAttribute[Any]) -> None:
        self.names = [column.key for column in columns]
        self.enumeration = f"{columns[0].class_.__name__}SortKey"
        if any(column.nullable for column in columns):
            raise TypeError("A sort key must not be nullable.")
        keys = [f"{sign}{name}" for name in self.names for sign in ("", "-")]
        metadata = {
            "description": "The sort keys, each at most once, with `-` for descending. The `pk` "
            "always breaks ties. Text is sorted by its letters, then by accents, then by case.",
            "type": "array",
            "items": {"type": "string", "enum": keys},
            "minItems": 1,
            "maxItems": len(self.names),
            "uniqueItems": True,
            "examples": [[f"-{self.names[1]}"]],
        }
        super().__init__(load_default=(SortKey("pk"),), dump_default=["pk"], metadata=metadata)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        order = [SortKey(part.removeprefix("-"), part.startswith("-")) for part in value.split(",")]
        names = [key.name for key in order]
        if not set(names) <= set(self.names):
            raise self.make_error("not_one_of", names=", ".join(self.names))
        if len(set(names)) < len(names):
            raise self.make_error("duplicate")
        # The pk has the direction of the last key, so that one index serves both.
        return tuple(order if "pk" in names else [*order, SortKey("pk", order[-1].descending)])


class SearchText(fields.Text):
    """Words to search for; `description` says in which fields of which rows."""

    def __init__(self, description: str, *, example: str) -> None:
        rule = "A word also finds the words that begin with it. Case and accents are ignored."
        metadata = {"description": f"{description} {rule}"}
        super().__init__(max=200, min=1, example=example, metadata=metadata)


class ReferenceFilter(fields.Text):
    """The filter of a list by the key that another system has for the row."""

    def __init__(self, *, example: str) -> None:
        metadata = {"description": "The row with exactly this `reference`."}
        super().__init__(max=MAX_REFERENCE_LENGTH, example=example, metadata=metadata)


def _limit_field(max_limit: int) -> fields.QueryInteger:
    description = (
        f"The maximum number of rows. For CSV and NDJSON, it may be up to {MAX_TEXT_LIMIT:,}."
    )
    return fields.QueryInteger(min=1, max=max_limit, load_default=50, description=description)


class ListQuerySchema(fields.Schema):
    """The query parameters of every list; a list adds its `sort` and its filters.

    The filters `pk` and `updated_after` are applied by `paginate`.
    """

    pk: marshmallow_fields.Field[Any] = fields.UuidList(
        attribute="only_pks", description="Rows with one of these keys; unknown keys are ignored."
    )
    updated_after = fields.QueryDateTime(
        description="Rows that were created or last changed at this time or later.",
        example="2026-01-01T00:00:00.000000+00:00",
    )
    limit = _limit_field(MAX_LIMIT)
    # Not validated here: every invalid cursor is the same error, `invalid-cursor`.
    cursor = marshmallow_fields.String(
        load_default=None,
        metadata={
            "description": "Where the page begins: the `cursor` of the URL that the `Link` header "
            'of the page before has as `rel="next"`. Leave it out for the first page.'
        },
    )
    count = fields.Enum(
        "exact",
        name="Count",
        load_default=None,
        description="`exact` adds `X-Total-Count`, exact up to 10,000. If there are "
        "more rows, it is 10000, and `X-Total-Count-Exceeded` is `true`.",
    )

    @classmethod
    def for_text_formats(cls) -> Self:
        """Return the schema of the query of the list as text, whose pages may be longer."""
        schema: type[Self] = type(cls.__name__, (cls,), {"limit": _limit_field(MAX_TEXT_LIMIT)})
        return schema()
