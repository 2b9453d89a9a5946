"""Schemas of heroes: the representation and the list query."""

from typing import ClassVar

from alchemist.api.fields import Enum, Pk, Schema, Text, UtcDateTime
from alchemist.api.pagination import ListQuerySchema, SearchText, Sort
from alchemist.domains.users.models import User
from alchemist.domains.users.schemas import EXAMPLE_OWNER_PK, EXPANDED_USER

from .models import ROLES, Hero

# A row of the sample data: Old Jory, a hero without an owner.
EXAMPLE_PK = "0195a9f5-87b2-7ea8-9a80-c3e44d5fe635"
# For a creation, for two of a batch, and for an update: a nickname must be unique.
NICKNAME_EXAMPLES = (
    "Brother Thistle",
    "Sister Bramble",
    "Dame Hollyhock",
    "Brother Thistle the Elder",
)
NICKNAME_DESCRIPTION = "The name of the hero. No two heroes have the same one in any case."
ROLE_DESCRIPTION = "What the hero is good at."


class HeroSchema(Schema):
    expandable: ClassVar = {"user": EXPANDED_USER}

    pk = Pk(dump_only=True, example=EXAMPLE_PK)
    nickname = Text(
        required=True, min=1, max=255, description=NICKNAME_DESCRIPTION, examples=NICKNAME_EXAMPLES
    )
    role = Enum(
        *ROLES, name="HeroRole", allow_none=True, description=ROLE_DESCRIPTION, example="priest"
    )
    user_id = Pk(
        references=User,
        allow_none=True,
        example=EXAMPLE_OWNER_PK,
        description="The owner; by default the caller.",
    )
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)


class HeroListQuery(ListQuerySchema):
    sort = Sort(Hero.pk, Hero.nickname, Hero.created_at, Hero.updated_at)
    role = Enum(*ROLES, name="HeroRole", description="Heroes with this role.", example="mage")
    user_id = Pk(example=EXAMPLE_OWNER_PK, description="Heroes of this user.")
    q = SearchText("Heroes with all these words in the nickname.", example="kettles morwenna")
