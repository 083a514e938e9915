"""The dashboards that we ship, and which of their panels need programs that do not run beside a test's portal."""

import json
import shutil
from collections.abc import Iterator
from typing import Any

from tests.portal import ROOT

GRAFANA = ROOT / "deploy" / "grafana"
NODE_EXPORTER = shutil.which("prometheus-node-exporter")
# Series of programs that do not run beside this portal: their panels are read elsewhere, or not at all
ELSEWHERE = {
    "pg_": "no PostgreSQL: this portal has SQLite",
    "redis_": "no exporter: this portal's Redis has no port",
    "nginx_": "no nginx in front",
    "probe_": "no certificate to probe",
    "portal_backup_": "no backup is made",
} | ({} if NODE_EXPORTER else {"node_": "prometheus-node-exporter is not installed"})


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((GRAFANA / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            yield path.stem, panel


def why_elsewhere(query: str) -> str:
    return next((reason for prefix, reason in ELSEWHERE.items() if prefix in query), "")
