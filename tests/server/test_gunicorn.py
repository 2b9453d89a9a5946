"""The members of gunicorn that the worker uses: most are undocumented, so gunicorn is pinned."""

import inspect
import os

import gunicorn
import gunicorn.util
import pytest
from gunicorn.config import Config
from gunicorn.http import RequestParser
from gunicorn.workers.gthread import ThreadWorker

from alchemist.database import PROJECT_ROOT
from alchemist.server import BufferingWorker

OVERRIDDEN = {
    *("accept", "check_config", "enqueue_req", "get_thread_pool", "init_process"),
    *("murder_keepalived", "set_accept_enabled", "wait_for_and_dispatch_events"),
}
USED = {
    *("alive", "cfg", "handle_error", "handle_request", "log", "method_queue", "nr_conns"),
    *("poller", "sockets", "tpool", "worker_connections"),
}
USED_OF_REQUEST = {
    *("_expected_100_continue", "body", "force_close", "method", "path", "should_close"),
}
USED_OF_UTIL = {"write_error", "write_nonblock"}


def missing(owner, names):
    return {name for name in names if not hasattr(owner, name)}


@pytest.fixture
def thread_worker():
    """gunicorn's own threaded worker."""
    worker = ThreadWorker(1, os.getpid(), [], None, 30, Config(), None)
    yield worker
    worker.tmp.close()


def test_gunicorn_is_the_version_that_the_worker_is_written_for(thread_worker):
    assert gunicorn.__version__ == "27.0.1"
    assert '"gunicorn==27.0.1"' in (PROJECT_ROOT / "pyproject.toml").read_text()
    assert missing(thread_worker, OVERRIDDEN | USED) == set()
    assert missing(gunicorn.util, USED_OF_UTIL) == set()


def test_gunicorns_parser_has_the_members_that_connections_use():
    head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n"
    parser = RequestParser(Config(), iter([head]), ("127.0.0.1", 1))
    request = next(parser)
    assert missing(request, USED_OF_REQUEST) == set()
    assert request.body.reader.length == 1
    assert parser.unreader.take_buffered() == b""
    assert missing(parser, {"finish_body"}) == set()


def test_the_lists_of_the_workers_members_are_complete(thread_worker):
    classes = [each for each in BufferingWorker.mro() if each.__module__.startswith("alchemist.")]
    members = [member for each in classes for member in vars(each).items()]
    defined = {name for name, _ in members}
    functions = [getattr(value, "__func__", value) for _, value in members]
    used = {
        name
        for function in filter(inspect.isfunction, functions)
        for name in function.__code__.co_names
    }
    inherited = {name for name in dir(thread_worker) if not name.startswith("__")}
    assert inherited & defined == OVERRIDDEN
    assert inherited & used - defined == USED
