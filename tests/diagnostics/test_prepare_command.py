"""`prepare` makes an installation ready to start, also one whose last preparation was cut off."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import psycopg
import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from diagnostics.management.commands import prepare
from diagnostics.management.commands.prepare import LOCK
from tests.portal import ROOT
from tests.servers import postgres_server


@pytest.mark.django_db
def test_what_a_power_cut_left_empty_is_made_anew(tmp_path: Path, settings: Settings) -> None:
    settings.STATIC_ROOT = tmp_path / "static"
    style, manifest = settings.STATIC_ROOT / "css" / "portal.css", settings.STATIC_ROOT / "staticfiles.json"
    style.parent.mkdir(parents=True)
    style.touch()
    manifest.touch()
    call_command("prepare")
    assert style.read_bytes()


@pytest.mark.django_db
def test_a_second_run_leaves_what_is_there(tmp_path: Path, settings: Settings) -> None:
    settings.STATIC_ROOT = tmp_path / "static"
    call_command("prepare")
    style = settings.STATIC_ROOT / "css" / "portal.css"
    before = style.stat().st_mtime_ns
    call_command("prepare")
    assert style.stat().st_mtime_ns == before


@pytest.fixture
def shared_database(tmp_path: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="portal-pg-") as cluster, postgres_server(Path(cluster)) as url:
        yield url


def prepare_on(url: str, machine: Path) -> "subprocess.Popen[str]":
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": url, "VAR_DIR": str(machine)}
    command = [sys.executable, "manage.py", "prepare"]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.postgres
def test_of_several_machines_that_start_at_once_one_migrates(shared_database: str, tmp_path: Path) -> None:
    machines = [prepare_on(shared_database, tmp_path / name) for name in ("a", "b", "c")]
    said = [machine.communicate(timeout=240)[1] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0, 0], said


@pytest.mark.postgres
def test_a_machine_waits_while_another_one_migrates(shared_database: str, tmp_path: Path) -> None:
    with psycopg.connect(shared_database, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        waiting = prepare_on(shared_database, tmp_path / "a")
        assert waiting.stderr is not None
        assert "Another machine prepares the database" in waiting.stderr.readline()
        tables = other.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert tables == (0,)
    waiting.communicate(timeout=240)
    assert waiting.returncode == 0


@pytest.mark.django_db
def test_a_machine_that_waited_too_long_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "LOCK_SECONDS", 0)
    cursor = mock.Mock(fetchone=mock.Mock(return_value=(False,)))
    with pytest.raises(CommandError, match="Another machine has been preparing the database"):
        prepare.Command()._wait_for_lock(cursor)
