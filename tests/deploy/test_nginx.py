"""The README's upstream of several nodes, in the nginx configuration of the Dockerfile."""

import re
import shutil
import subprocess
from textwrap import dedent

import pytest

from alchemist.database import PROJECT_ROOT
from tests.nginx import NGINX_CONF

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
UPSTREAM = r"^ *upstream service \{.*?^ *\}\n"


@pytest.mark.skipif(not NGINX, reason="needs Debian's nginx-light")
def test_nginx_accepts_several_nodes(tmp_path):
    readme = (PROJECT_ROOT / "README.md").read_text()
    [upstream] = re.findall(UPSTREAM, readme, re.MULTILINE | re.DOTALL)
    text = re.sub(UPSTREAM, dedent(upstream), NGINX_CONF, flags=re.MULTILINE | re.DOTALL)
    assert text.count("max_fails=1") == 2
    conf = tmp_path / "nginx.conf"
    conf.write_text(text.replace("/tmp/", f"{tmp_path}/"))
    command = [NGINX, "-t", "-e", "stderr", "-c", str(conf)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
