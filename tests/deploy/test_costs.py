"""The table of costs is what the price file and the parameter files say, and counts what the templates make."""

import importlib.util
import sys
from types import ModuleType

import pytest

from tests.deploy import templates


@pytest.fixture(scope="module")
def costs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("costs", templates.ROOM / "costs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_written_table_is_the_computed_one(costs: ModuleType) -> None:
    assert (templates.ROOM / "COSTS.md").read_text() == costs.document()


def test_a_sum_is_the_sum_of_its_rows(costs: ModuleType) -> None:
    """Two rows worked by hand."""
    lines = {line.what: line for line in costs.Stack("origin").lines()}
    assert lines["Worker: 1 x g4dn.xlarge"].month == 383.98  # 0.526 x 730
    assert lines["NAT gateways: 1"].month == 32.85  # 0.045 x 730
    total = sum(line.month for line in lines.values())
    assert f"**{total:,.2f}**" in costs.table("origin")


def test_disks_are_those_of_the_template(costs: ModuleType) -> None:
    resources = templates.load("portal.yaml")["Resources"]
    names = {
        "FrontEndMachine": "FrontEnd",
        "Ui": "Ui",
        "Application": "Application",
        "Workers": "Worker",
        "Monitoring": "Monitoring",
    }
    sizes = {group: resources[name]["Properties"]["Parameters"]["VolumeSize"] for name, group in names.items()}
    assert sizes == costs.DISKS_GB


def test_secrets_are_those_of_the_template(costs: ModuleType) -> None:
    made = templates.load("vault.yaml")["Resources"].values()
    assert len([one for one in made if one["Type"] == "AWS::SecretsManager::Secret"]) == costs.GENERATED_SECRETS


def test_alarms_are_those_of_the_templates(costs: ModuleType) -> None:
    watch = [one for one in templates.load("watch.yaml")["Resources"].values() if one["Type"] == "AWS::CloudWatch::Alarm"]
    conditions = [alarm.get("Condition", "") for alarm in watch]
    always = conditions.count("")
    expected = {"nginx": always + conditions.count("HasNginx"), "balancer": always + conditions.count("HasBalancer")}
    assert expected == costs.ALARMS
    scaling = templates.load("group.yaml")["Resources"].values()
    assert len([one for one in scaling if one["Type"] == "AWS::CloudWatch::Alarm"]) == costs.SCALING_ALARMS


def test_every_price_names_a_source(costs: ModuleType) -> None:
    prices = costs.Stack("origin").prices
    for section in ("hour", "month", "once"):
        assert {price["source"] for price in prices[section].values()} <= set(prices["sources"])
