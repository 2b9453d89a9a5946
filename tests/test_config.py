"""Settings: read from the environment and `.env`, with all errors reported together."""

import os
from dataclasses import fields

import pytest
from gunicorn.util import parse_address
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from alchemist import config

URL = "postgresql://alchemist:swordfish@localhost/alchemist"


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Return a function that sets the variables of the environment, in an empty directory."""
    before = dict(os.environ)
    monkeypatch.chdir(tmp_path)

    def replace(**variables):
        for name in list(os.environ):
            if name.startswith(("DATABASE_URL", "ALCHEMIST_", "PGPASSWORD")):
                del os.environ[name]
        os.environ.update(variables)

    replace()
    yield replace
    # load_dotenv() changes os.environ directly, and monkeypatch does not undo that.
    os.environ.clear()
    os.environ.update(before)


def load_errors(environment, **variables):
    """Return the errors of load() with these variables."""
    environment(**variables)
    with pytest.raises(config.ConfigurationError) as raised:
        config.load()
    assert str(raised.value) == "\n".join(raised.value.errors)
    return raised.value.errors


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_three_url_schemes_select_the_same_driver(environment, scheme):
    environment(DATABASE_URL=URL.replace("postgresql", scheme))
    url = config.load().database_url
    assert (url.drivername, url.host, url.password) == (
        "postgresql+psycopg",
        "localhost",
        "swordfish",
    )


@pytest.mark.parametrize(
    ("url", "hosts", "ports"),
    [
        ("postgresql://u:swordfish@a:1,b:2/d", "a,b", "1,2"),
        ("postgresql://u@a,b:2", "a,b", "5432,2"),
        ("postgresql://[::1]:1,[fe80::1]/d?sslmode=disable", "::1,fe80::1", "1,5432"),
        ("postgresql://a,%2Frun%2Fdb/d", "a,/run/db", "5432,5432"),
        ("postgresql://u@/d?host=a:1&host=b:2", "a,b", "1,2"),
        ("postgresql:///d?host=a,b&port=1,2", "a,b", "1,2"),
    ],
)
def test_a_url_may_have_several_hosts(environment, url, hosts, ports):
    """As libpq and SQLAlchemy spell them; what `alchemist config` prints is read the same way."""
    separator = "&" if "?" in url else "?"
    environment(DATABASE_URL=f"{url}{separator}target_session_attrs=read-write")
    settings = config.load()
    for _ in range(2):
        [_, parameters] = PGDialect_psycopg().create_connect_args(settings.database_url)
        assert (parameters["host"], parameters["port"]) == (hosts, ports)
        assert parameters["target_session_attrs"] == "read-write"
        printed = config.as_variables_without_passwords(settings)["DATABASE_URL"]
        assert "swordfish" not in printed
        environment(DATABASE_URL=printed)
        settings = config.load()


@pytest.mark.parametrize(
    "url",
    [
        *("mysql://h/d", "postgresql+asyncpg://h/d", "sqlite://", "nonsense", ""),
        *("postgresql://h:x/", f"postgresql://{'h' * 64}/d", "postgresql://h/\udcff"),
        *("postgresql://a:x,b/d", "postgresql://a,/d", "postgresql://a,[::1/d", "mysql://a,b/d"),
        *("postgresql:///d?host=a,b&port=1,2,3", "postgresql:///d?host=a:x&host=b"),
    ],
)
def test_an_invalid_url_is_reported_with_its_variable(environment, url):
    [error] = load_errors(environment, DATABASE_URL=url)
    assert error.startswith("DATABASE_URL: ")


def test_the_url_is_the_only_required_setting(environment):
    [error] = load_errors(environment)
    assert error.startswith("DATABASE_URL: ")
    environment(DATABASE_URL=URL)
    assert config.load().workers == 2


INVALID_VALUES = {
    "ALCHEMIST_BIND": [
        *("", ":", "foo", "8000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:abc", "127.0.0.1:99999"),
        *("127.0.0.1:-1", "127.0.0.1:8000:1", "127.0.0.1: 8000", "a b:8000", "http://a:8000"),
        *("::1:8000", "[::1]", "[::1]:", "[::1:8000", "[a]:8000", "unix:", "fd://", "fd://x"),
        *("127.0.0.1:8000,", "127.0.0.1:8000,foo"),
    ],
    "ALCHEMIST_METRICS_BIND": [
        *("", ":", "9464", "127.0.0.1", "127.0.0.1:99999", "unix:/run/metrics.sock", "fd://3"),
        "127.0.0.1:9464,127.0.0.1:9091",
    ],
    "ALCHEMIST_LOG_SUCCESS_SAMPLE_RATE": ["-0.1", "1.1", "nan", "half"],
    "ALCHEMIST_SLOW_STATEMENT_TIME": ["-1", "61", "nan"],
    "ALCHEMIST_WORKERS": ["0", "65", "two", "1.5", ""],
    "ALCHEMIST_THREADS": ["0", "-1"],
    "ALCHEMIST_POOL_TIMEOUT": ["0", "6", "soon", "nan"],
    "ALCHEMIST_REQUEST_TIMEOUT": ["0", "2", "61", "nan"],
    "ALCHEMIST_STATEMENT_TIMEOUT": ["0", "31", "inf", "nan"],
    "ALCHEMIST_LOCK_TIMEOUT": ["0", "1s", "nan"],
    "ALCHEMIST_PREPARED_STATEMENTS": ["maybe"],
    "ALCHEMIST_LOG_LEVEL": ["loud"],
    "ALCHEMIST_LOG_FORMAT": ["xml"],
    "ALCHEMIST_TOKEN_RETENTION_DAYS": ["-1", "36501"],
    "ALCHEMIST_AUDIT_RETENTION_DAYS": ["0", "", "36501"],
    "ALCHEMIST_V1": ["maybe"],
    "ALCHEMIST_SECURITY_CONTACT": ["", "ada", "mailto:", "http://a", "https://a\nExpires: x"],
    "ALCHEMIST_TRUSTED_PROXIES": ["*", "localhost", "10.0.0.1/8", "10.0.0.0/33", "unix,proxy", ","],
    "ALCHEMIST_V1_SUNSET": ["", "soon", "2027-02-30", "31.12.2027"],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in INVALID_VALUES.items() for value in values],
)
def test_an_invalid_value_is_reported_with_its_variable(environment, name, value):
    [error] = load_errors(environment, DATABASE_URL=URL, **{name: value})
    assert error.startswith(f"{name}: ")


@pytest.mark.parametrize(
    "bind",
    [
        *("127.0.0.1:8000", "localhost:0", "shop.example:65535", ":8000", "[::1]:8000", "[::]:80"),
        *("unix:/run/http.sock", "unix:///run/http.sock", "unix:http.sock", "fd://3"),
        *("tcp://0.0.0.0:8000", "127.0.0.1:8000,unix:http.sock"),
    ],
)
def test_bind_accepts_the_formats_of_gunicorn(environment, bind):
    environment(DATABASE_URL=URL, ALCHEMIST_BIND=bind)
    assert config.load().bind == bind
    for address in bind.split(","):
        assert parse_address(address)


@pytest.mark.parametrize(
    ("bind", "metrics_bind"),
    [
        *(("127.0.0.1:80", "127.0.0.1:80"), ("0.0.0.0:80", "127.0.0.1:80"), (":80", "[::1]:80")),
        *(("unix:a,[::1]:80", "[::1]:80"), ("shop.example:80", "SHOP.example:80")),
    ],
)
def test_the_metrics_have_an_address_of_their_own(environment, bind, metrics_bind):
    variables = {"ALCHEMIST_BIND": bind, "ALCHEMIST_METRICS_BIND": metrics_bind}
    [error] = load_errors(environment, DATABASE_URL=URL, **variables)
    assert error.startswith("ALCHEMIST_METRICS_BIND: ")


@pytest.mark.parametrize("metrics_bind", [":81", "127.0.0.2:80", "[::1]:81"])
def test_the_metrics_may_have_another_port_or_host(environment, metrics_bind):
    variables = {"ALCHEMIST_BIND": "127.0.0.1:80", "ALCHEMIST_METRICS_BIND": metrics_bind}
    environment(DATABASE_URL=URL, **variables)
    assert config.load().metrics_bind == metrics_bind


def test_trusted_proxies_are_networks_and_unix(environment):
    environment(DATABASE_URL=URL, ALCHEMIST_TRUSTED_PROXIES="unix, 10.0.0.0/8,192.0.2.1, fd00::/8")
    assert config.load().trusted_proxies == ("unix", "10.0.0.0/8", "192.0.2.1", "fd00::/8")


@pytest.mark.parametrize(("inner", "outer"), config.TIMEOUT_ORDER)
def test_an_inner_timeout_that_is_not_shorter_is_reported_with_both_variables(
    environment, inner, outer
):
    inner, outer = config.env_name(inner), config.env_name(outer)
    values = {"ALCHEMIST_REQUEST_TIMEOUT": "4", "ALCHEMIST_STATEMENT_TIMEOUT": "3"}
    error, *_ = load_errors(environment, DATABASE_URL=URL, **values | {inner: values[outer]})
    assert error.startswith(f"{inner}: ")
    assert outer in error


def test_pool_and_statement_timeout_fit_into_the_request_timeout(environment):
    [error] = load_errors(environment, DATABASE_URL=URL, ALCHEMIST_POOL_TIMEOUT="1.1")
    assert error.startswith("ALCHEMIST_POOL_TIMEOUT: ")
    assert "ALCHEMIST_STATEMENT_TIMEOUT" in error
    assert "ALCHEMIST_REQUEST_TIMEOUT" in error


def test_the_default_timeouts_are_nested(environment):
    environment(DATABASE_URL=URL)
    settings = config.load()
    for inner, outer in config.TIMEOUT_ORDER:
        assert getattr(settings, inner) < getattr(settings, outer)
    assert settings.pool_timeout + settings.statement_timeout <= settings.request_timeout


def test_all_errors_are_reported_together(environment):
    errors = load_errors(
        environment, ALCHEMIST_WORKERS="0", ALCHEMIST_LOG_LEVEL="loud", ALCHEMIST_COLOUR="red"
    )
    assert {error.partition(":")[0] for error in errors} == {
        "DATABASE_URL",
        "ALCHEMIST_WORKERS",
        "ALCHEMIST_LOG_LEVEL",
        "ALCHEMIST_COLOUR",
    }


def test_a_misspelt_variable_is_reported_with_the_correct_name(environment):
    [error] = load_errors(environment, DATABASE_URL=URL, ALCHEMIST_TREADS="8")
    assert error.startswith("ALCHEMIST_TREADS: ")
    assert "ALCHEMIST_THREADS" in error


def test_a_variable_of_the_test_suite_is_accepted(environment):
    environment(DATABASE_URL=URL, ALCHEMIST_TEST_DATABASE_URL="postgresql://localhost/x")
    assert config.load()


def test_dotenv_sets_only_variables_that_the_environment_lacks(environment, tmp_path):
    environment(ALCHEMIST_THREADS="7")
    lines = [f"DATABASE_URL={URL}", "ALCHEMIST_THREADS=9", "ALCHEMIST_WORKERS=3"]
    (tmp_path / ".env").write_text("\n".join(lines))
    settings = config.load()
    assert (settings.threads, settings.workers) == (7, 3)


def test_errors_in_dotenv_are_reported_like_errors_in_the_environment(environment, tmp_path):
    (tmp_path / ".env").write_text("ALCHEMIST_WORKERS=0\nALCHEMIST_COLOUR=red\n")
    errors = load_errors(environment, DATABASE_URL=URL)
    assert {error.partition(":")[0] for error in errors} == {
        "ALCHEMIST_WORKERS",
        "ALCHEMIST_COLOUR",
    }


INVALID_CONTENTS = {
    "Latin-1": "ALCHEMIST_LOG_LEVEL=gehört".encode("latin-1"),
    "UTF-16": f"DATABASE_URL={URL}".encode("utf-16"),
    "NUL": b"ALCHEMIST_WORKERS=3\0",
}


@pytest.mark.parametrize("content", INVALID_CONTENTS.values(), ids=INVALID_CONTENTS)
def test_a_dotenv_that_is_not_text_is_one_error(environment, tmp_path, content):
    (tmp_path / ".env").write_bytes(content)
    [error] = load_errors(environment)
    assert error.startswith(".env: Must be ")


def test_a_directory_named_dotenv_is_one_error(environment, tmp_path):
    (tmp_path / ".env").mkdir()
    assert load_errors(environment) == [".env: Cannot be read (Is a directory)."]


def test_an_unreadable_dotenv_is_one_error(environment, monkeypatch):
    def deny(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(config.environment.Path, "read_text", deny)
    assert load_errors(environment) == [".env: Cannot be read (Permission denied)."]


def test_a_line_that_is_not_an_assignment_is_logged_with_its_number(environment, tmp_path, caplog):
    (tmp_path / ".env").write_text("ALCHEMIST_WORKERS=3\nALCHEMIST_THREADS: 7\n")
    environment(DATABASE_URL=URL)
    assert config.load().workers == 3
    assert "line 2" in caplog.text


def test_dotenv_may_contain_shell_syntax_and_a_byte_order_mark(environment, tmp_path):
    lines = ["\ufeffALCHEMIST_WORKERS=3", "export ALCHEMIST_THREADS='7'  # of each", "OTHER="]
    (tmp_path / ".env").write_text("\n".join(lines), "utf-8")
    environment(DATABASE_URL=URL)
    assert (config.load().workers, config.load().threads) == (3, 7)


def test_dotenv_of_a_parent_directory_is_ignored(environment, tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("ALCHEMIST_WORKERS=3")
    (tmp_path / "child").mkdir()
    monkeypatch.chdir(tmp_path / "child")
    environment(DATABASE_URL=URL)
    assert config.load().workers == 2


@pytest.mark.parametrize(
    "url", [URL, URL.replace("postgresql", "mysql"), URL.replace("localhost", "localhost:port")]
)
def test_a_password_is_never_printed(environment, url):
    environment(DATABASE_URL=url)
    try:
        output = repr(config.load())
    except config.ConfigurationError as error:
        output = f"{error!r} {error} {error.errors}"
    assert "swordfish" not in output


SECRETS = {
    "DATABASE_URL": URL,
    "ALCHEMIST_LIMIT_STORAGE": "redis://:swordfish@cache.example",
    "ALCHEMIST_REPLICA_URL": "postgresql://alchemist:swordfish@standby.example/shop",
}


@pytest.fixture
def secret_file(tmp_path):
    """Return a function that writes the file of a secret; it returns the path."""

    def write(content):
        path = tmp_path / "secret"
        path.write_bytes(content)
        return str(path)

    return write


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_can_be_in_a_file(environment, secret_file, name):
    environment(**{"DATABASE_URL": URL, name: SECRETS[name]})
    expected = config.load()
    variables = {"DATABASE_URL": URL, f"{name}_FILE": secret_file(f"{SECRETS[name]}\n".encode())}
    variables.pop(name, None)
    environment(**variables)
    assert config.load() == expected
    assert name not in os.environ


def test_the_password_of_a_url_without_one_can_be_in_a_file(environment, secret_file):
    path = secret_file(b"a:b@c/%\n")
    without = "postgresql://alchemist@localhost/shop"
    environment(DATABASE_URL=without, ALCHEMIST_REPLICA_URL=URL, PGPASSWORD_FILE=path)
    settings = config.load()
    assert settings.database_url.password == "a:b@c/%"
    assert settings.replica_url.password == "swordfish"
    assert "a:b@c" not in config.as_variables_without_passwords(settings)["DATABASE_URL"]
    assert "PGPASSWORD" not in os.environ


def test_a_file_without_a_password_is_an_error(environment, secret_file):
    path = secret_file(b"")
    errors = load_errors(environment, DATABASE_URL=URL, PGPASSWORD_FILE=path)
    assert errors == ["PGPASSWORD_FILE: The file must have a value."]


def test_every_secret_is_tested():
    assert set(SECRETS) == config.secret_variable_names()


FILE_ERRORS = {
    b"": "The file must have a value.",
    b" \n": "The file must have a value.",
    b"a\0b": "The file must have a value without NUL.",
    b"\xff": "The file must be UTF-8.",
}


@pytest.mark.parametrize("content", FILE_ERRORS)
def test_a_file_without_a_secret_is_one_error(environment, secret_file, content):
    path = secret_file(content)
    errors = load_errors(environment, DATABASE_URL_FILE=path)
    assert errors == [f"DATABASE_URL_FILE: {FILE_ERRORS[content]}"]


def test_a_file_with_an_invalid_value_is_reported_with_its_variable(environment, secret_file):
    path = secret_file(b"mysql://localhost/swordfish")
    [error] = load_errors(environment, DATABASE_URL_FILE=path)
    assert error.startswith("DATABASE_URL_FILE: Begin with")
    assert "swordfish" not in error


def test_an_unreadable_file_is_reported_beside_other_errors(environment, tmp_path):
    errors = load_errors(
        environment, DATABASE_URL_FILE=str(tmp_path / "missing"), ALCHEMIST_WORKERS="0"
    )
    assert errors[0] == "DATABASE_URL_FILE: Cannot be read (No such file or directory)."
    assert [error.partition(":")[0] for error in errors[1:]] == ["ALCHEMIST_WORKERS"]


def test_a_secret_and_its_file_are_one_error(environment, secret_file):
    path = secret_file(URL.encode())
    errors = load_errors(environment, DATABASE_URL=URL, DATABASE_URL_FILE=path)
    assert errors == ["DATABASE_URL_FILE: Set either it or DATABASE_URL."]


def test_a_setting_that_is_not_secret_has_no_file(environment):
    [error] = load_errors(environment, DATABASE_URL=URL, ALCHEMIST_WORKERS_FILE="/x")
    assert error.startswith("ALCHEMIST_WORKERS_FILE: ")


def test_an_override_replaces_the_variable_and_its_file(environment):
    environment(DATABASE_URL="nonsense", DATABASE_URL_FILE="/missing")
    url = config.parse_database_url(URL)
    assert config.load(database_url=url).database_url == url


def test_settings_are_immutable(environment):
    environment(DATABASE_URL=URL)
    with pytest.raises(AttributeError):
        config.load().threads = 8


@pytest.mark.parametrize("setting", fields(config.Settings), ids=lambda setting: setting.name)
def test_every_setting_has_a_description(setting):
    assert setting.metadata["description"].endswith(".")
    assert config.env_name(setting.name) == config.env_name(setting.name).upper()


@pytest.mark.parametrize(
    "url", ["redis://cache:6379/1", "valkeys://user:p@cache", "redis+unix:///x"]
)
def test_the_storage_of_limits_is_a_redis_or_a_valkey(environment, url):
    environment(DATABASE_URL=URL, ALCHEMIST_LIMIT_STORAGE=url)
    assert config.load().limit_storage == url


@pytest.mark.parametrize("url", ["cache:6379", "http://cache", "redis://cache:x", "redis://[::1"])
def test_any_other_storage_of_limits_is_an_error(environment, url):
    [error] = load_errors(environment, DATABASE_URL=URL, ALCHEMIST_LIMIT_STORAGE=url)
    assert error == "ALCHEMIST_LIMIT_STORAGE: Must be like redis://host:6379/0 or valkey://host."


def test_limits_behind_a_unix_socket_need_its_proxy(environment):
    limited = {
        "DATABASE_URL": URL,
        "ALCHEMIST_BIND": "unix:/run/alchemist.sock",
        "ALCHEMIST_LIMIT_REQUESTS": "600",
    }
    [error] = load_errors(environment, **limited)
    assert error.startswith("ALCHEMIST_TRUSTED_PROXIES: Must contain `unix`")
    environment(**limited, ALCHEMIST_TRUSTED_PROXIES="unix")
    assert config.load().limit_requests == 600
