"""`install.sh`: what it asks for before it touches anything, and a machine that it brings to a portal that works."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import pytest
import requests

from tests.backup.site import write_key
from tests.deploy import machine as machines
from tests.deploy.clean_debian import RELEASE, CleanMachine, is_asked_for
from tests.deploy.edge import log_in, read_access_log
from tests.deploy.machine import Machine
from tests.portal import ROOT
from tests.servers import free_port, postgres_server, process, redis_server, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not machines.can_be_made(), reason="needs root on Debian 12 with the right to mount"),
    pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed"),
]
INSTALL = str(ROOT / "deploy" / "install.sh")
PASSWORD = "seven quiet lamps"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path / "machine")
    made.certify()
    return made


def complete(
    database_url: str = "postgresql://portal@127.0.0.1/portal", redis_url: str = "redis://127.0.0.1/0"
) -> dict[str, str]:
    return {
        "PORTAL_PROFILE": "production",
        "VAR_DIR": "/var/lib/portal",
        "SECRET_KEY": token_urlsafe(48),
        "AUDIT_KEY_FILE": "/etc/portal/secrets/audit_key",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "LOCAL_FILMS_BY_PROXY": "/films/",
    }


def test_an_unknown_role_gets_the_usage(machine: Machine) -> None:
    refused = machine.run("bash", INSTALL, "database")
    assert refused.returncode == 1
    assert "install.sh web|worker|all" in refused.stderr
    assert "install.sh frontend|monitoring" in refused.stderr


@pytest.mark.parametrize("missing", ["PORTAL_PROFILE", "VAR_DIR", "SECRET_KEY", "DATABASE_URL", "REDIS_URL", "ALLOWED_HOSTS"])
def test_a_missing_setting_is_named_and_nothing_changes(machine: Machine, missing: str) -> None:
    machine.write("/etc/portal/secrets/audit_key", token_urlsafe(48))
    machine.configure({name: value for name, value in complete().items() if name != missing})
    before = machine.snapshot()
    refused = machine.run("bash", INSTALL, "web")
    assert refused.returncode == 1
    assert missing in refused.stderr
    assert "Nothing was changed" in refused.stderr
    assert machine.snapshot() == before


def test_a_missing_secret_file_or_certificate_is_named(machine: Machine) -> None:
    machine.configure(complete())
    machine.path("/etc/portal/tls/privkey.pem").unlink()
    refused = machine.run("bash", INSTALL, "all")
    assert "/etc/portal/secrets/audit_key, which is missing" in refused.stderr
    assert "certificate /etc/portal/tls/privkey.pem is missing" in refused.stderr


def test_another_system_a_half_finished_run_and_no_root_are_refused(machine: Machine) -> None:
    machine.write("/etc/portal/secrets/audit_key", token_urlsafe(48))
    machine.configure(complete())
    assert machine.run("bash", INSTALL, "web", "--check").returncode == 0
    assert "Only root" in machine.run("setpriv", "--reuid=65534", "--clear-groups", "bash", INSTALL, "web").stderr
    machine.path("/opt/portal/releases/0.1.0.part").mkdir(parents=True)
    stopped = machine.run("bash", INSTALL, "web")
    assert (stopped.returncode, "rm -rf /opt/portal/releases/0.1.0.part" in stopped.stderr) == (1, True)
    machine.path("/etc/os-release").unlink()
    machine.write("/etc/os-release", 'ID=ubuntu\nVERSION_ID="24.04"\n')
    assert "not Debian 12" in machine.run("bash", INSTALL, "web").stderr


@contextmanager
def prepared(machine: Machine, directory: Path) -> Iterator[Machine]:
    """All that an operator prepares: settings, secrets, certificate, database and Redis."""
    with ExitStack() as stack:
        cluster = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portal-pg-")))
        settings = complete(stack.enter_context(postgres_server(cluster)), stack.enter_context(redis_server(directory)))
        machine.write("/etc/portal/secrets/audit_key", token_urlsafe(48))
        machine.configure(
            settings | {"PORTAL_BIND": f"127.0.0.1:{free_port()}", "WEB_CONCURRENCY": "2", "WORKER_DECODERS": "1"}
        )
        yield machine


@pytest.fixture
def ready(machine: Machine, tmp_path: Path) -> Iterator[Machine]:
    with prepared(machine, tmp_path):
        machine.lend_libraries()
        yield machine


def release(version: str, directory: Path, **changed: str) -> str:
    """A tarball of this release under another version, with files changed."""
    path = directory / f"portal-{version}.tar.gz"
    kept = ("accounts", "deploy", "diagnostics", "docs", "mlmodel", "pneumo_site", "static", "templates")
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name in (*kept, "manage.py", "requirements.txt"):
            if name not in changed:
                tar.add(ROOT / name, f"portal/{name}")
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").replace('version = "0.1.0"', f'version = "{version}"')
        for name, text in {"pyproject.toml": project, **changed}.items():
            entry = tarfile.TarInfo(f"portal/{name}")
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return str(path)


def in_service(machine: Machine) -> str:
    return str(machine.path("/opt/portal/current").readlink())


@pytest.mark.postgres
@pytest.mark.redis
@pytest.mark.model
def test_a_fresh_machine_becomes_a_portal_that_works(ready: Machine, tmp_path: Path) -> None:
    becomes_a_portal(ready, tmp_path, INSTALL)


@pytest.mark.postgres
@pytest.mark.redis
@pytest.mark.model
@pytest.mark.skipif(not is_asked_for(), reason="downloads over 2 GB; CLEAN_DEBIAN=1, root and debootstrap make it run")
def test_a_clean_debian_becomes_a_portal_that_works(tmp_path: Path) -> None:
    machine = CleanMachine(tmp_path / "debian")
    machine.certify()
    with prepared(machine, tmp_path):
        becomes_a_portal(machine, tmp_path, f"{RELEASE}/deploy/install.sh")


def becomes_a_portal(ready: Machine, tmp_path: Path, install: str) -> None:
    """Install twice, start what systemd would start, and use it."""
    ports = {"HTTP_LISTEN": free_port(), "HTTPS_LISTEN": free_port(), "STATUS_PORT": free_port()}
    bind = next(
        line for line in ready.path("/etc/portal/portal.env").read_text().splitlines() if line.startswith("PORTAL_BIND")
    )
    ready.write(
        "/etc/portal/nginx.env", "".join(f"{name}={port}\n" for name, port in ports.items()) + f"UPSTREAMS={bind[12:]}\n"
    )
    for _ in range(2):  # running it again does no harm
        done = ready.run("bash", install, "all")
        assert done.returncode == 0, done.stdout + done.stderr
    assert in_service(ready) == "releases/0.1.0"
    assert ready.path("/etc/portal/portal.env").stat().st_mode & 0o777 == 0o600
    assert (ready.path("/etc/systemd/system/multi-user.target.wants") / "portal-worker@0.service").is_symlink()
    people = "from accounts.models import *; h = Hospital.objects.create(name='H'); "
    people += f"u = User(email='d@h.example', full_name='D', hospital=h, role='doctor'); u.set_password('{PASSWORD}'); u.save()"
    made = ready.run("portal", "shell", "-c", people)
    assert made.returncode == 0, made.stderr
    url = f"https://localhost:{ports['HTTPS_LISTEN']}"
    certificate = ready.path("/etc/portal/tls/fullchain.pem")
    with ExitStack() as stack:
        for unit in ("portal-web.service", "portal-worker@.service"):
            stack.enter_context(process(ready.command(*start_of(ready, unit)), tmp_path / f"{unit}.log", env=ready.environment))
        edge = ready.command("nginx", "-g", "daemon off;")
        stack.enter_context(process(edge, tmp_path / "nginx.log", env=ready.environment))
        wait_until(lambda: is_ready(url, certificate), f"readiness (see {tmp_path})", seconds=180)
        smoke = [sys.executable, "-I", str(ROOT / "deploy" / "smoke.py"), url, "--ca", str(certificate), "--json"]
        tested = run_smoke(smoke)
        assert tested["ok"], tested
        case = tested["steps"][2]["said"].rpartition(" ")[2]
        film = log_in(url, certificate, "d@h.example", PASSWORD).get(f"{url}/cases/{case}/original/", timeout=30)
        assert film.content.startswith(b"\x89PNG")  # by nginx, whose user may read films and static files
        assert requests.get(f"{url}/static/staticfiles.json", verify=str(certificate), timeout=30).status_code == 200
        log = ready.path("/var/log/nginx/access.log")  # is written when the answer has been sent
        wait_until(lambda: read_access_log(log)[-1]["portal_status"] == "", "the line of a file that nginx served by itself")
        told = json.loads(ready.run("portal", "doctor", "--json").stdout)
        wrong = {finding["part"] for finding in told["findings"] if finding["level"] == "error"}
        assert wrong == {"redis log-in"}  # this test's Redis has no password


def start_of(machine: Machine, unit: str) -> list[str]:
    """The unit's command, as its user and with its settings, by `portal`'s own way of reading them."""
    text = machine.path(f"/etc/systemd/system/{unit}").read_text(encoding="utf-8")
    command = next(line.removeprefix("ExecStart=") for line in text.splitlines() if line.startswith("ExecStart="))
    settings = machine.path("/etc/portal/portal.env").read_text(encoding="utf-8").splitlines()
    return ["env", "-C", "/opt/portal/current", *settings, "runuser", "-u", "portal", "--", *command.split()]


def is_ready(url: str, certificate: Path) -> bool:
    try:
        return requests.get(f"{url}/readyz", verify=str(certificate), timeout=10).status_code == 200
    except requests.RequestException:
        return False


def run_smoke(command: list[str]) -> dict[str, Any]:
    secrets = {"PATH": os.environ["PATH"], "SMOKE_EMAIL": "d@h.example", "SMOKE_PASSWORD": PASSWORD}
    done = subprocess.run(command, env=secrets, capture_output=True, text=True, check=False, timeout=120)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.postgres
@pytest.mark.redis
def test_an_upgrade_takes_the_new_release_or_goes_back(ready: Machine, tmp_path: Path) -> None:
    assert ready.run("bash", INSTALL, "--upgrade", release("0.1.1", tmp_path)).returncode == 1  # nothing is installed
    assert ready.run("bash", INSTALL, "worker").returncode == 0
    done = ready.run("bash", INSTALL, "--upgrade", release("0.1.1", tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert in_service(ready) == "releases/0.1.1"
    again = ready.run("bash", INSTALL, "--upgrade", release("0.1.1", tmp_path))
    assert (again.returncode, "in service already" in again.stderr) == (1, True)
    broken = ready.run("bash", INSTALL, "--upgrade", release("0.1.2", tmp_path, **{"manage.py": "raise SystemExit(1)\n"}))
    assert (broken.returncode, in_service(ready)) == (1, "releases/0.1.1")
    assert "Release 0.1.1 is in service again" in broken.stderr
    back = ready.run("bash", INSTALL, "--rollback")
    assert (back.returncode, in_service(ready)) == (0, "releases/0.1.0")


@pytest.mark.postgres
@pytest.mark.redis
def test_a_release_whose_services_do_not_start_is_taken_back(ready: Machine, tmp_path: Path) -> None:
    ready.pretend_systemd(fails_on="0.1.1")
    assert ready.run("bash", INSTALL, "worker").returncode == 0
    failed = ready.run("bash", INSTALL, "--upgrade", release("0.1.1", tmp_path))
    assert (failed.returncode, in_service(ready)) == (1, "releases/0.1.0"), failed.stderr
    asked = ready.path("/var/lib/portal/asked").read_text(encoding="utf-8").splitlines()
    restarts = [line for line in asked if line.startswith("restart")]
    assert restarts == ["restart portal-worker@0.service"] * 3  # the installation, the new release, the old one again
    assert asked.index("daemon-reload") < asked.index("restart portal-worker@0.service")


@pytest.mark.postgres
@pytest.mark.redis
def test_the_machine_that_makes_backups_may_write_them_and_tells_of_them(ready: Machine) -> None:
    settings = dict(line.split("=", 1) for line in ready.path("/etc/portal/portal.env").read_text().splitlines())
    settings |= {"BACKUP_TARGET": "/opt/backups", "BACKUP_KEY_FILE": "/etc/portal/secrets/backup_key"}
    ready.configure(settings)
    assert "BACKUP_KEY_FILE names /etc/portal/secrets/backup_key, which is missing" in ready.run("bash", INSTALL, "web").stderr
    write_key(ready.path("/etc/portal/secrets/backup_key"))
    for folder, mode in (("/opt/backups", 0o777), ("/var/lib/prometheus/node-exporter", 0o755)):
        ready.path(folder).mkdir(parents=True)
        ready.path(folder).chmod(mode)
    done = ready.run("bash", INSTALL, "web")
    assert done.returncode == 0, done.stdout + done.stderr
    units = ready.path("/etc/systemd/system")
    assert (units / "timers.target.wants" / "portal-backup.timer").is_symlink()
    assert 'ReadWritePaths="-/opt/backups"' in (units / "portal-backup.service.d" / "target.conf").read_text(encoding="utf-8")
    for command in (("backup", "--json"), ("restore", "--check", "--json")):
        told = ready.run("portal", *command)
        assert told.returncode == 0, told.stderr
        assert json.loads(told.stdout)["ok"]
    seen = ready.run(
        "setpriv", "--reuid=65534", "--clear-groups", "cat", "/var/lib/prometheus/node-exporter/portal_backup.prom"
    )
    assert "portal_backup_success_timestamp_seconds" in seen.stdout, seen.stderr
