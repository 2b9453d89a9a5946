"""What each document teaches before its operations: the rules that all of them share.

Paragraphs are unwrapped, because Swagger UI shows the end of a line as such.
"""

V2 = """
## Access

Anybody may read ingredients, potions, heroes, stores and products. For everything else send a token
as `Authorization: Bearer alc_…`; each operation names the permission that it needs. The role of a
user gives permissions, and a token has those of its user, or fewer. Without a token, or with one
that is unknown, expired or revoked, the answer is 401, and 403 names the permission that is
missing. A permission is for one's own rows, unless one has it as `…:any`, too; the rows of others
that one may not see are 404. `GET /api/v2/me` tells who one is and what one may. With open access,
which is for development on one machine, everybody may do everything without a token.

## Rows

A row has a `pk` (a UUIDv7: keys are in the order of creation), `created_at` and `updated_at`. A
reference to another resource is `<resource>_id`. Instants are RFC 3339 in UTC with microseconds;
exact numbers are strings, such as `"2.500"`, money is one with two decimals, and whole numbers are
written without a point. Every field is always there, `null` when it is empty, and fields may be
added: ignore those that you do not know. `HEAD` works wherever `GET` does.

## Lists

A list is a JSON array. `limit` says how many rows a page has, `sort` in which order they come
(`-name,created_at`), and `count=exact` adds `X-Total-Count`. When there is more, the `Link`
header has the address of the next page as `rel="next"`: follow it as it is. Its `cursor` belongs
to this sort and these filters, so with any other it is refused. A page deep in the list costs
what the first costs. A parameter that is unknown, repeated or malformed is refused.

## Changes

`GET` answers with an `ETag`; sent back as `If-None-Match` it saves an answer that you have
already (304). `PATCH` and `DELETE` need it as `If-Match`, so that nobody's change is lost:
without it the answer is 428, and 412 when the row has changed since, with the row as it is now
in `current`. `If-Match: *` means whatever is there. A `PATCH` is a merge patch (RFC 7396): what
is absent stays, `null` clears. You may send back read-only fields as you got them.

## Repeating a request

A `POST` may carry an `Idempotency-Key` of up to 255 visible ASCII characters. The same request
with the same key is answered for 24 hours as the first was, with `Idempotent-Replayed: true`,
and has no further effect.

## Orders

Placing an order is one transaction: its prices are kept, its stock is taken and its coupon is
redeemed, or nothing of it happens and the refusal (409) names every obstacle at once. Its `totals`
have one entry for each currency; a discount is spread over the lines so that they add up to them to
the cent. `POST /api/v2/orders/quote` answers what placing it would, and changes nothing. An order
that is placed is paid and then fulfilled; before that it can be cancelled, which gives stock and
coupon back.

## Refusals

A refusal is a problem (RFC 9457, `application/problem+json`). Decide by its `code`, which is
stable and explained at [`/problems`](/problems); `detail` is for people. `errors` lists
everything that is wrong at once, each with its `pointer` (body), `parameter` or `header`. Syntax
that cannot be read is 400, another media type than JSON 415, a value that breaks a rule 422,
and what stored rows stand in the way of 409. After a 503 repeat the request when `Retry-After`
seconds have passed. Every answer carries `X-Request-ID`: your own, if you sent one.

Bodies are JSON in UTF-8, at most 1 MiB, without duplicate keys or unknown fields. A `POST` that
documents no body takes none, or `{}`. Strings lose white space at their ends and are stored in NFC.
"""

V1 = """
Everything here is deprecated: it keeps working and gets no new features. It shows the same rows
as [version 2](/api/docs?urls.primaryName=v2), and every answer names its successor there in a
`Link` header.

A list is the whole array in the order of creation, up to 10,000 rows; beyond that the answer is
400, and version 2 has pages. There are no entity tags. Bodies are JSON in UTF-8, at most 1 MiB;
fields that are not known are ignored. A field whose name is in camel case (`storeId`) is read in
snake case (`store_id`), too; with both they must say the same. Paths work with and without a slash
at their end.

Money is a JSON number here, with at most two digits after the point; a string of that form is read,
too. An order has one total, so its products must be in one currency; the `total` of an order that
version 2 has placed in several is null. What version 2 alone knows of a row stays as it is there:
a product that is made here has an unlimited stock, and an order no coupon.

Permissions and tokens are those of version 2: send `Authorization: Bearer alc_…` to what needs a
permission.

A refusal is a problem (RFC 9457, `application/problem+json`): `detail` has the words of the older
service, and `code` is explained at [`/problems`](/problems).
"""


def _unwrapped(text: str) -> str:
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)


GUIDES = {"v1": _unwrapped(V1), "v2": _unwrapped(V2)}
