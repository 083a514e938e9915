"""The units: what systemd itself says of them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.edge import DEPLOY

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
UNITS = ["portal-web", "portal-worker@0", "portal-reconcile", "portal-purge", "portal-backup", "portal-retrain"]
TIMERS = ["portal-purge", "portal-backup", "portal-retrain"]
EXPOSURE = 30  # of 100: systemd's 3.0 of 10


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The shipped units over a release that is only there to be found."""
    release, installed = tmp_path / "release", tmp_path / "units"
    for name in ("python", "gunicorn"):
        program = release / ".venv" / "bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n", encoding="utf-8")
        program.chmod(0o755)
    shutil.copytree(DEPLOY / "systemd", installed)
    for unit in [*installed.glob("*.service"), *installed.glob("*/*.conf")]:
        unit.write_text(unit.read_text(encoding="utf-8").replace("/opt/portal/current", str(release)), encoding="utf-8")
    shutil.copy(installed / "portal-worker@.service", installed / "portal-worker@0.service")
    return installed


def analyse(units: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{units}:"}
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, cwd=units, env=environment, capture_output=True, text=True, check=False)


def test_systemd_finds_nothing_wrong_with_the_units(units: Path) -> None:
    names = [f"{unit}.service" for unit in UNITS] + [f"{timer}.timer" for timer in TIMERS]
    done = analyse(units, "verify", "--man=no", *names)
    # Other packages' units on this machine are read too, and are no affair of ours.
    ours = [line for line in done.stderr.splitlines() if "portal-" in line]
    assert not ours
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_exposed_below_three_of_ten(units: Path, unit: str) -> None:
    options = ["--offline=true", f"--threshold={EXPOSURE}", "--no-pager"]
    done = analyse(units, "security", *options, f"./{unit}.service")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_each_worker_and_reconcile_answers_where_prometheus_asks(units: Path) -> None:
    def port_of(unit: str, name: str) -> str:
        lines = (units / f"{unit}.service").read_text(encoding="utf-8").splitlines()
        return next(line.partition(f"{name}=")[2] for line in lines if line.startswith(f"Environment={name}="))

    def asked(job: str) -> str:
        (target,) = yaml.safe_load((DEPLOY / "prometheus" / "targets" / f"{job}.yml").read_text(encoding="utf-8"))
        return str(target["targets"][0]).partition(":")[2]

    worker = port_of("portal-worker@", "WORKER_METRICS_PORT")
    assert [worker.replace("%i", str(number)) for number in range(3)] == [asked("worker"), "9111", "9112"]
    assert port_of("portal-reconcile", "RECONCILE_METRICS_PORT") == asked("reconcile")


def test_without_the_hardening_a_unit_would_be_exposed(units: Path) -> None:
    shutil.rmtree(units / "portal-.service.d")
    done = analyse(units, "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", "./portal-web.service")
    assert done.returncode != 0
