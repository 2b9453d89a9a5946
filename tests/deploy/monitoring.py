"""The queries of the dashboard and of the alerts, with the metrics and labels that they use."""

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import yaml

from alchemist.database import PROJECT_ROOT

DASHBOARD = json.loads((PROJECT_ROOT / "deploy/grafana/alchemist.json").read_text())
ALERTS = yaml.safe_load((PROJECT_ROOT / "deploy/prometheus/alerts.yml").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
# Prometheus adds them to what it scrapes.
ADDED_METRICS, ADDED_LABELS = {"up"}, {"instance", "job"}
GRAFANA_VARIABLES = {"$__rate_interval": "5m", "$job": "alchemist", "$instance": ".*"}


def queries() -> list[str]:
    """Return the PromQL of all panels and alerts."""
    of_panels = [target["expr"] for panel in PANELS for target in panel["targets"]]
    return [*map(_replace_variables, of_panels), *(rule["expr"] for rule in RULES)]


def _replace_variables(query: str) -> str:
    return re.sub(r"\$\w+", lambda match: GRAFANA_VARIABLES[match[0]], query)


def parse(query: str) -> Any:
    """Return the expression; raise ValueError if the query is malformed."""
    return promql_parser.parse(query)


def metrics_and_labels(query: str) -> tuple[set[str], set[str]]:
    """Return the names of the metrics that a query reads, and of the labels that it names."""
    metrics, labels = set(), set()
    for node in _walk(parse(query)):
        if isinstance(node, promql_parser.VectorSelector):
            metrics.add(node.name)
            labels |= {matcher.name for matcher in node.matchers.matchers}
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            labels |= set(node.modifier.labels)
    return metrics, labels


def _walk(node: Any) -> Iterator[Any]:
    """Yield an expression and those inside it."""
    yield node
    for name in ("args", "expr", "lhs", "rhs", "vector_selector", "param"):
        children = getattr(node, name, None)
        for child in children if isinstance(children, list) else [children]:
            if child is not None and hasattr(child, "prettify"):
                yield from _walk(child)
