"""First start of a machine: the portal accepts the settings that bootstrap.sh writes, and CloudFormation hears how it ended.

The AWS command line, the metadata service and systemd are stood in for: they are the edge of the machine.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy import templates

ROOT = Path(__file__).parents[2]
SECRETS = {
    "arn:secret": "s" * 64,
    "arn:audit": "a" * 64,
    "arn:metrics_token": "m" * 48,
    "arn:redis": "r" * 64,
    "arn:database": json.dumps({"username": "portal", "password": "p" * 40, "host": "elsewhere"}),
    "arn:settings": "EMAIL_HOST=mail.example.org\nEMAIL_PORT=587",
    "arn:tls": json.dumps({"certificate": "CERTIFICATE", "key": "KEY"}),
}
AWS = """#!/usr/bin/env python3
import json, os, sys
words = sys.argv[1:]
with open(os.environ["CALLS"], "a") as calls:
    calls.write(" ".join(words) + "\\n")
if words[:2] == ["secretsmanager", "get-secret-value"]:
    print(json.load(open(os.environ["SECRETS_FILE"]))[words[words.index("--secret-id") + 1]])
"""
CURL = "#!/bin/sh\nfor last; do :; done\ncase $last in */local-ipv4) echo 10.0.2.15 ;; */instance-id) echo i-1 ;; esac\n"
PLAIN = "#!/bin/sh\nexit 0\n"


class Machine:
    """A root of its own with a release in it."""

    def __init__(self, root: Path, **given: str) -> None:
        self.root, self.calls = root, root / "calls"
        self.room = root / "release" / "deploy" / "cloudformation"
        self.room.mkdir(parents=True)
        for name in ("bootstrap.sh", "publish-metrics.sh"):
            shutil.copy(templates.ROOM / name, self.room)
        self.script("release/deploy/install.sh", f'#!/bin/sh\necho "install.sh $*" >> {self.calls}\n')
        for name, text in {"aws": AWS, "curl": CURL, "systemctl": PLAIN, "dpkg": PLAIN}.items():
            self.script(f"bin/{name}", text)
        (root / "secrets.json").write_text(json.dumps(SECRETS))
        for name in ("etc/portal", "etc/systemd/system", "root"):
            (root / name).mkdir(parents=True)
        facts = {
            "AWS_DEFAULT_REGION": "us-east-1",
            "STACK": "portal-Ui",
            "PORTAL_GROUP": "ui",
            "INSTALL_ROLE": "web",
            "ADDRESS": "",
            "ZONE": "",
            "HOSTNAME_PUBLIC": "portal.example.org",
            "PROXY_CIDR": "10.0.0.0/16",
            "FILMS": "films",
            "KEY_ARN": "arn:key",
            "DATABASE_HOST": "db.internal",
            "REDIS_HOST": "redis.internal",
            "SECRETS": " ".join(f"{name.upper()}=arn:{name}" for name in ("metrics_token", "redis", "database", "settings"))
            + " SECRET_KEY=arn:secret AUDIT_KEY=arn:audit PSEUDONYM_KEY=",
            **given,
        }
        (root / "etc/portal/bootstrap.env").write_text("".join(f'{name}="{value}"\n' for name, value in facts.items()))

    def script(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def start(self) -> int:
        environment = {
            "PATH": f"{self.root}/bin:/usr/bin:/bin",
            "BOOTSTRAP_ROOT": str(self.root),
            "CALLS": str(self.calls),
            "SECRETS_FILE": str(self.root / "secrets.json"),
        }
        return subprocess.run([str(self.room / "bootstrap.sh")], env=environment, check=False).returncode

    def said(self) -> str:
        return self.calls.read_text()

    def settings(self) -> dict[str, str]:
        lines = (self.root / "etc/portal/portal.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)


def test_a_web_machine_starts_with_settings_that_the_portal_accepts(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert machine.start() == 0
    ask = (
        "import django; django.setup(); from django.conf import settings as s; d = s.DATABASES['default'];"
        "print(d['HOST'], d['USER'], s.REDIS['ssl'], s.REDIS['password'], s.S3_BUCKET, s.EMAIL_HOST, s.ALLOWED_HOSTS)"
    )
    environment = {
        **machine.settings(),
        "DJANGO_SETTINGS_MODULE": "pneumo_site.settings",
        "VAR_DIR": str(tmp_path / "var"),
        "PATH": os.environ["PATH"],
    }
    answer = subprocess.run([sys.executable, "-c", ask], env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    asked_for = {"VAR_DIR": "/var/lib/portal", "TRUSTED_PROXIES": "10.0.0.0/16", "SERVER_NAME": "portal.example.org"}
    assert asked_for.items() <= machine.settings().items()  # what install.sh asks for
    expected = f"db.internal portal True {'r' * 64} films mail.example.org ['portal.example.org', '10.0.2.15']"
    assert answer.stdout.strip() == expected


def test_secrets_are_readable_by_root_alone_and_stand_in_no_settings_line(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.start()
    files = list((tmp_path / "etc/portal/secrets").iterdir())
    assert {file.name for file in files} == {"SECRET_KEY", "AUDIT_KEY", "METRICS_TOKEN", "REDIS_URL", "DATABASE_URL"}
    assert {file.stat().st_mode & 0o777 for file in [*files, tmp_path / "etc/portal/portal.env"]} == {0o600}
    authority = Path(machine.settings()["PGSSLROOTCERT"])
    assert (authority.stat().st_mode & 0o777, authority.parent.name) == (0o644, "portal")  # the services read it
    assert "pppp" not in (tmp_path / "etc/portal/portal.env").read_text()


def test_the_role_is_installed_after_its_settings_and_cloudformation_hears_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path, INSTALL_ROLE="worker", PORTAL_GROUP="worker")
    machine.start()
    said = machine.said().splitlines()
    assert "install.sh worker" in said
    assert said[-1].startswith("cloudformation signal-resource --stack-name portal-Ui --logical-resource-id Machines")
    assert said[-1].endswith("--unique-id i-1 --status SUCCESS")
    assert machine.settings()["WORKER_RECONCILES"] == "true"


@pytest.mark.parametrize("broken", ["install", "secret"])
def test_a_failed_start_is_told_to_cloudformation(broken: str, tmp_path: Path) -> None:
    machine = Machine(tmp_path, **({"SECRETS": "SECRET_KEY=arn:missing"} if broken == "secret" else {}))
    if broken == "install":
        machine.script("release/deploy/install.sh", "#!/bin/sh\nexit 3\n")
    assert machine.start() != 0
    assert "--status FAILURE" in machine.said()


def test_the_front_end_takes_its_certificate_its_address_and_finds_both_machines(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path, INSTALL_ROLE="frontend", PORTAL_GROUP="frontend", ADDRESS="eipalloc-1", SECRETS="TLS=arn:tls", FILMS=""
    )
    assert machine.start() == 0
    assert (tmp_path / "etc/portal/tls/cert.pem").read_text() == "CERTIFICATE\n"
    assert (tmp_path / "etc/portal/tls/key.pem").stat().st_mode & 0o777 == 0o600
    assert "ec2 associate-address --allocation-id eipalloc-1 --instance-id i-1" in machine.said()
    assert machine.settings()["CERTIFICATE"] == f"{tmp_path}/etc/portal/tls/cert.pem"
    assert machine.settings()["SERVER_NAME"] == "portal.example.org"
    assert machine.settings()["UI_UPSTREAM"] == "ui.portal.internal:443"
    assert "S3_BUCKET" not in machine.settings()


def test_a_machine_behind_nginx_writes_its_name_into_the_private_zone(tmp_path: Path) -> None:
    machine = Machine(tmp_path, ZONE="Z1")
    machine.start()
    assert "route53 change-resource-record-sets --hosted-zone-id Z1" in machine.said()
    assert "ui.portal.internal" in machine.said()


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.start()
    first, certificate = machine.settings(), (tmp_path / "etc/portal/tls/cert.pem").read_bytes()
    assert machine.start() == 0
    assert machine.settings() == first
    assert (tmp_path / "etc/portal/tls/cert.pem").read_bytes() == certificate


def test_monitoring_publishes_the_oldest_waiting_case_and_is_silent_without_an_answer(tmp_path: Path) -> None:
    machine = Machine(tmp_path, PORTAL_GROUP="monitoring")
    environment = {
        "PATH": f"{tmp_path}/bin:/usr/bin:/bin",
        "CALLS": str(machine.calls),
        "PORTAL_GROUP": "monitoring",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    answer = json.dumps({"data": {"result": [{"value": [0, "42.5"]}]}})
    machine.script("bin/curl", f"#!/bin/sh\necho '{answer}'\n")
    subprocess.run([str(machine.room / "publish-metrics.sh")], env=environment, check=True)
    assert "--metric-name OldestWaitingSeconds --unit Seconds --value 42.5" in machine.said()
    machine.calls.write_text("")
    machine.script("bin/curl", '#!/bin/sh\necho \'{"data": {"result": []}}\'\n')
    silent = subprocess.run([str(machine.room / "publish-metrics.sh")], env=environment, check=False, stderr=subprocess.DEVNULL)
    assert silent.returncode != 0
    assert "OldestWaitingSeconds" not in machine.said()
    assert "DiskUsedPercent" in machine.said()
