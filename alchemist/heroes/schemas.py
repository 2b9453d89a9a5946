"""The hero as clients see it."""

from alchemist.fields import Choice, Instant, Pk, Schema, Text
from alchemist.paging import PageArgs, Sort
from alchemist.users.models import User
from alchemist.users.schemas import OWNER

from .models import ROLES, Hero

# Old Jory in the example apothecary, who belongs to nobody.
EXAMPLE = "0195a9f5-87b2-7ea8-9a80-c3e44d5fe635"
# What a creation shows, and what a change does: a nickname can be taken once.
NICKNAMES = ("Brother Thistle", "Brother Thistle the Elder")
NICKNAME = "What the hero is known by; no other hero has it."
ROLE = "What the hero is good at."


class HeroSchema(Schema):
    pk = Pk(dump_only=True, example=EXAMPLE)
    nickname = Text(
        required=True,
        min=1,
        max=255,
        metadata={"description": NICKNAME, "examples": list(NICKNAMES)},
    )
    role = Choice(*ROLES, allow_none=True, metadata={"description": ROLE, "examples": ["priest"]})
    user_id = Pk(
        to=User,
        known_to="heroes:write",
        allow_none=True,
        example=OWNER,
        metadata={"description": "Whose hero it is; by default one's own."},
    )
    created_at = Instant(dump_only=True)
    updated_at = Instant(dump_only=True)


class HeroFilters(PageArgs):
    sort = Sort(Hero.pk, Hero.nickname, Hero.created_at)
    role = Choice(*ROLES, metadata={"description": "Heroes of this role.", "examples": ["mage"]})
    user_id = Pk(example=OWNER, metadata={"description": "Heroes of this user."})
    q = Text(
        max=200,
        min=1,
        example="kettles morwenna",
        metadata={"description": "Words in the nickname, in any order and case."},
    )
