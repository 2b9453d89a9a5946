"""Hostile headers: malformed, repeated, empty, long, in 8 bits; and methods."""

from collections.abc import Iterator

from tests.hostile.exchange import Request
from tests.hostile.operations import Operation

TAGS = (
    *(
        "",
        " ",
        "*",
        "* ",
        "*, *",
        '*, "a"',
        "a",
        '"',
        '""',
        '"a',
        'a"',
        "'a'",
        'W/"a"',
        'w/"a"',
        'W/"',
    ),
    *(
        '"a" "b"',
        '"a", "b"',
        '"a",',
        ',"a"',
        ",",
        ",,,,",
        '"a";q=1',
        '"\xe9"',
        '"\xff',
        "W/",
        "W/*",
    ),
    ", " * 2000,
    " , " * 2000 + "x",
    '"a" , ' * 1000 + "x",
    '"a",' * 1500,
    " " * 8000 + "x",
    '"' + "a" * 8000 + '"',
    '"' * 8000,
    'W/"' * 2500,
)
KEYS = (
    "",
    " ",
    "a",
    "a b",
    "\xe9",
    "k" * 255,
    "k" * 256,
    "k" * 8000,
    "a,b",
    "\t",
    "'",
    '"a"',
    "%00",
    "~",
)
AUTHORIZATIONS = (
    *(
        "",
        " ",
        "Bearer",
        "Bearer ",
        "bearer  a",
        "Bearer a b",
        "Bearer \xff",
        "Bearer " + "a" * 8000,
    ),
    *(
        "Basic YTpi",
        "Basic",
        "Basic =",
        "Basic " + "=" * 4000,
        "Basic \xff",
        "Basic YQ==",
        "Digest a=b",
    ),
    *(
        "Digest",
        'Digest username="a',
        "Digest a*=utf-8''%ff",
        "Negotiate YQ==",
        "a",
        "=",
        ",",
        "Bearer,Basic",
    ),
    f"Bearer alc_{'0' * 36}",
    f"Bearer alc_{'0' * 35}\xff",
    f"Bearer alc_{'z' * 36}",
)
ACCEPTS = (
    *(
        "",
        " ",
        "*",
        "*/*",
        "*/json",
        "a/b",
        "application/json;q=0",
        "application/json;q=-1",
        "text/html",
    ),
    *(
        "application/json;q=nan",
        "application/json;q=inf",
        "application/json;q=1e9",
        "*/*;q=\xff",
        ";",
        ",",
    ),
    *(
        "application/json;q=",
        "application/json;q=a",
        "application/json;q=0.0001",
        "application/json;=",
        "/",
    ),
    *(
        "application/json" + ";a=b" * 1500,
        "a/b," * 1500,
        "application/*",
        "APPLICATION/JSON",
        '"',
        'a/b;c="',
    ),
    *(
        "application/json;charset*=utf-16''a",
        "application/json;a*0=b",
        "*/*;q=0, application/json",
        "\xff/\xff",
    ),
)
HOSTS = (
    *(
        "",
        " ",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "localhost:",
        "localhost:0",
        "localhost:99999",
        "[::1]",
    ),
    *(
        "localhost:a",
        "localhost:-1",
        "[::1",
        "::1",
        "[::1]:80",
        "[",
        "]",
        "127.1",
        "2130706433",
        "0",
        "a b",
    ),
    *(
        "127.0.0.1.evil.example",
        "evil.example",
        "localhost@evil.example",
        "localhost/a",
        "localhost#",
        "a,b",
    ),
    *(
        "localhost?a",
        "\xff",
        "xn--a",
        "a" * 8000,
        "<script>",
        "localhost\\a",
        "user:pass@localhost",
        "*",
        "%",
    ),
)
ORIGINS = (
    *(
        "",
        "null",
        "http://localhost",
        "https://evil.example",
        "http://localhost:99999",
        "a",
        "://",
        "http://",
    ),
    *(
        "http://localhost.evil.example",
        "http://[::1",
        "\xff",
        "file://",
        "http://localhost http://a",
        "*",
    ),
)
RANGES = (
    "bytes=0-1",
    "bytes=-1",
    "bytes=1-0",
    "bytes=a",
    "bytes=" + "0-0," * 1500,
    "rows=0-1",
    "",
    "\xff",
)
OTHERS = {
    "X-Request-ID": (
        "",
        "a" * 65,
        "a b",
        "\xff",
        "a/b",
        "<b>",
        '"',
        "a" * 8000,
        "${jndi:a}",
        "a,b",
        "\t",
    ),
    "Content-Language": ("\xff",),
    "Accept-Encoding": ("gzip;q=nan", "\xff", "identity;q=0, *;q=0", "," * 4000),
    "Accept-Language": ("\xff", "*;q=inf", "en" * 4000),
    "Accept-Charset": ("utf-16", "\xff"),
    "Cookie": ("a", "=", ";", "a=b;" * 1500, "\xff=\xff", 'a="', "session=\\000"),
    "Date": ("never", "\xff"),
    "If-Modified-Since": (
        "never",
        "\xff",
        "Mon, 99 Foo 9999 99:99:99 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
    ),
    "If-Unmodified-Since": ("never", "Thu, 01 Jan 1970 00:00:00 GMT", "\xff"),
    "If-Range": ('"a"', "never", "\xff"),
    "Expect": ("100-continue", "200-ok", "\xff"),
    "Max-Forwards": ("0", "-1", "a"),
    "Connection": ("close", "keep-alive", "If-Match", "upgrade", "\xff", "close, keep-alive"),
    "Upgrade": ("h2c", "websocket", "TLS/1.0", "\xff"),
    "TE": ("trailers", "\xff", "chunked"),
    "Trailer": ("If-Match", "Content-Length"),
    "Via": ("1.1 a", "\xff"),
    "Referer": ("\xff", "javascript:a"),
    "User-Agent": ("", "\xff", "() { :; }; id", "a" * 8000),
    "X-HTTP-Method-Override": ("DELETE", "TRACE", "\xff"),
    "X-HTTP-Method": ("DELETE",),
    "X-Method-Override": ("DELETE",),
    "X-Original-URL": ("/api/v2/me",),
    "X-Rewrite-URL": ("/api/v2/me",),
    "X-Forwarded-For": ("127.0.0.1", "\xff", "a," * 3000),
    "X-Forwarded-Host": ("evil.example",),
    "X-Forwarded-Proto": ("https", "\xff"),
    "X-Forwarded-Prefix": ("/evil",),
    "Forwarded": ('for="[::1', "for=127.0.0.1;host=evil.example"),
    "Sec-Fetch-Site": ("cross-site", "\xff"),
    "Access-Control-Request-Method": ("DELETE", "\xff"),
    "Access-Control-Request-Headers": ("a," * 3000, "\xff"),
    "Proxy": ("http://evil.example",),
    "Script-Name": ("/evil",),
    # Where an underscore passes for a dash, one header passes for another.
    "SCRIPT_NAME": ("/evil", "/api", "/"),
    "PATH_INFO": ("/evil", "/livez"),
    "REMOTE_ADDR": ("10.0.0.1",),
    "X_Forwarded_For": ("10.0.0.1",),
    "If_Match": ("*",),
    "Content-MD5": ("a",),
    "Want-Digest": ("a;q=nan",),
    "Prefer": ("respond-async", "\xff"),
}
READ = {
    "If-Match": TAGS,
    "If-None-Match": TAGS,
    "Idempotency-Key": KEYS,
    "Accept": ACCEPTS,
    "Host": HOSTS,
    "Origin": ORIGINS,
    "Range": RANGES,
    **OTHERS,
}
METHODS = (
    *(
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "TRACE",
        "CONNECT",
        "QUERY",
        "LINK",
    ),
    *(
        "PROPFIND",
        "MKCOL",
        "COPY",
        "MOVE",
        "LOCK",
        "UNLOCK",
        "SEARCH",
        "PURGE",
        "REPORT",
        "BREW",
        "PRI",
    ),
    *("M-SEARCH", "A", "GE", "GETT", "A" * 20),
)


def values(operation: Operation) -> Iterator[Request]:
    """Yield the request that the document shows, with one header as no client should send it."""
    for name, hostile in READ.items():
        for value in hostile:
            shown = operation.request()
            headers = shown.with_header(name, value)
            yield shown.but(f"{name} is {value[:60]!r}", headers=headers)


def tokens(operation: Operation) -> Iterator[Request]:
    """Yield tokens that are none: whoever shows one is refused, also where nobody needs any."""
    shown = operation.request()
    for value in AUTHORIZATIONS:
        headers = shown.with_header("Authorization", value)
        yield shown.but(f"Authorization is {value[:60]!r}", headers=headers, must="401")


def repeated(operation: Operation) -> Iterator[Request]:
    """Yield headers twice, with one value and with two."""
    for name, hostile in READ.items():
        for pair in ((hostile[0], hostile[0]), (hostile[-1], hostile[0])):
            shown = operation.request()
            headers = shown.with_header(name, *pair)
            yield shown.but(f"{name} stands twice", headers=headers)


def methods(operation: Operation) -> Iterator[Request]:
    """Yield every method there is, and some that are none; HEAD and GET may be right."""
    shown = operation.request()
    for method in METHODS:
        if method != operation.method:
            yield shown.but(f"the method is {method[:30]!r}", method=method)
