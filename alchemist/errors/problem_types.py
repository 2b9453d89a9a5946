"""The problem types that any operation may return."""

from .catalogue import register_problem_type

for problem_type in (
    (
        "bad-request",
        400,
        "The request is not valid HTTP, or the service cannot read it.",
        "The request is not valid HTTP.",
    ),
    (
        "malformed-request",
        400,
        "The syntax of the URL, of a header or of the body is wrong. A body must be one JSON text "
        "in UTF-8, without a byte order mark, duplicate keys, NaN, Infinity, NUL characters, lone "
        "surrogates, or more than 32 levels of nesting.",
        "The body is not valid JSON: Expecting ',' delimiter at line 3, column 5.",
    ),
    (
        "unauthorized",
        401,
        "The operation needs a token, or the token that was sent is unknown, malformed, expired or "
        "revoked. Send `Authorization: Bearer alc_…`.",
        "Send a valid bearer token.",
    ),
    (
        "forbidden",
        403,
        "The caller does not have the permission that `errors` names.",
        "This needs the permission potions:write.",
    ),
    (
        "not-local",
        403,
        "The service runs with open access, which only clients on the same machine may use. The "
        "request came from another machine or another site, or names another host.",
        "Open access is for this machine alone.",
    ),
    (
        "not-found",
        404,
        "Nothing exists at this path, or the caller may not see it.",
        "Ingredient does not exist",
    ),
    (
        "method-not-allowed",
        405,
        "The resource exists, but does not support this method. `Allow` lists those it supports.",
        "This resource does not support the method.",
    ),
    (
        "not-acceptable",
        406,
        "The `Accept` header excludes every media type that the resource has.",
        "This resource is available as application/json only.",
    ),
    (
        "request-timeout",
        408,
        "The request did not arrive completely within the time limit. Nothing was changed.",
        "The request did not arrive in time.",
    ),
    (
        "conflict",
        409,
        "The request is valid, but conflicts with stored data.",
        "The row was changed at the same time.",
    ),
    (
        "in-use",
        409,
        "The row cannot be deleted while others refer to it. `errors` name up to ten of them.",
        "Other rows still refer to it.",
    ),
    (
        "already-exists",
        409,
        "Another row has this value, which must be unique.",
        "The name is taken.",
    ),
    (
        "precondition-failed",
        412,
        "The row was changed after its ETag was read. The response contains the current row in "
        "`current`, and its `ETag`. Decide again with these.",
        "The row has changed since that ETag.",
    ),
    ("content-too-large", 413, "The body is larger than 1 MiB.", "The body exceeds 1 MiB."),
    ("uri-too-long", 414, "The URL is longer than the server accepts.", "The URL is too long."),
    (
        "unsupported-media-type",
        415,
        "The body is not `application/json` in UTF-8 (or, for PATCH, "
        "`application/merge-patch+json`), or it is compressed.",
        "Send the body as application/json.",
    ),
    (
        "precondition-required",
        428,
        "PATCH and DELETE need `If-Match` with the ETag from GET, so that two clients do not "
        "overwrite each other's changes. `If-Match: *` accepts any version of the row.",
        "Send If-Match with the ETag of the row.",
    ),
    (
        "rate-limited",
        429,
        "The token, or the address of a request without one, sent more requests than "
        "`RateLimit-Policy` allows. Repeat the request after `Retry-After` seconds. Nothing was "
        "changed.",
        "The limit is 600 requests in 60 seconds.",
    ),
    (
        "headers-too-large",
        431,
        "The request has too many headers, or one of them is too long.",
        "The headers are too large.",
    ),
    (
        "internal",
        500,
        "A bug in the service. Report it with the `request_id`.",
        "The service failed to answer. Its operators can find the cause by the request id.",
    ),
    (
        "not-implemented",
        501,
        "The server does not support this method or transfer coding.",
        "The server does not support that.",
    ),
    (
        "bad-gateway",
        502,
        "The proxy got no complete response from the service. It is unknown whether the request "
        "took effect: read the row, or repeat a POST with the same `Idempotency-Key`.",
        "The service broke off its response.",
    ),
    (
        "gateway-timeout",
        504,
        "The proxy got no response from the service in time. It is unknown whether the request "
        "took effect: read the row, or repeat a POST with the same `Idempotency-Key`.",
        "The service did not answer in time.",
    ),
    (
        "unavailable",
        503,
        "The service is overloaded or cannot reach its database. Repeat the request after "
        "`Retry-After` seconds. Nothing was changed, unless the connection broke during the "
        "commit; a POST with an `Idempotency-Key` is safe to repeat even then.",
        "The database cannot be reached.",
    ),
    (
        "invalid",
        422,
        "Several values are invalid. `errors` lists each with its location and its own code.",
        "2 values of the request are invalid.",
    ),
    ("required", 422, "A required field is missing.", "This field is required."),
    ("not-nullable", 422, "The field cannot be null.", "This field cannot be null."),
    (
        "wrong-type",
        422,
        "The value does not have the JSON type or the format of the field.",
        "Not a string.",
    ),
    ("too-short", 422, "The value has too few characters or items.", "Must not be blank."),
    (
        "too-long",
        422,
        "The value has too many characters or items.",
        "Must have at most 127 characters.",
    ),
    ("out-of-range", 422, "The value is out of range.", "Must be between 1 and 200."),
    (
        "not-one-of",
        422,
        "The value is not one of those that the field allows.",
        "Must be one of: pk, name, created_at.",
    ),
    ("duplicate", 422, "An item appears twice in a list.", "It appears twice."),
    ("unknown-field", 422, "The resource has no such field.", "Unknown field."),
    (
        "read-only",
        422,
        "Only the service sets this field. Leave it out, or send its current value.",
        "This field is read-only.",
    ),
    (
        "unknown-parameter",
        422,
        "The operation has no such query parameter.",
        "Unknown parameter.",
    ),
    (
        "repeated-parameter",
        422,
        "A query parameter appears more than once.",
        "The parameter appears more than once.",
    ),
    (
        "unknown-reference",
        422,
        "A value refers to a row that does not exist. In version 1 the status may be 400.",
        "No ingredient 01935f2e-7c1a-7b3e-9d3c-0123456789ab.",
    ),
):
    register_problem_type(*problem_type)
