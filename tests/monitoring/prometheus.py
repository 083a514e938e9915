"""A real Prometheus with the configuration that we ship: the same jobs and rules, other targets, and a shorter pulse."""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.portal import ROOT
from tests.servers import free_port, process, url_answers, wait_until

SHIPPED = ROOT / "deploy" / "prometheus"
PULSE = {"scrape_interval: 15s": "scrape_interval: 2s", "scrape_timeout: 10s": "scrape_timeout: 2s"}


class Prometheus:
    """A running server, asked through its API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The samples of an instant query. Raises `ValueError` with the server's words where it refuses the query."""
        answer = requests.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=10).json()
        if answer["status"] != "success":
            raise ValueError(answer["error"])
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def value(self, query: str) -> float | None:
        """The one number that the query ends in; none where it is empty."""
        found = self.ask(query)
        return float(found[0]["value"][1]) if found else None

    def jobs_up(self) -> set[str]:
        return {sample["metric"]["job"] for sample in self.ask("up == 1")}


@contextmanager
def prometheus_server(
    directory: Path,
    targets: Mapping[str, int],
    *,
    token: str = "",
    certificate_of: str = "",
    alerts_soon: bool = False,
) -> Iterator[Prometheus]:
    """Scrapes the ports of loopback that are named by job; other jobs have no target.

    With `certificate_of` the job `certificate`, whose port is the exporter's, opens that address; with `alerts_soon` an alert
    fires as soon as its expression holds.
    """
    home, port = directory / "etc", free_port()
    shutil.copytree(SHIPPED, home)
    (home / "metrics_token").write_text(token or "not asked for", encoding="ascii")
    _rewrite(home / "prometheus.yml", PULSE | {"evaluation_interval: 15s": "evaluation_interval: 2s"})
    if alerts_soon:
        rules = home / "rules" / "alerts.yml"
        rules.write_text(re.sub(r"for: \d+[mh]", "for: 0s", rules.read_text(encoding="utf-8")), encoding="utf-8")
    for path in (home / "targets").iterdir():
        entry = _target(path.stem, {**targets, "prometheus": port}, certificate_of)
        path.write_text(yaml.safe_dump([entry]), encoding="utf-8")
    options = [f"--config.file={home / 'prometheus.yml'}", f"--storage.tsdb.path={directory / 'data'}"]
    command = ["prometheus", *options, f"--web.listen-address=127.0.0.1:{port}"]
    with process(command, directory / "prometheus.log"):
        server = Prometheus(f"http://127.0.0.1:{port}")
        wait_until(lambda: url_answers(f"{server.url}/-/ready"), "Prometheus' start")
        yield server


def _target(job: str, ports: Mapping[str, int], certificate_of: str) -> dict[str, Any]:
    address = f"127.0.0.1:{ports[job]}" if job in ports else ""
    if job == "certificate" and address:
        return {"targets": [certificate_of], "labels": {"exporter": address}}
    return {"targets": [address] if address else []}


def _rewrite(path: Path, replacements: Mapping[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for written, instead in replacements.items():
        assert written in text
        text = text.replace(written, instead)
    path.write_text(text, encoding="utf-8")
