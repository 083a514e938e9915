"""The dashboards that we ship, and which of their panels need programs that do not run beside a test's portal."""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from tests.monitoring.prometheus import Prometheus
from tests.portal import ROOT
from tests.servers import wait_until

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


def queries(*, elsewhere: bool) -> set[tuple[str, str, str]]:
    """Board, title and query of each panel's target that can be read beside the embedded portal, or of those that cannot."""
    return {
        (board, panel["title"], target["expr"])
        for board, panel in panels()
        for target in panel["targets"]
        if bool(why_elsewhere(target["expr"])) == elsewhere
    }


def empty_panels(
    prometheus: Prometheus, asked: set[tuple[str, str, str]], *, seconds: float = 60.0
) -> list[tuple[str, str, str]]:
    """Those that show nothing after that time. Raises `ValueError` where a query is refused."""
    waiting = set(asked)

    def all_answered() -> bool:
        waiting.difference_update({each for each in waiting if prometheus.ask(each[2])})
        return not waiting

    with suppress(TimeoutError):
        wait_until(all_answered, "an answer to every panel's query", seconds=seconds)
    return sorted(waiting)
