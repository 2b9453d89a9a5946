"""The introduction of each OpenAPI document: the rules that its operations share.

Paragraphs become single lines, because Swagger UI renders a line break as <br>. PUBLIC_RESOURCES
stands for the resources that everybody may read.
"""

V2 = """
## Permissions

Reading PUBLIC_RESOURCES is public. Every other operation needs a
token and names the permission that the token must have. Send the token as
`Authorization: Bearer alc_…`. A user has the permissions of their role, and a token has all or some
of its user's permissions; it may make other tokens only if it was created with `tokens:write`.
`GET /api/v2/me` returns the caller's user and permissions.

Without a valid token the answer is 401. Without the permission it is 403, and `errors` names the
permission. A permission covers the caller's own rows. Its `:any` form, such as `orders:read:any`,
covers all rows. Rows that the caller may not see are 404; changing a row that the caller may only
read is 403. With open access, which is for development on one machine, every caller has all
permissions without a token.

## Fields

Every row has a `pk` (a UUIDv7, so keys sort by creation time), `created_at` and `updated_at`. A
field that refers to another resource is called `<resource>_id`. Times are RFC 3339 in UTC with
microseconds. Decimal numbers are strings (`"2.500"`). Money is a string with the decimals of its
currency (ISO 4217): `"101"` JPY, `"9.99"` EUR, `"1.235"` KWD; more decimals are 422. Integers have
no decimal point. Every field is always present, and is `null` if it has no value. New fields may be
added: ignore fields that you do not know. `HEAD` works wherever `GET` does.

Text is stored in NFC, without white space and other invisible characters at both ends. A required
text has at least one visible character. E-mail addresses, nicknames and coupon codes are compared
after NFKC and full case folding: `STRASSE` is `Straße`.

## Lists

A list is a JSON array. `limit` is the number of rows on a page, and `sort` is the order
(`-name,created_at`: by name descending, then by creation time). `count=exact` adds the header
`X-Total-Count`, which is exact up to 10,000 rows; beyond that it is 10000, and
`X-Total-Count-Exceeded` is `true`. If there are more rows, the `Link` header has the URL of the
next page as `rel="next"`. Follow it without changes: its `cursor` is valid only with the same sort
and filters. Every page takes the same time, however deep in the list it is. An unknown, repeated or
malformed parameter is an error. `pk` has the keys of the rows to return (up to 100), and
`updated_after` a time; `GET /api/v2/changes` is the way to miss no change.

With `Accept: text/csv` or `application/x-ndjson`, a list has one line for each row, and `limit` may
be up to 10,000; a page that would have more than 16 MiB ends earlier, with a `next` link. CSV is
that of RFC 4180 in UTF-8: the first line has the names, lines end with CRLF, a list or an object is
JSON, `null` is an empty field and an empty text is `""`. A text that begins with `=`, `+`, `-` or
`@` is not changed: a spreadsheet may take it for a formula.

Text is sorted by its letters, then by accents, then by case; signs and digits come before letters.
A long text is sorted by its beginning (at most 600 bytes). `q` searches for words: `te` finds
"tea", and `genepi` finds "génépi". In scripts without spaces, such as Chinese, it finds any part of
a text.

## Parts of rows, and referred rows

`fields=pk,name` answers only these members, those of nested objects after a dot
(`items.product_id`). `expand=store,items.product` puts the whole row beside its `_id`: `store`
beside `store_id`. Each operation lists the names that it accepts. Both go together:
`fields=pk,store.name&expand=store`. An expanded row that the caller may not read is null; without
the permission for its resource the answer is 403. The `ETag` is that of the answer, so `If-Match`
does not accept it for the row: read the whole row to change it.

## Changing a row

`GET` returns an `ETag`. Send it as `If-None-Match`, and the answer is 304 if the row is unchanged.
`PATCH` and `DELETE` require it as `If-Match`, so that two clients do not overwrite each other's
changes. Without `If-Match` the answer is 428. If the row has changed since, the answer is 412 and
has the row as it is now in `current`. `If-Match: *` accepts any version of the row. A `PATCH` body
is a merge patch (RFC 7396): a missing field keeps its value, and `null` clears it. Read-only fields
may be sent if their values are unchanged.

## Whole sets at once

`POST …/batch` takes an array of 1 to 500 of what the creation of one row takes, and stores all rows
or none; the body has at most 1 MiB. The answer has the rows in the order of the entries. Every
mistake of every entry is reported, with the number of the entry in front: `#/3/name`. Two entries
with the same unique value are 422 `duplicate`; values of stored rows are 409. An `Idempotency-Key`
holds for the whole batch.

`reference` is the key by which another system knows a row. With `on_conflict=update`, an entry
updates the row that has its `pk` or its `reference`, as a `PATCH` would: missing fields keep their
values.
Other entries create rows. The answer is 200 if no row is new. An entry that changes nothing leaves
the row, its `ETag` and its `updated_at` as they are.

A batch also takes `text/csv` and `application/x-ndjson`, as lists return them: what a list has
returned can be sent back, and changes nothing. An error then has the `line` where its entry begins
and, in CSV, the `column`: the number of the field. An empty field is as if a new row lacked the
member. In an update it is null, or nothing if the field cannot be null. `""` is an empty text.
Read-only columns may be empty, or as they are stored.

## Seeing earlier writes

If responses to writes have the header `Alchemist-Position`, reads may come from a copy of the
database that lags a little. A read that must see your writes sends back the `Alchemist-Position` of
the last of them. Also pass it on to other clients that read what you wrote. Without the header, an
item that the copy lacks is still found, but it and lists can be those of a moment ago.

## Repeating a POST

A `POST` may have an `Idempotency-Key` of 1 to 255 visible ASCII characters. If the same request is
sent again with the same key within 24 hours, it has no further effect. The answer is the first
answer again, with the header `Idempotent-Replayed: true`. A token that lacks a permission which the
first request needed gets 403. If a caller uses very many keys, only the newest answers are kept.
`GET /api/v2/idempotency-keys/{key}` tells a client that has lost an answer whether the request is
still running, and with which status it was answered.

## Trying without writing

With `dry_run=true`, a `POST`, `PATCH` or `DELETE` does all it does otherwise, and is then rolled
back. Its answer has the status, the headers and the body of the real request, errors included,
with `Dry-Run: true` and without `Location`. Keys and times of rows are not those that the real
request will have. A dry run stores no `Idempotency-Key`. With one that was used before, it is
answered as the real request would be: with the stored answer and `Idempotent-Replayed: true`, or
with 422 if the first request was another one. It counts under the rate limits.

## Orders

An order is placed in one transaction: it stores the prices, takes the products from stock and
redeems the coupon. If any of this is impossible, nothing is changed and a 409 lists all reasons in
`errors`. `totals` has one entry for each currency. A discount is distributed over the items, so
that the items add up exactly to the totals. `POST /api/v2/orders/quote` answers what placing the
order would answer, and changes nothing. An order is placed, then paid, then fulfilled: each seller
fulfils own items, and it is `partially_fulfilled` until all have. Until a seller begins it can be
cancelled, which returns its stock and its coupon. A seller sees own items and their totals only. An
order that is not paid until `expires_at` can no longer be paid: it is cancelled a moment later.

## Rate limits

The service may limit the requests of a token, or of an address without one, and more strictly those
that cost most: searches (`q`, `ingredient`, `brewable_with`), exact counts, pages of more than 200
rows, `expand`, orders and quotes. Then
`RateLimit-Policy` has each limit, and `RateLimit` what is left of it. Above a limit the answer is
429 with `Retry-After`, and nothing was changed.

## Errors

An error is a problem document (RFC 9457, `application/problem+json`). Programs should use its
`code`, which never changes; [`/problems`](/problems) describes each code. `detail` is text for
people. `errors` lists everything that is wrong, each with its `pointer` (into the body),
`parameter` or `header`. Invalid syntax is 400, a media type other than JSON is 415, an invalid
value is 422, and a conflict with stored data is 409. After a 429 or a 503, repeat the request when
`Retry-After` seconds have passed. Every answer has a new `X-Request-ID`, which the logs of the
service have too. If you send one of your own (1 to 64 letters, digits, `.`, `_` or `-`),
the answer and the logs have it too, as `X-Client-Request-ID`. If you send `traceparent` (W3C Trace
Context), the request is part of your trace: the logs have the id of the trace, and the answer has
it in `traceresponse`, with the id of the request's span.

A body is JSON in UTF-8, at most 1 MiB, without duplicate keys or unknown fields. A `POST` without a
documented body accepts an empty body or `{}`. Strings are trimmed and stored in Unicode
normalization form NFC.
"""

V1 = """
Version 1 is deprecated: it keeps working, but gets no new features. It has the same rows as
[version 2](/api/docs?urls.primaryName=v2). The `Link` header of each answer names the operation of
version 2 that replaces it. [Moving from the older
services](/api/docs/moving-from-the-older-services) says what changes for their clients.

A list is one array in order of creation. If it has more than 10,000 rows or 16 MiB, the answer is
400: use the pages of version 2. There are no entity tags. Paths work with and without a trailing
slash.

A body is JSON in UTF-8, at most 1 MiB, with or without a `Content-Type`. Unknown fields and query
parameters are ignored. A field with a camel case name (`storeId`) is also accepted in snake case
(`store_id`); if both are sent, camel case wins. Where the schema says so, numbers may be text and
text may be numbers. Ids are also accepted as 32 hex digits.

Money is a JSON number, such as 10.0 or 9.99. An order has one total, so its products must have the
same currency, and orders from version 2 with several currencies are left out. Fields that exist
only in version 2 are not changed: a product created here has unlimited stock, and an order created
here has no coupon.

Permissions and tokens are those of version 2: send `Authorization: Bearer alc_…` to operations that
need a permission.

The service may limit the requests of a token, or of an address without one, and more strictly lists
and orders. Above a limit the answer is 429 with `Retry-After`.

An error is a problem document (RFC 9457, `application/problem+json`). `detail` has the text of the
replaced service, and [`/problems`](/problems) describes each `code`.
"""


def _join_lines_of_paragraphs(text: str) -> str:
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)


def _as_collapsed_html(markdown: str) -> str:
    """Return an HTML block that hides the text until a reader opens it."""
    summary = "<summary>The rules that all operations share</summary>"
    return f"<details>\n{summary}\n\n{markdown}\n\n</details>"


CLIENTS = "[Clients](/api/docs/clients) says how to make and use typed clients."

GUIDES = {
    "v1": _join_lines_of_paragraphs(V1),
    "v2": f"{CLIENTS}\n\n{_as_collapsed_html(_join_lines_of_paragraphs(V2))}",
}
