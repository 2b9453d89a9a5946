"""The units of systemd: systemd accepts them, and gunicorn speaks its protocols."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import closing
from dataclasses import fields
from http.client import HTTPConnection

import pytest

from alchemist import config
from alchemist.cli import main
from alchemist.config import env_name
from alchemist.database import PROJECT_ROOT
from tests.servers import TIMEOUT

DIRECTORY = PROJECT_ROOT / "deploy/systemd"
UNITS = sorted(file.name for file in DIRECTORY.iterdir())
SERVICES = [name for name in UNITS if name.endswith(".service")]
# Of ten, by systemd's own measure.
MAX_EXPOSURE = 15
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")


def settings(unit):
    """Return the values of a unit by name, in lists."""
    values = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", (DIRECTORY / unit).read_text(), re.MULTILINE):
        values.setdefault(name, []).append(value)
    return values


def systemd_analyze(*arguments):
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False
    )


@needs_systemd
def test_systemd_accepts_the_units(tmp_path):
    programs = tmp_path / ".venv/bin"
    programs.mkdir(parents=True)
    for name in ("alchemist", "gunicorn"):
        (programs / name).touch(mode=0o755)
    for unit in UNITS:
        text = (DIRECTORY / unit).read_text().replace("/opt/alchemist", str(tmp_path))
        (tmp_path / unit).write_text(text)
    result = systemd_analyze("verify", "--man=no", *(str(tmp_path / unit) for unit in UNITS))
    assert (result.returncode, result.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("unit", SERVICES)
def test_a_service_is_hardened(unit):
    arguments = ["--offline=true", "--no-pager", f"--threshold={MAX_EXPOSURE}"]
    result = systemd_analyze("security", *arguments, str(DIRECTORY / unit))
    assert result.returncode == 0, result.stdout.splitlines()[-1]


@pytest.mark.parametrize("unit", SERVICES)
def test_a_service_runs_a_command_with_limits_and_settings_that_exist(unit):
    values = settings(unit)
    program, *arguments = values["ExecStart"][0].split()
    assert program.removeprefix("/opt/alchemist/.venv/bin/") in {"gunicorn", "alchemist"}
    assert arguments == ["wsgi:app"] or arguments[0] in main.commands
    assert {"MemoryMax", "CPUQuota", "TasksMax", "User"} <= values.keys()
    # It would remove the files of the other units in /dev/shm.
    assert "RemoveIPC" not in values
    names = {env_name(setting.name) for setting in fields(config.Settings)}
    used = set(re.findall(r"\bALCHEMIST_\w+", (DIRECTORY / unit).read_text()))
    assert used <= names


def test_the_services_are_hardened_alike():
    [hardening] = {
        (DIRECTORY / unit)
        .read_text()
        .partition("# Hardening")[2]
        .partition("\n[Install]")[0]
        .strip()
        for unit in SERVICES
    }
    assert "NoNewPrivileges=yes" in hardening


def test_only_the_migrations_have_the_credentials_of_the_owner():
    owners = [unit for unit in SERVICES if "owner-url" in (DIRECTORY / unit).read_text()]
    assert owners == ["alchemist-migrate.service"]


def test_every_timer_starts_a_service():
    timers = [unit for unit in UNITS if unit.endswith(".timer")]
    assert timers == ["alchemist-expire-orders.timer", "alchemist-purge.timer"]
    assert all(timer.replace(".timer", ".service") in SERVICES for timer in timers)


def test_the_service_has_time_for_a_graceful_shutdown():
    conf = (PROJECT_ROOT / "gunicorn.conf.py").read_text()
    [graceful] = re.findall(r"^graceful_timeout = (\d+)\b", conf, re.MULTILINE)
    assert int(settings("alchemist.service")["TimeoutStopSec"][0]) > int(graceful)


@pytest.mark.slow
def test_gunicorn_takes_the_socket_and_reports_when_it_is_ready(fresh_database, tmp_path):
    """systemd passes the socket as descriptor 3, and gets a datagram (sd_notify(3))."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications,
    ):
        notifications.bind(str(tmp_path / "notify"))
        notifications.settimeout(TIMEOUT)
        os.set_inheritable(listener.fileno(), True)
        command = (
            f"exec 3<&{listener.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 "
            f"exec {sys.executable} -m gunicorn wsgi:app"
        )
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=PROJECT_ROOT,
            env=os.environ
            | {
                "DATABASE_URL": fresh_database.render_as_string(hide_password=False),
                "ALCHEMIST_BIND": f"unix:{tmp_path}/unused.sock",
                "NOTIFY_SOCKET": str(tmp_path / "notify"),
            },
            pass_fds=[listener.fileno()],
            stderr=subprocess.DEVNULL,
        )
        try:
            assert b"READY=1" in notifications.recv(1000)
            connection = HTTPConnection(*listener.getsockname(), timeout=TIMEOUT)
            with closing(connection):
                connection.request("GET", "/livez")
                assert connection.getresponse().status == 200
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(TIMEOUT) == 0
    assert not (tmp_path / "unused.sock").exists()
