"""The manifests of Kubernetes: its schemas accept them, and they agree with the service."""

import re
from dataclasses import fields

import kubernetes_validate
import pytest
import yaml

import alchemist
from alchemist import config
from alchemist.cli import main
from alchemist.config import env_name
from alchemist.database import PROJECT_ROOT

FILES = sorted((PROJECT_ROOT / "deploy/kubernetes").iterdir())
MANIFESTS = [manifest for file in FILES for manifest in yaml.safe_load_all(file.read_text())]
# The oldest that has the `sleep` of preStop by default, and the newest.
VERSIONS = ("1.30", kubernetes_validate.latest_version())


def of_kind(kind):
    return [manifest for manifest in MANIFESTS if manifest["kind"] == kind]


def pod_template(manifest):
    """Return the template of the pods of a Deployment, Job or CronJob."""
    spec = manifest["spec"]
    return spec["jobTemplate"]["spec"]["template"] if "jobTemplate" in spec else spec["template"]


TEMPLATES = [
    pod_template(manifest)
    for kind in ("Deployment", "Job", "CronJob")
    for manifest in of_kind(kind)
]
CONTAINERS = [
    container
    for template in TEMPLATES
    for name in ("initContainers", "containers")
    for container in template["spec"].get(name, [])
]
[DEPLOYMENT] = of_kind("Deployment")
[SERVICE_CONTAINER] = pod_template(DEPLOYMENT)["spec"]["containers"]
[CONFIG] = [manifest["data"] for manifest in of_kind("ConfigMap")]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: manifest["kind"])
def test_the_schema_accepts_the_manifest(manifest, version):
    kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schema_rejects_a_member_that_does_not_exist():
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(
            DEPLOYMENT | {"spec": DEPLOYMENT["spec"] | {"replica": 1}}, VERSIONS[0], strict=True
        )


def test_there_is_all_that_a_service_needs():
    kinds = [manifest["kind"] for manifest in MANIFESTS]
    assert sorted(kinds) == [
        *("ConfigMap", "CronJob", "CronJob", "Deployment", "HorizontalPodAutoscaler", "Job"),
        *("NetworkPolicy", "PodDisruptionBudget", "Service"),
    ]


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: container["name"])
def test_every_container_is_hardened_and_limited(container):
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert container["resources"]["limits"].keys() == {"cpu", "memory"}
    assert container["image"] == f"alchemist:{alchemist.__version__}"


@pytest.mark.parametrize("template", TEMPLATES)
def test_no_pod_runs_as_root_or_may_call_kubernetes(template):
    spec = template["spec"]
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True
    dockerfile = (PROJECT_ROOT / "Dockerfile").read_text()
    assert f"USER {security['runAsUser']}:{security['runAsGroup']}" in dockerfile
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False


def test_commands_and_settings_exist():
    commands = [container["command"] for container in CONTAINERS if "command" in container]
    assert {program for program, *_ in commands} == {"alchemist"}
    assert {name for _, name, *_ in commands} == {"migrate", "grant", "purge", "expire-orders"}
    assert {name for _, name, *_ in commands} <= main.commands.keys()
    assert CONFIG.keys() <= {env_name(setting.name) for setting in fields(config.Settings)}


def test_only_the_migrations_have_the_credentials_of_the_owner():
    users = {
        container["name"]
        for container in CONTAINERS
        if "alchemist-owner" in str(container.get("env"))
    }
    assert users == {"migrate", "grant"}


def test_probes_request_paths_and_ports_that_exist(app):
    ports = {port["name"]: port["containerPort"] for port in SERVICE_CONTAINER["ports"]}
    bind = CONFIG["ALCHEMIST_METRICS_BIND"]
    assert ports == {"http": 8000, "metrics": int(bind.rpartition(":")[2])}
    paths = {name: SERVICE_CONTAINER[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness")}
    assert all(probe == {"path": "/livez", "port": "http"} for probe in paths.values())
    assert SERVICE_CONTAINER["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert {"/livez", "/readyz"} <= {rule.rule for rule in app.url_map.iter_rules()}
    [service] = of_kind("Service")
    assert {port["targetPort"] for port in service["spec"]["ports"]} == {"http"}
    assert pod_template(DEPLOYMENT)["metadata"]["annotations"]["prometheus.io/port"] == str(
        ports["metrics"]
    )


def test_selectors_select_the_pods_of_the_service_alone():
    [service], [budget] = of_kind("Service"), of_kind("PodDisruptionBudget")
    service_labels = pod_template(DEPLOYMENT)["metadata"]["labels"]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == service_labels
    assert (
        service["spec"]["selector"] == budget["spec"]["selector"]["matchLabels"] == service_labels
    )
    others = [template for template in TEMPLATES if template is not pod_template(DEPLOYMENT)]
    assert all(template["metadata"]["labels"] != service_labels for template in others)
    [policy] = of_kind("NetworkPolicy")
    labels = policy["spec"]["podSelector"]["matchLabels"]
    for template in TEMPLATES:
        assert labels.items() <= template["metadata"]["labels"].items()


def test_a_pod_has_time_for_a_graceful_shutdown():
    conf = (PROJECT_ROOT / "gunicorn.conf.py").read_text()
    [graceful] = re.findall(r"^graceful_timeout = (\d+)\b", conf, re.MULTILINE)
    pause = SERVICE_CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = pod_template(DEPLOYMENT)["spec"]["terminationGracePeriodSeconds"]
    assert grace > pause + int(graceful)


def test_all_pods_together_have_no_more_connections_than_postgresql():
    [autoscaler] = of_kind("HorizontalPodAutoscaler")
    most = autoscaler["spec"]["maxReplicas"]
    most += DEPLOYMENT["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    of_pod = int(CONFIG["ALCHEMIST_WORKERS"]) * int(CONFIG["ALCHEMIST_THREADS"]) * 2
    assert most * of_pod <= 97  # of 100 PostgreSQL reserves 3
    assert autoscaler["spec"]["scaleTargetRef"]["name"] == DEPLOYMENT["metadata"]["name"]


def test_a_probe_waits_longer_than_the_service():
    probe = SERVICE_CONTAINER["readinessProbe"]
    assert probe["timeoutSeconds"] > config.Settings.request_timeout
