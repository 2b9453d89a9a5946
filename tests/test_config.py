"""Settings: read from the environment and `.env`, and refused all at once."""

import os
from dataclasses import fields

import pytest
from gunicorn.util import parse_address

from alchemist import config

URL = "postgresql://alchemist:swordfish@localhost/alchemist"


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Set this process's environment to these variables alone, in an empty directory."""
    before = dict(os.environ)
    monkeypatch.chdir(tmp_path)

    def replace(**variables):
        for name in list(os.environ):
            if name == "DATABASE_URL" or name.startswith("ALCHEMIST_"):
                del os.environ[name]
        os.environ.update(variables)

    replace()
    yield replace
    # `.env` is read into the environment itself, which monkeypatch would not notice.
    os.environ.clear()
    os.environ.update(before)


def mistakes(environment, **variables):
    environment(**variables)
    with pytest.raises(config.ConfigurationError) as caught:
        config.load()
    assert str(caught.value) == "\n".join(caught.value.mistakes)
    return caught.value.mistakes


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_three_schemes_name_one_driver(environment, scheme):
    environment(DATABASE_URL=URL.replace("postgresql", scheme))
    url = config.load().database_url
    assert (url.drivername, url.host, url.password) == (
        "postgresql+psycopg",
        "localhost",
        "swordfish",
    )


@pytest.mark.parametrize(
    "url",
    [
        *("mysql://h/d", "postgresql+asyncpg://h/d", "sqlite://", "nonsense", ""),
        *("postgresql://h:x/", f"postgresql://{'h' * 64}/d", "postgresql://h/\udcff"),
    ],
)
def test_any_other_url_is_refused_by_the_name_of_its_variable(environment, url):
    [mistake] = mistakes(environment, DATABASE_URL=url)
    assert mistake.startswith("DATABASE_URL: ")


def test_the_url_is_the_only_setting_that_must_be_there(environment):
    [mistake] = mistakes(environment)
    assert mistake.startswith("DATABASE_URL: ")
    environment(DATABASE_URL=URL)
    assert config.load().workers == 2


WRONG = {
    "ALCHEMIST_BIND": [
        *("", ":", "foo", "8000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:abc", "127.0.0.1:99999"),
        *("127.0.0.1:-1", "127.0.0.1:8000:1", "127.0.0.1: 8000", "a b:8000", "http://a:8000"),
        *("::1:8000", "[::1]", "[::1]:", "[::1:8000", "[a]:8000", "unix:", "fd://", "fd://x"),
        *("127.0.0.1:8000,", "127.0.0.1:8000,foo"),
    ],
    "ALCHEMIST_WORKERS": ["0", "65", "two", "1.5", ""],
    "ALCHEMIST_THREADS": ["0", "-1"],
    "ALCHEMIST_POOL_TIMEOUT": ["0", "6", "soon", "nan"],
    "ALCHEMIST_REQUEST_TIMEOUT": ["0", "2", "61", "nan"],
    "ALCHEMIST_STATEMENT_TIMEOUT": ["0", "31", "inf", "nan"],
    "ALCHEMIST_LOCK_TIMEOUT": ["0", "1s", "nan"],
    "ALCHEMIST_PREPARED_STATEMENTS": ["maybe"],
    "ALCHEMIST_LOG_LEVEL": ["loud"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_mistake_is_told_with_the_name_of_its_variable(environment, name, value):
    [mistake] = mistakes(environment, DATABASE_URL=URL, **{name: value})
    assert mistake.startswith(f"{name}: ")


@pytest.mark.parametrize(
    "bind",
    [
        *("127.0.0.1:8000", "localhost:0", "shop.example:65535", ":8000", "[::1]:8000", "[::]:80"),
        *("unix:/run/http.sock", "unix:///run/http.sock", "unix:http.sock", "fd://3"),
        *("tcp://0.0.0.0:8000", "127.0.0.1:8000,unix:http.sock"),
    ],
)
def test_what_gunicorn_listens_on_may_be_written_in_its_ways(environment, bind):
    environment(DATABASE_URL=URL, ALCHEMIST_BIND=bind)
    assert config.load().bind == bind
    for one in bind.split(","):
        assert parse_address(one)


@pytest.mark.parametrize(("inner", "outer"), config.TIMEOUT_ORDER)
def test_a_limit_that_is_not_inside_of_the_next_is_told_with_both_names(environment, inner, outer):
    inner, outer = config.env_name(inner), config.env_name(outer)
    longer = {"ALCHEMIST_REQUEST_TIMEOUT": "4", "ALCHEMIST_STATEMENT_TIMEOUT": "3"}
    mistake, *_ = mistakes(environment, DATABASE_URL=URL, **longer | {inner: longer[outer]})
    assert mistake.startswith(f"{inner}: ")
    assert outer in mistake


def test_a_request_has_time_to_wait_for_a_connection_and_then_for_a_statement(environment):
    [mistake] = mistakes(environment, DATABASE_URL=URL, ALCHEMIST_POOL_TIMEOUT="1.1")
    assert mistake.startswith("ALCHEMIST_POOL_TIMEOUT: ")
    assert "ALCHEMIST_STATEMENT_TIMEOUT" in mistake
    assert "ALCHEMIST_REQUEST_TIMEOUT" in mistake


def test_the_defaults_are_nested(environment):
    environment(DATABASE_URL=URL)
    settings = config.load()
    for inner, outer in config.TIMEOUT_ORDER:
        assert getattr(settings, inner) < getattr(settings, outer)
    assert settings.pool_timeout + settings.statement_timeout <= settings.request_timeout


def test_every_mistake_is_told_at_once(environment):
    found = mistakes(
        environment, ALCHEMIST_WORKERS="0", ALCHEMIST_LOG_LEVEL="loud", ALCHEMIST_COLOUR="red"
    )
    assert {mistake.partition(":")[0] for mistake in found} == {
        "DATABASE_URL",
        "ALCHEMIST_WORKERS",
        "ALCHEMIST_LOG_LEVEL",
        "ALCHEMIST_COLOUR",
    }


def test_a_misspelt_variable_is_told_with_the_one_that_was_meant(environment):
    [mistake] = mistakes(environment, DATABASE_URL=URL, ALCHEMIST_TREADS="8")
    assert mistake.startswith("ALCHEMIST_TREADS: ")
    assert "ALCHEMIST_THREADS" in mistake


def test_a_variable_of_the_tests_is_no_mistake(environment):
    environment(DATABASE_URL=URL, ALCHEMIST_TEST_DATABASE_URL="postgresql://localhost/x")
    assert config.load()


def test_a_file_fills_what_the_environment_leaves_open(environment, tmp_path):
    environment(ALCHEMIST_THREADS="7")
    lines = [f"DATABASE_URL={URL}", "ALCHEMIST_THREADS=9", "ALCHEMIST_WORKERS=3"]
    (tmp_path / ".env").write_text("\n".join(lines))
    settings = config.load()
    assert (settings.threads, settings.workers) == (7, 3)


def test_a_mistake_in_a_file_is_told_like_any_other(environment, tmp_path):
    (tmp_path / ".env").write_text("ALCHEMIST_WORKERS=0\nALCHEMIST_COLOUR=red\n")
    found = mistakes(environment, DATABASE_URL=URL)
    assert {mistake.partition(":")[0] for mistake in found} == {
        "ALCHEMIST_WORKERS",
        "ALCHEMIST_COLOUR",
    }


UNREADABLE = {
    "Latin-1": "ALCHEMIST_LOG_LEVEL=gehört".encode("latin-1"),
    "UTF-16": f"DATABASE_URL={URL}".encode("utf-16"),
    "no text": b"ALCHEMIST_WORKERS=3\0",
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_is_no_text_is_one_mistake(environment, tmp_path, content):
    (tmp_path / ".env").write_bytes(content)
    [mistake] = mistakes(environment)
    assert mistake.startswith(".env: Must be ")


def test_a_directory_in_place_of_the_file_is_one_mistake(environment, tmp_path):
    (tmp_path / ".env").mkdir()
    assert mistakes(environment) == [".env: Cannot be read (Is a directory)."]


def test_a_file_that_may_not_be_read_is_one_mistake(environment, monkeypatch):
    def refuse(*arguments, **how):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(config.Path, "read_text", refuse)
    assert mistakes(environment) == [".env: Cannot be read (Permission denied)."]


NO_ASSIGNMENTS = [
    "swordfish",
    "DATABASE_URL: swordfish",
    "ALCHEMIST_WORKERS",
    "=swordfish",
    "ALCHEMIST_LOG_LEVEL='sword'fish",
    "'ALCHEMIST=WORKERS'=swordfish",
]


@pytest.mark.parametrize("line", NO_ASSIGNMENTS)
def test_a_line_that_is_no_assignment_is_told_by_its_number(environment, tmp_path, line):
    lines = ["# the shop", "ALCHEMIST_THREADS=7", "", line, "", "   ", line]
    (tmp_path / ".env").write_text("\r\n".join(lines))
    found = mistakes(environment, DATABASE_URL=URL)
    assert found == [".env: Line 4 is no assignment.", ".env: Line 7 is no assignment."]


def test_a_file_may_have_what_shells_and_editors_add(environment, tmp_path):
    lines = ["\ufeffALCHEMIST_WORKERS=3", "export ALCHEMIST_THREADS='7'  # of each", "OTHER="]
    (tmp_path / ".env").write_text("\n".join(lines), "utf-8")
    environment(DATABASE_URL=URL)
    assert (config.load().workers, config.load().threads) == (3, 7)


def test_a_file_of_a_directory_above_is_not_read(environment, tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("ALCHEMIST_WORKERS=3")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    environment(DATABASE_URL=URL)
    assert config.load().workers == 2


@pytest.mark.parametrize(
    "url", [URL, URL.replace("postgresql", "mysql"), URL.replace("localhost", "localhost:port")]
)
def test_a_password_is_never_shown(environment, url):
    environment(DATABASE_URL=url)
    try:
        shown = repr(config.load())
    except config.ConfigurationError as error:
        shown = f"{error!r} {error} {error.mistakes}"
    assert "swordfish" not in shown


def test_settings_cannot_be_changed(environment):
    environment(DATABASE_URL=URL)
    with pytest.raises(AttributeError):
        config.load().threads = 8


@pytest.mark.parametrize("setting", fields(config.Settings), ids=lambda setting: setting.name)
def test_every_setting_says_what_it_means(setting):
    assert setting.metadata["meaning"].endswith(".")
    assert config.env_name(setting.name) == config.env_name(setting.name).upper()
