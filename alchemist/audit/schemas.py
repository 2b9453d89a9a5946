"""The entry of the audit log as clients see it."""

from alchemist.fields import Choice, Instant, Many, Pk, Schema, Text
from alchemist.paging import PageArgs, Sort

from .models import ACTIONS, AuditEntry

# In the example apothecary: how a user, who changes heroes, gave one of them another nickname.
EXAMPLE = "0195b42d-c230-726e-b641-72b4f0d0362e"
HERO = "0195a0bd-2cad-7a4a-8f11-e3187caed144"
USER = "019597a6-aade-78c4-8385-4a9a2a2ea2c9"


class AuditEntrySchema(Schema):
    pk = Pk(dump_only=True, example=EXAMPLE)
    resource = Text(
        max=63,
        dump_only=True,
        example="heroes",
        metadata={"description": "The kind of the row that was changed."},
    )
    resource_pk = Pk(dump_only=True, example=HERO, metadata={"description": "The key of the row."})
    action = Choice(
        *ACTIONS,
        dump_only=True,
        metadata={"description": "What was done with the row.", "examples": ["update"]},
    )
    # marshmallow has a use of its own for the name `fields`.
    names = Many(
        Text(max=63),
        attribute="fields",
        data_key="fields",
        dump_only=True,
        metadata={
            "description": "The names of the fields that were written, never their values.",
            "examples": [["nickname"]],
        },
    )
    user_id = Pk(
        dump_only=True,
        allow_none=True,
        example=USER,
        metadata={"description": "Who did it; null with open access and for the operator."},
    )
    token_id = Pk(
        dump_only=True,
        allow_none=True,
        example="0195aef7-74dc-71d2-99d0-03fa4ffb1f99",
        metadata={"description": "The token that it was done with."},
    )
    request_id = Text(
        max=64,
        dump_only=True,
        allow_none=True,
        example="b2cb184700d90a82d074efa39876c91d",
        metadata={"description": "The `X-Request-ID` of the request that did it."},
    )
    created_at = Instant(dump_only=True)
    updated_at = Instant(dump_only=True)


class AuditFilters(PageArgs):
    sort = Sort(AuditEntry.pk, AuditEntry.created_at)
    resource = Text(
        max=63, example="heroes", metadata={"description": "Changes of rows of this kind."}
    )
    pk = Pk(example=HERO, metadata={"description": "Changes of this row."})
    user_id = Pk(example=USER, metadata={"description": "Changes that this user made."})
