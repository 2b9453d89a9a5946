"""The configuration of HAProxy for several nodes; `tests.faults.rolling_upgrade` uses it."""

import re
import subprocess

import pytest

from alchemist.config import Settings
from tests.haproxy import CONF, PROGRAM


@pytest.mark.skipif(not PROGRAM, reason="needs Debian's haproxy")
def test_haproxy_accepts_its_configuration(tmp_path):
    conf = tmp_path / "haproxy.cfg"
    conf.write_text(CONF)
    variables = {"BIND": "127.0.0.1:8080", "NODE1": "127.0.0.1:8001", "NODE2": "localhost:8002"}
    result = subprocess.run(
        [PROGRAM, "-c", "-f", str(conf)], capture_output=True, text=True, check=False, env=variables
    )
    assert (result.returncode, "WARNING" in result.stderr) == (0, False), result.stderr


def test_haproxy_asks_for_readiness_and_waits_longer_than_a_request_may_take(app):
    [path] = re.findall(r"option httpchk GET (\S+)", CONF)
    assert path in {rule.rule for rule in app.url_map.iter_rules()}
    [seconds] = re.findall(r"timeout server (\d+)s", CONF)
    assert int(seconds) > Settings.request_timeout
