"""The README's commands restore a database to a point in time, with every write before it."""

import re
import shlex
import shutil
import signal
from datetime import UTC

import pytest
from click.testing import CliRunner

from alchemist.cli import main
from alchemist.database import PROJECT_ROOT
from alchemist.embedded import EmbeddedPostgres
from alchemist.embedded.data_directory import make_server_directory
from tests.servers import Gunicorn
from tests.standbys import Primary, kill, wait_until

pytestmark = pytest.mark.slow
INGREDIENTS = "/api/v2/ingredients"
SECTION = (
    (PROJECT_ROOT / "README.md")
    .read_text()
    .partition("<summary>Restore to a point in time</summary>")[2]
    .partition("</details>")[0]
)
TARGET = "2026-11-20 02:00:00+00"


def settings(*prefixes):
    """Return the README's lines of `postgresql.conf` that begin with these."""
    lines = re.findall(r"^    (\w+) = '?(.*?)'?$", SECTION, re.MULTILINE)
    return {name: value for name, value in lines if name.startswith(prefixes)}


class ArchivingPrimary(Primary):
    """A PostgreSQL that archives its log into a directory beside its own."""

    def __init__(self, path):
        super().__init__(path)
        self.archive, self.backup = path.with_name("archive"), path.with_name("backup")
        self._settings |= {
            name: value.replace("/archive/", f"{self.archive}/")
            for name, value in settings("archive_").items()
        }

    def start(self, *args):
        make_server_directory(self.archive)
        return super().start(*args)

    def make_base_backup(self):
        [command] = re.findall(r"^    (pg_basebackup .*)$", SECTION, re.MULTILINE)
        program, *options = shlex.split(command.replace("/backup/base", str(self.backup)))
        make_server_directory(self.backup)
        source = ["-h", str(self.directory.socket_dir), "-p", "5432", "-U", "alchemist"]
        process = self._spawn_program(
            program, self.backup, [*options, *source], death_signal=signal.SIGKILL
        )
        assert process.wait() == 0, self.directory.log.read_text()

    def archived(self, file):
        return (self.archive / file).exists()


class RestoredPrimary(Primary):
    """A copy of the base backup of another one, restored to a time."""

    def __init__(self, path, other, target_time):
        super().__init__(path)
        self._other = other
        self._settings |= {
            name: value.replace("/archive/", f"{other.archive}/").replace(TARGET, target_time)
            for name, value in settings("restore_", "recovery_").items()
        }

    def start(self, *args):
        process = EmbeddedPostgres.start(self, *args)
        wait_until(lambda: self.execute("SELECT pg_is_in_recovery()") == [(False,)])
        return process

    def _initdb(self):
        # A move keeps the owner of the files.
        shutil.move(self._other.backup, self.directory.cluster)
        (self.directory.cluster / "recovery.signal").touch()


def create(server, *names):
    for name in names:
        body = f'{{"name": "{name}"}}'
        headers = {"Content-Type": "application/json"}
        assert server.request("POST", INGREDIENTS, body, **headers).status == 201


def names(postgres):
    return [name for (name,) in postgres.execute("SELECT name FROM ingredients ORDER BY pk")]


def test_a_restore_has_exactly_the_writes_before_its_time(tmp_path, monkeypatch):
    with ArchivingPrimary(tmp_path / "lost") as lost:
        with Gunicorn(lost.url, tmp_path) as server:
            create(server, "before the backup")
            lost.make_base_backup()
            create(server, "after the backup", "just before")
            [(target,)] = lost.execute("SELECT clock_timestamp()")
            create(server, "just after", "long after")
        [(file,)] = lost.execute("SELECT pg_walfile_name(pg_switch_wal())")
        wait_until(lambda: lost.archived(file))
        assert len(names(lost)) == 5
        kill(lost)
    target_time = target.astimezone(UTC).isoformat(" ")
    with RestoredPrimary(tmp_path / "restored", lost, target_time) as restored:
        assert names(restored) == ["before the backup", "after the backup", "just before"]
        monkeypatch.setenv("DATABASE_URL", restored.url.render_as_string(hide_password=False))
        assert CliRunner().invoke(main, ["verify"]).exit_code == 0
        with Gunicorn(restored.url, tmp_path) as server:
            create(server, "after the restore")
            assert server.request("GET", "/readyz").status == 200
        assert names(restored)[-1] == "after the restore"


def test_the_readme_has_the_settings_and_the_time_of_this_test():
    assert settings("archive_").keys() == {"archive_mode", "archive_command", "archive_timeout"}
    assert settings("restore_", "recovery_").keys() == {
        *("restore_command", "recovery_target_time", "recovery_target_action")
    }
    assert settings("recovery_target_time")["recovery_target_time"] == TARGET
