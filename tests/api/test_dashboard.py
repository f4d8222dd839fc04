"""The dashboard and the alerting rules ask for nothing that `/metrics` does not have."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "grafana"
NAME = re.compile(r"\b(?:click2call|process|python)_\w+")


def dashboard_expressions() -> list[str]:
    dashboard = json.loads((FOLDER / "click2call.json").read_text())
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    variables = [variable["query"]["query"] for variable in dashboard["templating"]["list"][1:]]
    return targets + variables


def alert_expressions() -> list[str]:
    return re.findall(r"expr: (?:>-\n\s+)?((?:.+\n)+?)\s+(?:for|labels):", (FOLDER / "alerts.yml").read_text())


@pytest.mark.parametrize(
    ("expressions", "count"), [(dashboard_expressions(), 30), (alert_expressions(), 10)], ids=["dashboard", "alerts"]
)
async def test_every_expression_names_metrics_that_exist(site, expressions, count):
    body = (await site.fetch("/metrics")).body.decode()
    exposed = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", body, re.MULTILINE):
        exposed |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    asked = [set(NAME.findall(expression)) for expression in expressions]
    assert len(asked) >= count
    assert set().union(*asked) <= exposed
    assert [expression for expression, names in zip(expressions, asked, strict=True) if not names] in ([], [
        'up{job="click2call"} == 0\n'
    ])  # fmt: skip


def test_the_documentation_names_every_metric_of_the_dashboard():
    told = (FOLDER.parent / "operations.md").read_text()
    asked = set().union(*(NAME.findall(expression) for expression in dashboard_expressions()))
    histograms = {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in asked if name.startswith("click2call_")}
    short = {name for name in histograms if name not in told}
    assert short <= {"click2call_leg_slots_free", "click2call_leg_slots_reserved"}
