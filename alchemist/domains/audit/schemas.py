"""Schemas of the audit log: the representation and the list query."""

from typing import ClassVar

from alchemist.api.fields import (
    Enum,
    List,
    Nested,
    Pk,
    QueryDateTime,
    QueryInteger,
    Schema,
    Text,
    UtcDateTime,
)
from alchemist.api.pagination import ListQuerySchema, Sort
from alchemist.domains.users.schemas import EXPANDED_USER

from .models import ACTIONS, AuditEntry, audited_resources

# Rows of the sample data: an entry, the hero that was renamed, and the user who did it.
EXAMPLE_PK = "0195b42d-c230-726e-b641-72b4f0d0362e"
EXAMPLE_HERO_PK = "0195a0bd-2cad-7a4a-8f11-e3187caed144"
EXAMPLE_USER_PK = "019597a6-aade-78c4-8385-4a9a2a2ea2c9"
RESOURCES = audited_resources()


class ResourceFilter(Enum):
    """The filter of the audit log and of the feed by the resource of the changed rows."""

    def __init__(self) -> None:
        super().__init__(
            *RESOURCES,
            name="AuditedResource",
            example="heroes",
            description="Changes of rows of this resource.",
        )


class ChangeSchema(Schema):
    field = Text(max=63, dump_only=True, example="role", description="The name of the field.")
    former = Text(
        max=2000,
        attribute="from",
        data_key="from",
        dump_only=True,
        allow_none=True,
        example="customer",
        description="The former value; null for a new row.",
    )
    new = Text(
        max=2000,
        attribute="to",
        data_key="to",
        dump_only=True,
        allow_none=True,
        example="merchant",
        description="The new value; permissions are separated by blanks.",
    )


class AuditEntrySchema(Schema):
    expandable: ClassVar = {"user": EXPANDED_USER}

    pk = Pk(dump_only=True, example=EXAMPLE_PK)
    resource = Enum(
        *RESOURCES,
        name="AuditedResource",
        dump_only=True,
        example="heroes",
        description="The resource of the changed row.",
    )
    resource_pk = Pk(
        dump_only=True, example=EXAMPLE_HERO_PK, description="The `pk` of the changed row."
    )
    action = Enum(
        *ACTIONS,
        name="AuditAction",
        dump_only=True,
        description="What was done to the row.",
        example="update",
    )
    # `fields` is an attribute of every marshmallow schema.
    names = List(
        Text(max=63),
        attribute="fields",
        data_key="fields",
        dump_only=True,
        description="The names of the changed fields, without their values.",
        example=["nickname"],
    )
    changes = List(
        Nested(ChangeSchema),
        dump_only=True,
        description="The former and new values of the roles of users and the permissions of "
        "tokens. No other values are in the log.",
    )
    user_id = Pk(
        dump_only=True,
        allow_none=True,
        example=EXAMPLE_USER_PK,
        description="The user who did it; null with open access and for the command line.",
    )
    token_id = Pk(
        dump_only=True,
        allow_none=True,
        example="0195aef7-74dc-71d2-99d0-03fa4ffb1f99",
        description="The token of the request.",
    )
    request_id = Text(
        max=64,
        dump_only=True,
        allow_none=True,
        example="b2cb184700d90a82d074efa39876c91d",
        description="The `X-Request-ID` of the request.",
    )
    client_request_id = Text(
        max=64,
        dump_only=True,
        allow_none=True,
        example="checkout-7",
        description="The `X-Request-ID` that the client sent.",
    )
    client_address = Text(
        max=45,
        dump_only=True,
        allow_none=True,
        example="192.0.2.7",
        description="The address of the client; null unless it is configured.",
    )
    os_user = Text(
        max=255,
        dump_only=True,
        allow_none=True,
        example="apothecary",
        description="The operating-system user who ran the command that did it.",
    )
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)


class AuditListQuery(ListQuerySchema):
    sort = Sort(AuditEntry.pk, AuditEntry.created_at)
    resource = ResourceFilter()
    resource_pk = Pk(example=EXAMPLE_HERO_PK, description="Changes of the row with this `pk`.")
    # Entries never change, and are sorted by their creation.
    updated_after = QueryDateTime(
        attribute="created_after",
        description="Changes that were made at this time or later.",
        example="2026-01-01T00:00:00.000000+00:00",
    )
    user_id = Pk(example=EXAMPLE_USER_PK, description="Changes by this user.")


class ChangeEntrySchema(AuditEntrySchema):
    class Meta:
        fields = ("pk", "resource", "resource_pk", "action", "names", "user_id", "created_at")


class ChangeQuery(Schema):
    after = Text(
        max=60,
        min=1,
        load_default=None,
        description="Where to continue: opaque, from a `next` link. `start` is the oldest "
        "change that the feed has. Without it, the feed begins now.",
        example="start",
    )
    resource = ResourceFilter()
    limit = QueryInteger(
        min=1, max=1000, load_default=100, description="The maximum number of changes."
    )
