"""Write the dashboards: `python deploy/grafana/build.py`. A panel is one line here and forty in Grafana's JSON."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
DATA_SOURCE = {"type": "prometheus", "uid": "portal"}
COLUMNS, HEIGHT = 24, 8
LINES, NUMBER, BARS = "timeseries", "stat", "bargauge"
WIDTHS = {LINES: 12, NUMBER: 6, BARS: 12}


@dataclass(frozen=True)
class Panel:
    """`queries` are PromQL by legend; `{{label}}` in a legend is filled in by Grafana. `unit` is one of Grafana's."""

    title: str
    unit: str
    queries: dict[str, str]
    kind: str = LINES


def quantile(share: float, metric: str, window: str, by: str = "le") -> str:
    return f"histogram_quantile({share}, sum by ({by}) (rate({metric}_bucket[{window}])))"


PAGE = "portal_django_http_requests_latency_including_middlewares_seconds"
VIEW = "portal_django_http_requests_latency_seconds_by_view_method"
DISKS = 'fstype!~"tmpfs|ramfs|overlay|squashfs"'

SERVICE = [
    Panel("Oldest waiting film", "s", {"": "portal:oldest_waiting_seconds"}, NUMBER),
    Panel("Workers alive", "none", {"": "portal:workers_alive"}, NUMBER),
    Panel("Films in work", "none", {"{{state}}": 'max by (state) (portal_cases{state=~"queued|processing"})'}, NUMBER),
    Panel("Results a minute", "none", {"": "60 * portal:results:rate5m"}, NUMBER),
    Panel(
        "From upload to result",
        "s",
        {"half of the films": quantile(0.5, "portal_result_seconds", "15m"), "19 of 20": "portal:result_seconds:p95_15m"},
    ),
    Panel(
        "From result to first view (a day)",
        "s",
        {
            "half of the results": "portal:first_view_seconds:p50_1d",
            "9 of 10": quantile(0.9, "portal_first_view_seconds", "1d"),
        },
    ),
    Panel(
        "Time on one film, 95th percentile",
        "s",
        {"{{stage}}": quantile(0.95, "portal_stage_seconds", "15m", "le, stage")},
    ),
    Panel(
        "Films in a forward pass",
        "none",
        {"mean": "sum(rate(portal_batch_films_sum[15m])) / sum(rate(portal_batch_films_count[15m]))"},
    ),
    Panel(
        "Answers a second",
        "reqps",
        {"{{status}}": "sum by (status) (rate(portal_django_http_responses_total_by_status_total[5m]))"},
    ),
    Panel("Server errors", "percentunit", {"of all answers": "portal:request_errors:ratio5m"}),
    Panel(
        "Time of an answer",
        "s",
        {
            "half": quantile(0.5, PAGE, "5m"),
            "19 of 20": "portal:request_seconds:p95_5m",
            "99 of 100": quantile(0.99, PAGE, "5m"),
        },
    ),
    Panel("Slowest pages, 95th percentile", "s", {"{{view}}": f"topk(5, {quantile(0.95, VIEW, '15m', 'le, view')})"}),
    Panel(
        "Repairs in an hour",
        "none",
        {
            "calls lost": "sum(increase(portal_wakeups_lost_total[1h]))",
            "calls repeated": "sum(increase(portal_wakeups_repaired_total[1h]))",
            "claims {{outcome}}": "sum by (outcome) (increase(portal_leases_expired_total[1h]))",
        },
    ),
    Panel(
        "Storage errors in an hour",
        "none",
        {"{{operation}}": "sum by (operation) (increase(portal_storage_errors_total[1h]))"},
    ),
    Panel("Log-ins that failed in an hour", "none", {"{{kind}}": "max by (kind) (increase(portal_login_failures_total[1h]))"}),
    Panel(
        "Audit entries in an hour",
        "none",
        {"{{action}}": "max by (action) (sum by (instance, action) (increase(portal_audit_entries_total[1h])))"},
    ),
]

CLINICAL = [
    Panel("Agreement with signed verdicts", "percentunit", {"{{version}}": "portal:agreement:ratio"}, NUMBER),
    Panel("Sensitivity on signed cases", "percentunit", {"{{version}}": "portal:sensitivity:ratio"}, NUMBER),
    Panel("Predictive value on signed cases", "percentunit", {"{{version}}": "portal:ppv:ratio"}, NUMBER),
    Panel("Signed verdicts (90 days)", "none", {"{{verdict}}": "sum by (verdict) (portal:signed_verdicts)"}, NUMBER),
    Panel("Cases by state", "none", {"{{state}}": "max by (state) (portal_cases)"}),
    Panel("Results in an hour", "none", {"{{label}}": "sum by (label) (increase(portal_predictions_total[1h]))"}),
    Panel(
        "Films not read, in a day", "none", {"{{code}}": 'sum by (code) (increase(portal_refusals_total{at="reading"}[1d]))'}
    ),
    Panel(
        "Turned away at the upload, in a day",
        "none",
        {"{{code}}": 'sum by (code) (increase(portal_refusals_total{at="upload"}[1d]))'},
    ),
    Panel("Analyses that failed, in a day", "none", {"{{code}}": "sum by (code) (increase(portal_failures_total[1d]))"}),
    Panel(
        "What the model said, and the clinician found (90 days)",
        "none",
        {"{{label}} / {{finding}}": "portal:signed_cases"},
        BARS,
    ),
]

MODEL = [
    Panel("Version in service", "none", {"{{version}}": "max by (version) (portal_model_info)"}, NUMBER),
    Panel("Workers by version", "none", {"{{version}}": "max by (version) (portal_workers)"}, NUMBER),
    Panel("Workers that cannot load it, or could not again", "none", {"": "max(portal_workers_degraded)"}, NUMBER),
    Panel("Analysis suspended by the stop rule", "none", {"": "max(portal_analysis_suspended)"}, NUMBER),
    Panel("Stop rules that are broken", "none", {"{{rule}}": "max by (rule) (portal_stop_rule_broken)"}, NUMBER),
    Panel("Scores beside validation (PSI)", "none", {"{{version}}": "portal:score_psi"}),
    Panel("Films that the PSI is of", "none", {"{{version}}": "max by (version) (portal_score_psi_films)"}),
    Panel(
        "Scores of a day, films up to",
        "none",
        {"{{le}}": 'sum by (le) (increase(portal_score_bucket{le!="+Inf"}[1d]))'},
        BARS,
    ),
    Panel(
        "Results by version, in an hour", "none", {"{{version}}": "sum by (version) (increase(portal_predictions_total[1h]))"}
    ),
    Panel(
        "Share of films not read", "percentunit", {"an hour": "portal:refusals:ratio1h", "a week": "portal:refusals:ratio7d"}
    ),
    Panel(
        "Agreement, sensitivity, predictive value",
        "percentunit",
        {
            "agreement {{version}}": "portal:agreement:ratio",
            "sensitivity {{version}}": "portal:sensitivity:ratio",
            "predictive value {{version}}": "portal:ppv:ratio",
        },
    ),
]

HOSTS = [
    Panel("Targets that answer", "none", {"{{job}}": "sum by (job) (up)"}, NUMBER),
    Panel("Age of the last backup", "s", {"": "time() - max(portal_backup_success_timestamp_seconds)"}, NUMBER),
    Panel("Certificate expires in", "s", {"{{instance}}": "probe_ssl_earliest_cert_expiry - time()"}, NUMBER),
    Panel("Last pass of reconcile", "s", {"": "time() - max(portal_reconciled_timestamp_seconds)"}, NUMBER),
    Panel(
        "Processors in use",
        "percentunit",
        {"{{instance}}": '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m]))'},
    ),
    Panel(
        "Memory in use",
        "percentunit",
        {"{{instance}}": "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes"},
    ),
    Panel(
        "Disks in use",
        "percentunit",
        {"{{instance}} {{mountpoint}}": f"1 - node_filesystem_avail_bytes{{{DISKS}}} / node_filesystem_size_bytes{{{DISKS}}}"},
    ),
    Panel(
        "Network",
        "Bps",
        {
            "{{instance}} in": 'sum by (instance) (rate(node_network_receive_bytes_total{device!="lo"}[5m]))',
            "{{instance}} out": 'sum by (instance) (rate(node_network_transmit_bytes_total{device!="lo"}[5m]))',
        },
    ),
    Panel("Memory of workers", "bytes", {"{{instance}}": 'process_resident_memory_bytes{job="worker"}'}),
    Panel("Connections to PostgreSQL", "none", {"{{datname}}": "sum by (datname) (pg_stat_database_numbackends)"}),
    Panel("Memory of Redis", "bytes", {"{{instance}}": "redis_memory_used_bytes"}),
    Panel("Connections to nginx", "none", {"{{instance}}": "nginx_connections_active"}),
]

DASHBOARDS = {
    "service": ("Service", SERVICE),
    "clinical": ("Clinical", CLINICAL),
    "model": ("Model", MODEL),
    "hosts": ("Hosts", HOSTS),
}


def build(name: str) -> dict[str, Any]:
    """A dashboard as Grafana keeps it."""
    title, panels = DASHBOARDS[name]
    return {
        "uid": f"portal-{name}",
        "title": title,
        "tags": ["chest x-ray portal"],
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "schemaVersion": 38,
        "time": {"from": "now-6h", "to": "now"},
        "panels": [_draw(number, panel, place) for number, (panel, place) in enumerate(_lay_out(panels), start=1)],
    }


def _lay_out(panels: list[Panel]) -> list[tuple[Panel, dict[str, int]]]:
    """Left to right, a new row where the next does not fit."""
    placed, x, y = [], 0, 0
    for panel in panels:
        width = WIDTHS[panel.kind]
        if x + width > COLUMNS:
            x, y = 0, y + HEIGHT
        placed.append((panel, {"x": x, "y": y, "w": width, "h": HEIGHT}))
        x += width
    return placed


def _draw(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + index), "expr": query, "legendFormat": legend or "value", "instant": panel.kind != LINES}
        for index, (legend, query) in enumerate(panel.queries.items())
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": DATA_SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def render(name: str) -> str:
    return json.dumps(build(name), indent=2) + "\n"


if __name__ == "__main__":
    for each in DASHBOARDS:
        (FOLDER / f"{each}.json").write_text(render(each), encoding="utf-8")
