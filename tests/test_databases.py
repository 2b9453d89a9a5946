"""The cached cluster of the tests is used again, unless something may have changed it."""

from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from alchemist.config import parse_database_url
from tests import databases

SERVER = parse_database_url("postgresql://localhost/alchemist")


class FakePostgres:
    """Has the data directory of a server, and does not run."""

    url = SERVER
    started: list[Path] = []

    def __init__(self, path, durable):
        path.mkdir(exist_ok=True)
        self.started.append(path)

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
    return built


@contextmanager
def started(cache):
    """Yield the data directory of a server."""
    with ExitStack() as stack:
        databases.start(stack, cache)
        yield FakePostgres.started[-1]


def start_and_stop(cache):
    with started(cache):
        pass


def test_a_later_run_uses_the_cluster_again(built, tmp_path):
    start_and_stop(tmp_path)
    start_and_stop(tmp_path)
    assert built == [SERVER]


def test_runs_at_the_same_time_have_a_copy_each(built, tmp_path):
    with started(tmp_path) as first, started(tmp_path) as second:
        assert first != second
    assert len(built) == 1


def test_other_migrations_build_the_cluster_again(built, tmp_path, monkeypatch):
    cache, migrations = tmp_path / "cache", tmp_path / "migrations"
    cache.mkdir()
    migrations.mkdir()
    monkeypatch.setattr(databases, "PROJECT_ROOT", tmp_path)
    for content in ("a", "b"):
        (migrations / "0001.py").write_text(content)
        start_and_stop(cache)
        start_and_stop(cache)
    assert len(built) == 2


def test_only_the_latest_cluster_stays(built, tmp_path, monkeypatch):
    for name in ("former", "latest"):
        monkeypatch.setattr(databases, "_hash_sources", lambda name=name: name)
        start_and_stop(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["latest"]


def test_a_cluster_that_was_not_completed_is_built_again(built, tmp_path, monkeypatch):
    def fail(_server):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(databases, "_create_template", fail)
        with pytest.raises(KeyboardInterrupt):
            start_and_stop(tmp_path)
    (tmp_path / "staging-of-a-killed-run").mkdir()
    start_and_stop(tmp_path)
    assert len(built) == 1


def test_without_a_usable_cache_the_cluster_is_temporary(built, tmp_path):
    start_and_stop(tmp_path / "missing")
    start_and_stop(None)
    assert len(built) == 2
    assert list(tmp_path.iterdir()) == []
