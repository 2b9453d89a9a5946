"""Schemas of users and tokens in requests and responses."""

from datetime import UTC, datetime
from typing import Any
from unicodedata import normalize

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from marshmallow import ValidationError

from alchemist.api.fields import (
    CodedMessage,
    Enum,
    Expansion,
    List,
    Nested,
    Pk,
    Schema,
    StrictInteger,
    Text,
    UtcDateTime,
)
from alchemist.api.pagination import ListQuerySchema, SearchText, Sort

from .models import ROLES, Token, User
from .permissions import ALL_PERMISSIONS
from .service import ANONYMOUS_EMAIL

# Rows of the sample data. Percival owns nothing, so he can be deleted; Bartholomew owns heroes and
# orders; Inés, a merchant, owns stores.
EXAMPLE_PK = "01959eef-55c8-7fcc-a7fc-9465aed360c0"
EXAMPLE_OWNER_PK = "019597a6-aade-78c4-8385-4a9a2a2ea2c9"
EXAMPLE_MERCHANT_PK = "019592b7-a058-75ca-a30f-8e67b7655127"
# For a creation, for two of a batch, and for an update: an e-mail address must be unique.
EMAIL_EXAMPLES = (
    "ada@alchemist.example",
    "bela@alchemist.example",
    "cecily@alchemist.example",
    "ada.ingram@alchemist.example",
)
EMAIL_DESCRIPTION = "The e-mail address, in lower case. No two users have the same one in any case."
FULL_NAME_DESCRIPTION = "The name, as the person writes it."

# email-validator rejects every special-use domain (RFC 6761). Internal mail uses some of them, such
# as `local` and `test`, so only `invalid` is rejected here.
SPECIAL_USE_DOMAIN_NAMES[:] = ["invalid"]


class Email(Text):
    """An e-mail address, which is normalised and in lower case."""

    default_error_messages = {
        "email": CodedMessage("wrong-type", "Not an e-mail address: {reason}")
    }

    def __init__(self, **kwargs: Any) -> None:
        defaults = {"examples": EMAIL_EXAMPLES, "metadata": {"format": "idn-email"}}
        super().__init__(min=3, max=254, **defaults | kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        # validate_email rejects the reserved domain that anonymised users have.
        if ANONYMOUS_EMAIL.fullmatch(text):
            return text
        is_local = text.lower().endswith("@localhost")
        try:
            address = validate_email(
                text, check_deliverability=False, globally_deliverable=not is_local
            ).normalized
            # NFC last: the lower case of some letters is two characters.
            return normalize("NFC", address.lower())
        except EmailNotValidError as error:
            raise self.make_error("email", reason=str(error)) from error


class UserSchema(Schema):
    restored_fields = (*Schema.restored_fields, "suspended_at")

    pk = Pk(dump_only=True, example=EXAMPLE_PK)
    email = Email(required=True, description=EMAIL_DESCRIPTION)
    full_name = Text(
        required=True, min=1, max=255, example="Ada Ingram", description=FULL_NAME_DESCRIPTION
    )
    role = Enum(
        *ROLES,
        name="UserRole",
        description="Decides which permissions the user has; `customer` by default.",
        example="customer",
    )
    suspended_at = UtcDateTime(
        dump_only=True,
        allow_none=True,
        description="Since when the user is suspended; null if they are not.",
    )
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)


# A user beside `user_id` or `owner_id`.
EXPANDED_USER = Expansion(UserSchema, User, permission="users:read", owner="pk")


class UserListQuery(ListQuerySchema):
    sort = Sort(User.pk, User.email, User.created_at, User.updated_at)
    email = Email(
        description="Users with exactly this address, in any case.",
        examples=["percival@alchemist.example"],
    )
    q = SearchText("Users with all these words in e-mail or name.", example="percival thorne")
    role = Enum(*ROLES, name="UserRole", description="Users with this role.", example="merchant")


def check_in_future(moment: datetime) -> None:
    if moment <= datetime.now(UTC):
        raise ValidationError(CodedMessage("out-of-range", "Must be in the future."))


class TokenSchema(Schema):
    pk = Pk(dump_only=True, example="0195b052-09fc-7e2f-97b6-2af4a1682c64")
    user_id = Pk(
        dump_only=True, example=EXAMPLE_PK, description="The user that the token authenticates."
    )
    made_with_id = Pk(
        dump_only=True,
        allow_none=True,
        example="0195aef7-74dc-71d2-99d0-03fa4ffb1f99",
        description="The token with which this one was made, and with which it ends; null "
        "if it was made on the command line or with open access.",
    )
    label = Text(
        required=True,
        min=1,
        max=127,
        example="The till in the back room",
        description="A name by which the user recognises the token.",
    )
    permissions = List(
        Enum(*ALL_PERMISSIONS, name="Permission"),
        allow_none=True,
        max=100,
        description="Limits the token to these; null means all of its user's role except "
        "`tokens:write` and `tokens:write:any`, which a token has only if they are named.",
        example=["me:read", "users:read"],
    )
    expires_at = UtcDateTime(
        allow_none=True,
        validate=check_in_future,
        description="When the token expires; 90 days from now by default. The service "
        "shortens it to its maximum, a year unless configured otherwise, and to the expiry of "
        "the token that makes it.",
        example="2099-12-31T23:59:59.000000+00:00",
    )
    revoked_at = UtcDateTime(
        dump_only=True,
        allow_none=True,
        description="When the token was revoked; null if it was not.",
    )
    last_used_at = UtcDateTime(
        dump_only=True,
        allow_none=True,
        description="The last use, accurate to a minute; null before the first.",
    )
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)


class TokenSecretSchema(TokenSchema):
    """A new token with its secret."""

    token = Text(
        max=40,
        dump_only=True,
        example=f"alc_{'0123456789' * 3}NOBODY",
        description="The secret. No later answer has it.",
    )


class RevokedTokensSchema(Schema):
    revoked = StrictInteger(
        min=0,
        max=2**31 - 1,
        dump_only=True,
        description="How many tokens were revoked, those made with them included.",
        example=3,
    )


class TokenListQuery(ListQuerySchema):
    sort = Sort(Token.pk, Token.created_at, Token.updated_at)


class MeSchema(Schema):
    user = Nested(UserSchema, allow_none=True, description="The caller; null with open access.")
    permissions = List(
        Enum(*ALL_PERMISSIONS, name="Permission"),
        description="The permissions of the caller's role that the token has too.",
        example=["heroes:write", "me:read", "tokens:read", "users:read"],
    )
