"""The cached cluster of the tests is used again, unless something may have changed it."""

from contextlib import ExitStack, contextmanager

import pytest

from alchemist.config import parse_database_url
from tests import databases

SERVER = parse_database_url("postgresql://localhost/alchemist")


class FakePostgres:
    """Has the data directory of a server, and does not run."""

    url = SERVER

    def __init__(self, path, durable):
        path.mkdir(exist_ok=True)
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def built(monkeypatch):
    """A list with an item for each template that is built."""
    built = []
    monkeypatch.delenv("ALCHEMIST_TEST_DATABASE_URL", raising=False)
    monkeypatch.setattr(databases, "EmbeddedPostgres", FakePostgres)
    monkeypatch.setattr(databases, "_create_template", built.append)
    monkeypatch.setattr(databases, "_count_databases", lambda _: 1)
    return built


@contextmanager
def started(cache):
    with ExitStack() as stack:
        databases.start(stack, cache)
        yield


def start_and_stop(cache):
    with started(cache):
        pass


def test_a_later_run_uses_the_cluster_again(built, tmp_path):
    start_and_stop(tmp_path)
    start_and_stop(tmp_path)
    assert built == [SERVER]


def test_runs_at_the_same_time_have_a_cluster_each(built, tmp_path):
    with started(tmp_path):
        start_and_stop(tmp_path)
    assert len(built) == 2
    with started(tmp_path):
        start_and_stop(tmp_path)
    assert len(built) == 2


def test_a_run_that_finds_all_slots_in_use_has_a_temporary_cluster(built, tmp_path):
    with ExitStack() as stack:
        for _ in range(databases.MAX_SLOTS):
            stack.enter_context(started(tmp_path))
        files = sorted(tmp_path.iterdir())
        start_and_stop(tmp_path)
        start_and_stop(tmp_path)
        assert sorted(tmp_path.iterdir()) == files
    assert len(built) == databases.MAX_SLOTS + 2


def test_other_migrations_build_the_cluster_again(built, tmp_path, monkeypatch):
    start_and_stop(tmp_path)
    (tmp_path / "migrations").mkdir()
    monkeypatch.setattr(databases, "PROJECT_ROOT", tmp_path)
    for content in ("a", "b"):
        file = tmp_path / "migrations" / "0001.py"
        file.write_text(content)
        start_and_stop(tmp_path)
        start_and_stop(tmp_path)
    assert len(built) == 3


def test_a_cluster_with_a_leftover_database_is_built_again(built, tmp_path, monkeypatch):
    """A worker of pytest-xdist that is killed leaves its database."""
    monkeypatch.setattr(databases, "_count_databases", lambda _: 2)
    start_and_stop(tmp_path)
    start_and_stop(tmp_path)
    assert len(built) == 2


def test_a_cluster_whose_run_was_killed_is_built_again(built, tmp_path):
    start_and_stop(tmp_path)
    with started(tmp_path):
        assert not list(tmp_path.glob("*/key"))
    [key] = tmp_path.glob("*/key")
    key.unlink()
    start_and_stop(tmp_path)
    assert len(built) == 2


def test_without_a_usable_cache_the_cluster_is_temporary(built, tmp_path):
    start_and_stop(tmp_path / "missing")
    start_and_stop(None)
    assert len(built) == 2
    assert list(tmp_path.iterdir()) == []
