"""Users and tokens as clients see them."""

from datetime import UTC, datetime
from typing import Any
from unicodedata import normalize

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from marshmallow import ValidationError

from alchemist.api.fields import CodedMessage, Enum, List, Nested, Pk, Schema, Text, UtcDateTime
from alchemist.api.pagination import ListQuerySchema, Sort

from .models import ROLES, Token, User
from .permissions import ALL_PERMISSIONS
from .service import ANONYMOUS_EMAIL

# In the example apothecary: Percival, who owns no hero and can be deleted, Bartholomew, who owns
# heroes and orders for them, and Inés, who owns stores.
EXAMPLE_PK = "01959eef-55c8-7fcc-a7fc-9465aed360c0"
EXAMPLE_OWNER_PK = "019597a6-aade-78c4-8385-4a9a2a2ea2c9"
EXAMPLE_MERCHANT_PK = "019592b7-a058-75ca-a30f-8e67b7655127"
# What a creation shows, and what a change does: an address can be taken once.
EMAIL_EXAMPLES = ("ada@alchemist.example", "ada.ingram@alchemist.example")
EMAIL_DESCRIPTION = "Of a person; nobody else has it, in any case."
FULL_NAME_DESCRIPTION = "As the person writes it."

# Mail within a network is delivered to `local`, `test` and the like (RFC 6761), never to `invalid`.
SPECIAL_USE_DOMAIN_NAMES[:] = ["invalid"]


class Email(Text):
    """An e-mail address in lower case: one person has one, however it is typed."""

    default_error_messages = {
        "email": CodedMessage("wrong-type", "Not an e-mail address: {reason}")
    }

    def __init__(self, **how: Any) -> None:
        metadata = {"format": "email", "examples": list(EMAIL_EXAMPLES)} | how.pop("metadata", {})
        super().__init__(min=3, max=254, metadata=metadata, **how)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if ANONYMOUS_EMAIL.fullmatch(text):
            return text
        is_local = text.lower().endswith("@localhost")
        try:
            address = validate_email(
                text, check_deliverability=False, globally_deliverable=not is_local
            ).normalized
            # In this order: some letters have their small form in two characters.
            return normalize("NFC", address.lower())
        except EmailNotValidError as error:
            raise self.make_error("email", reason=str(error)) from error


class UserSchema(Schema):
    pk = Pk(dump_only=True, example=EXAMPLE_PK)
    email = Email(required=True, metadata={"description": EMAIL_DESCRIPTION})
    full_name = Text(
        required=True,
        min=1,
        max=255,
        example="Ada Ingram",
        metadata={"description": FULL_NAME_DESCRIPTION},
    )
    role = Enum(
        *ROLES,
        metadata={
            "description": "Decides what the user's tokens permit; `customer` by default.",
            "examples": ["customer"],
        },
    )
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)


class UserListQuery(ListQuerySchema):
    sort = Sort(User.pk, User.email, User.created_at)
    email = Email(
        metadata={
            "description": "Exactly this address, in any case.",
            "examples": ["percival@alchemist.example"],
        }
    )
    q = Text(
        max=200,
        min=1,
        example="percival thorne",
        metadata={"description": "Words in e-mail or name, in any order and case."},
    )
    role = Enum(*ROLES, metadata={"description": "Users of this role.", "examples": ["merchant"]})


def in_the_future(moment: datetime) -> None:
    if moment <= datetime.now(UTC):
        raise ValidationError(CodedMessage("out-of-range", "Must be in the future."))


class TokenSchema(Schema):
    pk = Pk(dump_only=True, example="0195b052-09fc-7e2f-97b6-2af4a1682c64")
    user_id = Pk(
        dump_only=True,
        example=EXAMPLE_PK,
        metadata={"description": "Whose requests it stands for."},
    )
    label = Text(
        required=True,
        min=1,
        max=127,
        example="The till in the back room",
        metadata={"description": "Tells the tokens of a user apart."},
    )
    permissions = List(
        Enum(*ALL_PERMISSIONS),
        allow_none=True,
        max=100,
        metadata={
            "description": "Narrows the token to these; null for all of its user's role.",
            "examples": [["me:read", "users:read"]],
        },
    )
    expires_at = UtcDateTime(
        allow_none=True,
        validate=in_the_future,
        metadata={
            "description": "In the future; 90 days from now by default.",
            "examples": ["2099-12-31T23:59:59.000000+00:00"],
        },
    )
    revoked_at = UtcDateTime(
        dump_only=True,
        allow_none=True,
        metadata={"description": "Since when it is refused; null while it is good."},
    )
    last_used_at = UtcDateTime(
        dump_only=True,
        allow_none=True,
        metadata={"description": "Kept to within five minutes; null before the first use."},
    )
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)


class TokenSecretSchema(TokenSchema):
    """A token in the one answer that shows its secret."""

    token = Text(
        max=40,
        dump_only=True,
        example=f"alc_{'0123456789' * 3}NOBODY",
        metadata={"description": "The secret, shown here and never again."},
    )


class TokenListQuery(ListQuerySchema):
    sort = Sort(Token.pk, Token.created_at)


class MeSchema(Schema):
    user = Nested(
        UserSchema, allow_none=True, metadata={"description": "The caller; null with open access."}
    )
    permissions = List(
        Enum(*ALL_PERMISSIONS),
        metadata={
            "description": "What the role of the caller gives, and the token leaves of it.",
            "examples": [["heroes:write", "me:read", "tokens:read", "tokens:write", "users:read"]],
        },
    )
