"""The whole system on one machine: every part that `deploy/` configures, each as its own process."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe

import yaml

from tests.deploy.alarms import Alarms, alarms, alertmanager
from tests.deploy.edge import GUNICORN, Edge, nginx, prepare_production
from tests.faults.disks import PowerlessDisk, may_mount
from tests.faults.parts import Part, Redis
from tests.monitoring.prometheus import Prometheus, prometheus_server
from tests.portal import Portal
from tests.servers import free_port, port_answers, postgres_server, process, s3_server, wait_until

EXPORTERS = ("node", "nginx", "redis", "postgres", "blackbox")
PROGRAMS = (
    *("nginx", "envsubst", "redis-server", "prometheus", "prometheus-alertmanager"),
    *(f"prometheus-{name}-exporter" for name in EXPORTERS),
)
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]


@dataclass
class System:
    """What runs, and what a test takes away."""

    portal: Portal
    edge: Edge
    worker: Part
    redis: Part
    disk: Path | None  # a small file system that may be filled; none where nobody may mount
    prometheus: Prometheus
    alarms: Alarms


@contextmanager
def whole_system(directory: Path) -> Iterator[System]:
    """nginx, gunicorn, worker, reconciler, Redis, PostgreSQL, S3, the exporters, Prometheus and Alertmanager."""
    token = token_urlsafe(24)
    ports = {name: free_port() for name in ("worker", "reconcile")}
    with ExitStack() as stack:
        cluster = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portal-pg-")))
        database_url = stack.enter_context(postgres_server(cluster))
        (directory / "redis").mkdir()
        redis = Redis(directory / "redis", os.environ)
        stack.callback(redis.close)
        redis.start()
        settings = {
            "DATABASE_URL": database_url,
            "REDIS_URL": f"redis://127.0.0.1:{redis.port}/0",
            "METRICS_TOKEN": token,
            "WORKER_METRICS_PORT": str(ports["worker"]),
            "RECONCILE_METRICS_PORT": str(ports["reconcile"]),
            **stack.enter_context(s3_server(directory)),
        }
        portal = prepare_production(directory, settings)
        manage = [sys.executable, "manage.py"]
        parts = {
            "web": GUNICORN,
            "worker": [*manage, "run_worker"],
            "reconcile": [*manage, "reconcile"],
        }
        running = {name: _start(stack, portal, name, command) for name, command in parts.items()}
        wait_until(portal.is_ready, f"the portal's readiness (see {directory})", seconds=180)
        edge = stack.enter_context(nginx(portal, directory / "edge"))
        disk = _small_disk(stack, directory)
        ports |= _exporters(stack, directory, edge, database_url=database_url, redis_port=redis.port)
        arrived, mail_port = stack.enter_context(alarms())
        ports["alertmanager"] = stack.enter_context(alertmanager(directory, hook_port=arrived.hook_port, mail_port=mail_port))
        ports["portal"] = int(portal.environment["PORTAL_BIND"].partition(":")[2])
        server = prometheus_server(
            directory / "prometheus", ports, token=token, certificate_of=f"{edge.url}/healthz", alerts_soon=True
        )
        (directory / "prometheus").mkdir()
        prometheus = stack.enter_context(server)
        yield System(portal, edge, running["worker"], redis, disk, prometheus, arrived)


def _start(stack: ExitStack, portal: Portal, name: str, command: list[str]) -> Part:
    part = Part(name, command, log=portal.var_dir / f"{name}.log", environment=portal.environment)
    stack.callback(part.close)
    part.start()
    return part


def _small_disk(stack: ExitStack, directory: Path) -> Path | None:
    if not may_mount():
        return None
    disk = PowerlessDisk(directory / "disk.img", directory / "disk", megabytes=32)
    stack.callback(disk.close)
    return disk.mount_point


def _exporters(stack: ExitStack, directory: Path, edge: Edge, *, database_url: str, redis_port: int) -> dict[str, int]:
    """The Debian programs; by Prometheus' jobs, the ports at which they answer."""
    textfiles = directory / "textfiles"
    textfiles.mkdir()
    (textfiles / "backup.prom").write_text(f"portal_backup_success_timestamp_seconds {time.time():.0f}\n", encoding="ascii")
    probes = directory / "blackbox.yml"
    module = {"prober": "http", "timeout": "5s", "http": {"tls_config": {"ca_file": str(edge.certificate)}}}
    probes.write_text(yaml.safe_dump({"modules": {"http_2xx": module}}), encoding="utf-8")
    status = f"http://127.0.0.1:{edge.ports['STATUS_PORT']}/status"
    options: Mapping[str, list[str]] = {
        "node": [f"--collector.textfile.directory={textfiles}"],
        "nginx": [f"-nginx.scrape-uri={status}"],
        "redis": [f"-redis.addr=redis://127.0.0.1:{redis_port}"],
        "postgres": [],
        "blackbox": [f"--config.file={probes}"],
    }
    environment = os.environ | {"DATA_SOURCE_NAME": f"{database_url}?sslmode=disable"}
    ports = {name: free_port() for name in EXPORTERS}
    for name in EXPORTERS:
        dash = "-" if name in {"nginx", "redis"} else "--"
        command = [f"prometheus-{name}-exporter", f"{dash}web.listen-address=127.0.0.1:{ports[name]}", *options[name]]
        stack.enter_context(process(command, directory / f"{name}-exporter.log", env=environment))
    for name, port in ports.items():
        wait_until(lambda port=port: port_answers(port), f"the start of the {name} exporter (see {directory})")  # type: ignore[misc]
    ports["certificate"] = ports.pop("blackbox")
    return ports
