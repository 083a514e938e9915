"""The portal with production settings behind a real nginx, as the files under `deploy/` configure them, without being root."""

import contextlib
import getpass
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import requests

from tests.portal import ROOT, Portal
from tests.servers import free_port, port_answers, postgres_server, process, redis_server, wait_until

DEPLOY = ROOT / "deploy"
HOST = "localhost"
GUNICORN = [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn/production.py", "pneumo_site.wsgi"]
LOCAL_FILMS = {"LOCAL_FILMS_BY_PROXY": "/films/"}


@dataclass
class Edge:
    """A running nginx: where it is, whom to trust, and where it writes."""

    directory: Path
    ports: dict[str, int]
    certificate: Path

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.ports['HTTPS_LISTEN']}"

    @property
    def plain_url(self) -> str:
        return f"http://{HOST}:{self.ports['HTTP_LISTEN']}"

    @property
    def maintenance(self) -> Path:
        return self.directory / "maintenance"

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """One request by a client that trusts the certificate and follows nowhere."""
        return requests.request(
            method, f"{self.url}{path}", verify=str(self.certificate), allow_redirects=False, timeout=30, **options
        )

    def log(self) -> list[dict[str, Any]]:
        return read_access_log(self.directory / "access.log")


def read_access_log(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A throw-away certificate for localhost, and its key."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOST}"]
    command += ["-addext", f"subjectAltName=DNS:{HOST}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def log_in(url: str, certificate: Path, email: str, password: str) -> requests.Session:
    """A doctor's browser, as far as the worklist."""
    session = requests.Session()
    session.verify, session.trust_env = str(certificate), False
    page = session.get(f"{url}/accounts/login/", timeout=30)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert token
    fields = {"login": email, "password": password, "csrfmiddlewaretoken": token[1]}
    answer = session.post(f"{url}/accounts/login/", data=fields, headers={"Referer": page.url}, timeout=30)
    assert answer.url.endswith("/cases/")
    return session


@contextlib.contextmanager
def nginx(portal: Portal, directory: Path, **variables: str) -> Iterator[Edge]:
    """nginx in front of the portal, with the shipped template and these of its variables set otherwise."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "bodies").mkdir(exist_ok=True)
    certificate, key = make_certificate(directory)
    ports = {name: free_port() for name in ("HTTP_LISTEN", "HTTPS_LISTEN", "STATUS_PORT")}
    edge = Edge(directory, ports, certificate)
    settings = {
        "SERVER_NAME": HOST,
        "CERTIFICATE": str(certificate),
        "CERTIFICATE_KEY": str(key),
        "UPSTREAMS": portal.url.removeprefix("http://"),
        "NGINX_USER": getpass.getuser(),
        "RUN_DIR": str(directory),
        "LOG_DIR": str(directory),
        "BODY_DIR": str(directory / "bodies"),
        "STATIC_ROOT": str(portal.var_dir / "static"),
        "FILMS_DIR": str(portal.var_dir / "media"),
        "MAINTENANCE_FILE": str(edge.maintenance),
        **{name: str(port) for name, port in ports.items()},
        **variables,
    }
    configuration = directory / "nginx.conf"
    rendered = subprocess.run(
        ["sh", str(DEPLOY / "nginx" / "render.sh")],
        env={"PATH": os.environ["PATH"]} | settings,
        check=True,
        capture_output=True,
        text=True,
    )
    configuration.write_text(rendered.stdout, encoding="utf-8")
    command = ["nginx", "-c", str(configuration), "-e", str(directory / "error.log"), "-g", "daemon off;"]
    with process(command, directory / "start.log"):
        wait_until(lambda: port_answers(ports["HTTPS_LISTEN"]), f"nginx's start (see {directory / 'start.log'})")
        yield edge


@contextlib.contextmanager
def production_portal(directory: Path, **settings: str) -> Iterator[Portal]:
    """gunicorn and a worker with PORTAL_PROFILE=production over PostgreSQL, Redis and local films that nginx sends.

    The cast comes from the demo hospital, which only the embedded profile seeds: same database, same keys.
    """
    with (
        tempfile.TemporaryDirectory(prefix="portal-pg-") as cluster,
        postgres_server(Path(cluster)) as database_url,
        redis_server(directory) as redis_url,
    ):
        servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        portal = prepare_production(directory, {**servers, **LOCAL_FILMS, **settings})
        with process(GUNICORN, directory / "web.log", cwd=ROOT, env=portal.environment), portal.worker():
            wait_until(portal.is_ready, f"the portal's readiness (see {directory})", seconds=180)
            yield portal


def prepare_production(directory: Path, settings: Mapping[str, str]) -> Portal:
    """What a production portal's processes are started with, its tables and its cast; nothing runs yet."""
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if name not in {"DJANGO_SETTINGS_MODULE", "VAR_DIR"}}
    environment = inherited | {
        "PORTAL_PROFILE": "production",
        "VAR_DIR": str(directory),
        "SECRET_KEY": token_urlsafe(48),
        "AUDIT_KEY": token_urlsafe(48),
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "PORTAL_BIND": f"127.0.0.1:{port}",
        "WEB_CONCURRENCY": "2",
        "WORKER_DECODERS": "1",
        "PYTHONUNBUFFERED": "1",
        **settings,
    }
    portal = Portal(f"http://127.0.0.1:{port}", directory, environment)
    portal.manage("prepare")
    Portal(portal.url, directory, environment | {"PORTAL_PROFILE": "embedded"}).manage("seed_demo")
    portal.logins = json.loads((directory / "demo-logins.json").read_text(encoding="utf-8"))
    return portal
