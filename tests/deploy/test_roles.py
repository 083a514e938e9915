"""The roles beside the portal's own: nginx alone before web machines, and what watches them all."""

import contextlib
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_urlsafe
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.deploy import machine as machines
from tests.deploy.edge import make_certificate, nginx
from tests.deploy.machine import Machine
from tests.portal import ROOT

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
needs_machine = [
    pytest.mark.slow,
    pytest.mark.skipif(not machines.can_be_made(), reason="needs root on Debian 12 with the right to mount"),
]
INSTALL = str(ROOT / "deploy" / "install.sh")
PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager", "prometheus-blackbox-exporter")
watched = pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason="Debian's Prometheus is not installed")


@contextlib.contextmanager
def web_machine(name: str, certificate: Path, key: Path) -> Iterator[str]:
    """Answers over TLS with its name, what it was asked, and whom it was asked for."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"{name} {self.path} {self.headers['X-Forwarded-Proto']} {self.headers['Host']}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_front_end_sends_uploads_and_the_api_to_one_machine_and_the_rest_to_the_other(tmp_path: Path) -> None:
    pair = make_certificate(tmp_path)
    nobody = cast("Any", SimpleNamespace(url="http://127.0.0.1:1", var_dir=tmp_path))
    with web_machine("ui", *pair) as ui, web_machine("application", *pair) as application:
        variables = {"UI_UPSTREAM": ui, "APPLICATION_UPSTREAM": application, "RESOLVER": "127.0.0.1"}
        with nginx(nobody, tmp_path / "nginx", **variables) as edge:
            host = f"https localhost:{edge.ports['HTTPS_LISTEN']}"
            asked = {
                "/cases/?q=a%20b": "ui",
                "/static/css/portal.css": "ui",
                "/accounts/login/": "ui",
                "/cases/upload/": "application",
                "/api/v1/cases": "application",
                "/api/v1/openapi.json": "application",
            }
            for path, who in asked.items():
                assert edge.ask("GET", path).text == f"{who} {path} {host}"


def test_half_a_front_end_is_refused() -> None:
    given = {"PATH": "/usr/bin:/bin", "SERVER_NAME": "x", "CERTIFICATE": "c", "CERTIFICATE_KEY": "k", "UI_UPSTREAM": "ui:443"}
    script = ["sh", str(ROOT / "deploy" / "nginx" / "render.sh")]
    done = subprocess.run(script, env=given, capture_output=True, text=True, check=False)
    assert (done.returncode, "belong together" in done.stderr) == (1, True)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path / "machine")
    made.certify()
    return made


class TestFrontend:
    pytestmark = needs_machine
    SETTINGS = {
        "SERVER_NAME": "portal.hospital.example",
        "UI_UPSTREAM": "ui.portal.internal:443",
        "APPLICATION_UPSTREAM": "application.portal.internal:443",
        "TRUSTED_PROXIES": "10.0.0.0/16",
    }

    @pytest.mark.parametrize("missing", ["UI_UPSTREAM", "APPLICATION_UPSTREAM", "SERVER_NAME"])
    def test_a_missing_setting_is_named_and_nothing_changes(self, machine: Machine, missing: str) -> None:
        machine.configure({name: value for name, value in self.SETTINGS.items() if name != missing})
        before = machine.snapshot()
        refused = machine.run("bash", INSTALL, "frontend")
        assert (refused.returncode, f"{missing} is not there" in refused.stderr) == (1, True)
        assert machine.snapshot() == before

    def test_a_fresh_machine_gets_nginx_and_nothing_of_the_portal(self, machine: Machine) -> None:
        machine.configure(self.SETTINGS)
        machine.write("/etc/portal/nginx.env", "RESOLVER=127.0.0.1\n")
        assert machine.run("bash", INSTALL, "frontend", "--check").returncode == 0
        for _ in range(2):
            done = machine.run("bash", INSTALL, "frontend")
            assert done.returncode == 0, done.stdout + done.stderr
        made = machine.path("/etc/nginx/nginx.conf").read_text(encoding="utf-8")
        assert "default ui.portal.internal:443;" in made
        assert "proxy_pass https://$portal_at;" in made
        assert "root /opt/portal/frontend/deploy/nginx;" in made
        assert not machine.path("/opt/portal/current").exists()
        assert machine.path("/etc/nginx/nginx.conf.debian").exists()


@watched
class TestMonitoring:
    pytestmark = needs_machine

    def test_without_the_portals_token_nothing_changes(self, machine: Machine) -> None:
        machine.configure({"PORTAL_PROFILE": "production"})
        before = machine.snapshot()
        refused = machine.run("bash", INSTALL, "monitoring")
        assert (refused.returncode, "METRICS_TOKEN" in refused.stderr) == (1, True)
        assert machine.snapshot() == before

    def test_prometheus_gets_the_portals_rules_and_an_operators_changes_stay(self, machine: Machine) -> None:
        token = token_urlsafe(48)
        machine.write("/etc/portal/secrets/metrics_token", token)
        machine.configure(
            {"METRICS_TOKEN_FILE": "/etc/portal/secrets/metrics_token", "REDIS_URL": "rediss://portal:pw@redis.internal:6379/0"}
        )
        machine.pretend_systemd(fails_on="none")
        done = machine.run("bash", INSTALL, "monitoring")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "nobody is told yet" in done.stdout
        kept = machine.path("/etc/prometheus/metrics_token")
        assert (kept.read_text(encoding="utf-8"), kept.stat().st_mode & 0o777, kept.owner()) == (token, 0o400, "prometheus")
        assert machine.run("promtool", "check", "config", "/etc/prometheus/prometheus.yml").returncode == 0
        assert "portal:pw@redis.internal" in machine.path("/etc/default/prometheus-redis-exporter").read_text(encoding="utf-8")
        assert machine.path("/etc/default/prometheus-redis-exporter").stat().st_mode & 0o777 == 0o600
        assert machine.path("/var/lib/grafana/dashboards/portal/model.json").is_file()
        asked = machine.path("/var/lib/portal/asked").read_text(encoding="utf-8").splitlines()
        assert "restart prometheus" in asked
        assert "restart prometheus-alertmanager" in asked
        machine.write("/etc/prometheus/targets/worker.yml", '- targets: ["10.0.2.7:9110"]\n')
        machine.write("/etc/prometheus/rules/alerts.yml", "groups: []\n")
        assert machine.run("bash", INSTALL, "monitoring").returncode == 0
        assert "10.0.2.7" in machine.path("/etc/prometheus/targets/worker.yml").read_text(encoding="utf-8")
        assert "AnalysisSuspended" in machine.path("/etc/prometheus/rules/alerts.yml").read_text(encoding="utf-8")

    def test_without_grafana_one_line_says_where_it_comes_from(self, machine: Machine) -> None:
        machine.configure({"METRICS_TOKEN": token_urlsafe(48)})
        done = machine.run("bash", INSTALL, "monitoring")
        assert done.returncode == 0, done.stdout + done.stderr
        if shutil.which("grafana-server") is None:
            assert "Grafana is not in Debian" in done.stdout
        provisioned = machine.path("/etc/grafana/provisioning/datasources/portal.yml").read_text(encoding="utf-8")
        assert "$PROMETHEUS_URL" in provisioned
