"""The hero as clients see it."""

from alchemist.api.fields import Enum, Pk, Schema, Text, UtcDateTime
from alchemist.api.pagination import ListQuerySchema, Sort
from alchemist.domains.users.models import User
from alchemist.domains.users.schemas import EXAMPLE_OWNER_PK

from .models import ROLES, Hero

# Old Jory in the example apothecary, who belongs to nobody.
EXAMPLE_PK = "0195a9f5-87b2-7ea8-9a80-c3e44d5fe635"
# What a creation shows, and what a change does: a nickname can be taken once.
NICKNAME_EXAMPLES = ("Brother Thistle", "Brother Thistle the Elder")
NICKNAME_DESCRIPTION = "What the hero is known by; no other hero has it."
ROLE_DESCRIPTION = "What the hero is good at."


class HeroSchema(Schema):
    pk = Pk(dump_only=True, example=EXAMPLE_PK)
    nickname = Text(
        required=True,
        min=1,
        max=255,
        metadata={"description": NICKNAME_DESCRIPTION, "examples": list(NICKNAME_EXAMPLES)},
    )
    role = Enum(
        *ROLES, allow_none=True, metadata={"description": ROLE_DESCRIPTION, "examples": ["priest"]}
    )
    user_id = Pk(
        references=User,
        visible_to="heroes:write",
        allow_none=True,
        example=EXAMPLE_OWNER_PK,
        metadata={"description": "Whose hero it is; by default one's own."},
    )
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)


class HeroListQuery(ListQuerySchema):
    sort = Sort(Hero.pk, Hero.nickname, Hero.created_at)
    role = Enum(*ROLES, metadata={"description": "Heroes of this role.", "examples": ["mage"]})
    user_id = Pk(example=EXAMPLE_OWNER_PK, metadata={"description": "Heroes of this user."})
    q = Text(
        max=200,
        min=1,
        example="kettles morwenna",
        metadata={"description": "Words in the nickname, in any order and case."},
    )
