"""The dashboard and the alerts: they are well-formed, and their queries parse."""

import re
from itertools import combinations

import pytest

from tests.deploy import monitoring
from tests.deploy.monitoring import DASHBOARD, PANELS, RULES


@pytest.mark.parametrize("query", monitoring.queries())
def test_every_query_parses_and_reads_a_metric(query):
    metrics, _ = monitoring.metrics_and_labels(query)
    assert metrics


def test_a_malformed_query_does_not_parse():
    with pytest.raises(ValueError, match="unclosed"):
        monitoring.parse("sum(rate(up[5m])")


def test_the_names_in_a_query_are_found_wherever_they_are():
    query = 'topk(2, sum by (a) (rate(b_total{c="d"}[5m])) * on (e) group_left (f) g) > h'
    metrics, labels = monitoring.metrics_and_labels(query)
    assert metrics == {"b_total", "g", "h"}
    assert labels >= {"a", "c"}


def test_the_panels_have_what_grafana_needs():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    assert DASHBOARD["schemaVersion"] >= 39
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
        for source in [panel, *panel["targets"]]:
            assert source["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_the_panels_do_not_overlap():
    def cells(panel):
        grid = panel["gridPos"]
        rows, columns = (
            range(grid["y"], grid["y"] + grid["h"]),
            range(grid["x"], grid["x"] + grid["w"]),
        )
        assert columns.stop <= 24
        return {(row, column) for row in rows for column in columns}

    for one, other in combinations(DASHBOARD["panels"], 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])


def test_the_variables_of_the_dashboard_are_those_of_its_queries():
    names = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", str(DASHBOARD["panels"]))) - {"__rate_interval"}
    assert used == names == {"datasource", "job", "instance"}


def test_every_alert_says_what_is_wrong_and_how_bad_it_is():
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert re.fullmatch(r"\d+[mh]", rule["for"])
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"].endswith(".")
        _, labels = monitoring.metrics_and_labels(rule["expr"])
        named = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert named <= labels | monitoring.ADDED_LABELS
