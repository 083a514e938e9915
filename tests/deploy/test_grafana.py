"""Grafana's dashboards are built from one table, ask the data source that is provisioned, and leave no panel out unsaid."""

import runpy

import yaml

from tests.monitoring.dashboards import GRAFANA, NODE_EXPORTER, panels, why_elsewhere


def test_the_dashboards_are_those_that_are_built() -> None:
    built = runpy.run_path(str(GRAFANA / "build.py"))
    for name in built["DASHBOARDS"]:
        assert (GRAFANA / "dashboards" / f"{name}.json").read_text(encoding="utf-8") == built["render"](name)


def test_panels_ask_the_data_source_that_is_provisioned() -> None:
    provisioned = yaml.safe_load((GRAFANA / "provisioning/datasources/portal.yml").read_text(encoding="utf-8"))
    (source,) = provisioned["datasources"]
    assert {panel["datasource"]["uid"] for _, panel in panels()} == {source["uid"]}


def test_each_panel_that_is_not_read_here_has_its_reason() -> None:
    left_out = {panel["title"] for _, panel in panels() if any(why_elsewhere(target["expr"]) for target in panel["targets"])}
    known = {"Age of the last backup", "Certificate expires in", "Connections to PostgreSQL", "Memory of Redis"}
    hosts = {"Processors in use", "Memory in use", "Disks in use", "Network"}
    assert left_out == known | {"Connections to nginx"} | (set() if NODE_EXPORTER else hosts)
