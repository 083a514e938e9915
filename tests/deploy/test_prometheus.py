"""Prometheus' and Alertmanager's own tools read what we ship, and every alert is tested and has an entry in the runbook."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.portal import ROOT

SHIPPED, RUNBOOK = ROOT / "deploy", ROOT / "docs" / "runbook.md"
RULES = SHIPPED / "prometheus" / "rules" / "alerts.yml"
PAGES_OR_WAITS = {"page", "ticket"}

needs_prometheus = pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not installed")
needs_alertmanager = pytest.mark.skipif(shutil.which("amtool") is None, reason="Alertmanager is not installed")


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def passes(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Both folders as they lie in /etc/prometheus, with the secrets that an installation adds."""
    for name in ("prometheus", "alertmanager"):
        shutil.copytree(SHIPPED / name, tmp_path, dirs_exist_ok=True)
    for secret in ("metrics_token", "smtp_password"):
        (tmp_path / secret).write_text("secret", encoding="ascii")
    return tmp_path


@needs_prometheus
def test_prometheus_accepts_its_configuration_and_the_rules(installed: Path) -> None:
    passes("promtool", "check", "config", str(installed / "prometheus.yml"))
    passes("promtool", "check", "rules", *map(str, (SHIPPED / "prometheus" / "rules").glob("*.yml")))


@needs_prometheus
def test_every_alert_fires_when_it_should_and_not_before() -> None:
    passes("promtool", "test", "rules", *map(str, (SHIPPED / "prometheus" / "tests").glob("*.yml")))


def test_every_alert_is_tested_to_fire() -> None:
    tested = set()
    for path in (SHIPPED / "prometheus" / "tests").glob("*.yml"):
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            tested |= {case["alertname"] for case in test.get("alert_rule_test", []) if case.get("exp_alerts")}
    assert tested == {rule["alert"] for rule in alerts()}


@needs_alertmanager
def test_alertmanager_accepts_its_configuration(installed: Path) -> None:
    passes("amtool", "check-config", str(installed / "alertmanager.yml"))


@needs_alertmanager
@pytest.mark.parametrize(("severity", "receiver"), [("page", "mail-and-webhook"), ("ticket", "mail")])
def test_a_page_goes_to_the_webhook_too_and_a_ticket_does_not(severity: str, receiver: str) -> None:
    configuration = str(SHIPPED / "alertmanager" / "alertmanager.yml")
    passes(
        "amtool",
        "config",
        "routes",
        "test",
        f"--config.file={configuration}",
        f"--verify.receivers={receiver}",
        f"severity={severity}",
        "alertname=X",
    )


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_what_is_wrong_how_urgent_it_is_and_where_its_entry_stands(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in PAGES_OR_WAITS
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
    heading = re.search(rf"^### {rule['alert']}\n\*(\w+)\.\*", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    assert heading, "the runbook has no entry"
    assert heading[1].lower() == rule["labels"]["severity"]


def test_the_runbook_names_no_alert_that_is_gone() -> None:
    named = re.findall(r"^### ([A-Z]\w+[A-Z]\w+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) == {rule["alert"] for rule in alerts()}


def test_every_job_has_its_file_of_targets() -> None:
    folder = SHIPPED / "prometheus"
    jobs = yaml.safe_load((folder / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    named = {file for job in jobs for entry in job["file_sd_configs"] for file in entry["files"]}
    assert named == {f"targets/{path.name}" for path in (folder / "targets").glob("*.yml")}
    assert {job["job_name"] for job in jobs} >= {"portal", "worker", "nginx", "redis", "postgres", "node", "prometheus"}
